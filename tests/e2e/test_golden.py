"""Every backup that was ever released restores: one of each format version, made once and kept for ever."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from golden.make import answers
from holdfast.jobs import reading
from holdfast.jobs.services import Keys
from holdfast.jobs.writing import Place
from holdfast.model.backup import FORMAT_VERSION, Part
from holdfast.postgres.archive import read_toc
from holdfast.postgres.scratch import Cluster
from holdfast.stores.local import LocalStore
from holdfast.streams import age_keys
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
    made = {version.partition("-")[0] for version in VERSIONS}
    assert made == {f"v{number}" for number in range(1, FORMAT_VERSION + 1)}


@pytest.mark.fault("loss.host")
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


def _database_of(version: str) -> tuple[Place, Part, Keys]:
    """Open a golden backup where it lies, and give the part of its database."""
    folder = GOLDEN / version
    found = age_keys.read_identity_file(folder / "identity.txt")
    keys = Keys(identities=found.identities, trusted=found.signers)
    store = LocalStore("golden", folder / "store")
    (manifest,) = (each for each in store.list() if each.key.endswith("/manifest.json"))
    _, backup_id, _ = manifest.key.split("/")
    opened = reading.open_backup(Place(store=store, target="golden", backup_id=backup_id), keys)
    part = opened.backup.part("database", "golden")
    assert part is not None
    return opened.place, part, keys


def test_one_table_of_a_golden_backup_is_read_out_of_its_frames() -> None:
    place, part, keys = _database_of("v1-frames")
    ranged = reading.ranged(place, part, keys)
    assert ranged is not None
    assert len(ranged.table.plain) > 10
    toc = read_toc(ranged.read(0, ranged.size))
    assert ranged.blocks.keys() == {entry.dump_id for entry in toc.entries if entry.has_data}
    (products,) = (e for e in toc.entries if (e.desc, e.tag) == ("TABLE DATA", "products"))
    start = ranged.blocks[products.dump_id]
    whole = b"".join(reading.plain_chunks(place, part, keys))
    assert b"".join(ranged.read(start, start + 200)) == whole[start : start + 200]
    assert whole[start : start + 6] == b"\1\0" + products.dump_id.to_bytes(4, "little")


def test_a_golden_backup_of_one_frame_is_read_whole() -> None:
    assert reading.ranged(*_database_of("v1")) is None
