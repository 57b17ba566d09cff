"""Comparing takes little memory, whatever the size of tables and rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.identity import dump_of
from support.postgres import execute, new_database, run_tool, toolset

pytestmark = pytest.mark.extended

_LIMIT = 200e6
_ROOT = Path(__file__).parents[2]


@pytest.mark.fault("memory")
def test_long_rows_and_many_rows_are_compared_in_little_memory(
    cluster: Cluster, database: Conninfo, tmp_path: Path
) -> None:
    execute(
        database,
        "CREATE TABLE long (id integer, body bytea)",
        "ALTER TABLE long ALTER COLUMN body SET STORAGE EXTERNAL",
        "INSERT INTO long SELECT i, decode(repeat(md5(i::text), 9000000), 'hex') FROM generate_series(1, 2) i",
        "CREATE TABLE many AS SELECT i FROM generate_series(1, 1000000) i",
        "SELECT lo_from_bytea(0, decode(repeat('00ff', 20000), 'hex')) FROM generate_series(1, 300)",
    )
    dump = tmp_path / "dump"
    dump.write_bytes(dump_of(cluster, database))
    with new_database(cluster) as restored:
        run_tool(toolset(cluster), "pg_restore", restored, stdin=dump.read_bytes())
        argv = (sys.executable, "-m", "bench.comparing", str(dump), database.argv_dsn(), restored.argv_dsn())
        env = {**os.environ, "PYTHONPATH": f"{_ROOT / 'src'}:{_ROOT}"}
        told = json.loads(subprocess.run(argv, check=True, stdout=subprocess.PIPE, env=env, cwd=_ROOT).stdout)
    assert told["same"]
    assert told["rows"] == 1_000_002
    assert told["memory"] < _LIMIT
