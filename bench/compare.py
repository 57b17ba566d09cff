"""Measures what it costs to compare every row of a restored database with its archive, against restoring it.

The time is a ratio to `pg_restore -j2` into an ordinary cluster of the same round. Nothing is asserted: this prints,
people judge.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psycopg

from bench import data, report
from bench.bench import size_of, use_clients_of
from bench.measure import Measured, run
from holdfast import __version__
from holdfast.postgres.scratch import Cluster, scratch_cluster

# Ordinary: what is restored has to be on the disk.
_ORDINARY = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "wal_level": "replica"}
_BYTES_PER_NARROW_ROW = 45  # on disk, its index included
_LONG = 400_000_000  # of a value in bytes; as text it has twice that, and PostgreSQL takes no more than a gigabyte
_NARROW = (
    "CREATE TABLE narrow AS SELECT i, i % 1000 AS j FROM generate_series(1, {rows}) i",
    "ALTER TABLE narrow ADD PRIMARY KEY (i)",
)
_WIDE = (
    "CREATE TABLE wide (id integer PRIMARY KEY, body bytea)",
    "ALTER TABLE wide ALTER COLUMN body SET STORAGE EXTERNAL",
    "INSERT INTO wide SELECT i, decode(repeat(md5(i::text), {bytes} / 16), 'hex') FROM generate_series(1, 2) i",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    name: str
    text: int  # bytes of the dump, uncompressed
    base: Measured
    told: dict[str, float]


def main(argv: Sequence[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="script/bench compare", description=__doc__)
    parser.add_argument(
        "--size", type=size_of, default=size_of("1GB"), help="of each database (default: 1GB)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often all of it is run (default: 1)")
    parser.add_argument("--only", default="", help="shop, narrow or wide")
    options = parser.parse_args(argv)
    print(f"{report.machine({'Holdfast': __version__})}.\n")
    print(
        "| case | rows | dump MB | pg_restore -j2 s | compare s | ratio | own CPU s | programs' CPU s | MB/s a core | memory MB |"
    )
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    with (
        tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder,
        scratch_cluster(settings=_ORDINARY) as source,
        scratch_cluster(settings=_ORDINARY) as destination,
    ):
        use_clients_of(source)
        for name in ("shop", "narrow", "wide"):
            if options.only in name:
                _fill(source, name, options.size)
                for _ in range(options.rounds):
                    print(_row(_case(source, destination, name, Path(folder))), flush=True)


def _fill(cluster: Cluster, name: str, size: int) -> None:
    with psycopg.connect(cluster.conninfo.dsn(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    where = cluster.conninfo.with_database(name).dsn()
    if name == "shop":
        data.fill(where, size)
        return
    with psycopg.connect(where, autocommit=True) as connection:
        for statement in _NARROW if name == "narrow" else _WIDE:
            text = statement.format(rows=size // _BYTES_PER_NARROW_ROW, bytes=min(size, _LONG))
            connection.execute(text.encode())
        connection.execute("VACUUM ANALYZE")


def _case(source: Cluster, destination: Cluster, name: str, folder: Path) -> _Case:
    dump = folder / f"{name}.dump"
    original, restored = source.conninfo.with_database(name), destination.conninfo.with_database(name)
    with dump.open("wb") as file:
        dumping = ("pg_dump", "--format=custom", "--compress=0", f"--dbname={original.argv_dsn()}")
        subprocess.run(dumping, check=True, stdout=file)
    with psycopg.connect(destination.conninfo.dsn(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}".encode())
        connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
    restoring = ("pg_restore", "--jobs=2", "--exit-on-error", f"--dbname={restored.argv_dsn()}", str(dump))
    base = run(restoring, cwd=folder, env=dict(os.environ))
    comparing = (sys.executable, "-m", "bench.comparing", str(dump), original.argv_dsn(), restored.argv_dsn())
    told = json.loads(subprocess.run(comparing, check=True, stdout=subprocess.PIPE).stdout)
    text = dump.stat().st_size
    dump.unlink()
    print(f"bench: {name}: {told}", file=sys.stderr, flush=True)
    return _Case(name=name, text=text, base=base, told=told)


def _row(case: _Case) -> str:
    told = case.told
    speed = 2 * case.text / 1e6 / told["cpu"]
    return (
        f"| {case.name} | {told['rows']} | {case.text / 1e6:.0f} | {case.base.seconds:.1f} | {told['seconds']:.1f}"
        f" | {told['seconds'] / case.base.seconds:.2f} | {told['cpu']:.1f} | {told['programs']:.1f} | {speed:.0f}"
        f" | {told['memory'] / 1e6:.0f} |"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
