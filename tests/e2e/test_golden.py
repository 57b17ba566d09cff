"""Every backup that was ever released restores: one of each format version, made once and kept for ever."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from golden.make import answers
from holdfast.model.backup import FORMAT_VERSION
from holdfast.postgres.scratch import Cluster
from support.home import called
from support.postgres import execute

GOLDEN = Path(__file__).parents[1] / "golden"
VERSIONS = sorted(path.name for path in GOLDEN.glob("v*"))


@pytest.fixture
def emptied(second_cluster: Cluster) -> Iterator[Cluster]:
    yield second_cluster
    execute(
        second_cluster.conninfo,
        "DROP DATABASE IF EXISTS golden WITH (FORCE)",
        "DROP ROLE IF EXISTS golden_reader, golden_owner",
    )


def test_there_is_one_of_every_format_version() -> None:
    assert [f"v{number}" for number in range(1, FORMAT_VERSION + 1)] == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_a_golden_backup_restores_from_its_store_and_one_key(
    version: str, emptied: Cluster, tmp_path: Path
) -> None:
    """An empty machine: the store, the identity file with the signer in it, and nothing else."""
    shutil.copytree(GOLDEN / version / "store", tmp_path / "store")
    shutil.copy(GOLDEN / version / "identity.txt", tmp_path)
    recipient = re.search(r"age1\S+", (tmp_path / "identity.txt").read_text())
    assert recipient is not None
    (tmp_path / "identity.txt").chmod(0o600)
    env = {
        "HOLDFAST_URL": emptied.conninfo.argv_dsn(),
        "HOLDFAST_STORE": str(tmp_path / "store"),
        "HOLDFAST_RECIPIENT": recipient[0],
        "HOLDFAST_ENCRYPTION__IDENTITY_FILE": str(tmp_path / "identity.txt"),
        "HOLDFAST_DAEMON__STATE_DIR": str(tmp_path / "state"),
    }
    verified = called("verify", "--json", env=env, cwd=tmp_path)
    assert verified.returncode == 0, verified.stderr
    assert json.loads(verified.stdout)[0]["method"] == "opened"
    to = emptied.conninfo.argv_dsn()
    restored = called("restore", "latest", "--to", to, "--json", env=env, cwd=tmp_path)
    assert restored.returncode == 0, restored.stderr
    assert json.loads(restored.stdout)["databases"][0]["name"] == "golden"
    expected = json.loads((GOLDEN / version / "expected.json").read_text(encoding="utf-8"))
    assert answers(emptied.conninfo.with_database("golden")) == expected
