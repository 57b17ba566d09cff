"""Killed at any named stage of a copy, an import, a restore test or a restore: all invariants hold, and the next one succeeds."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.keyring import openers
from holdfast.jobs.verify import verify
from holdfast.model.run import Job
from holdfast.postgres import scratch_home
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.streams import age_keys
from holdfast.system.stop import Stop
from support import moto_server as moto
from support import scripts
from support.faults import assert_nothing_runs, fill
from support.kill_driver import HALF, SURVIVED, THEIRS
from support.leftovers import gone, processes
from support.oracle import Oracle, oracle_of
from support.postgres import execute, new_database, query
from support.restoring import databases, drop
from support.world import write_config

pytestmark = pytest.mark.extended

Kill = Callable[..., int]
BYTES = 2_000_000
MARKER = "plaintext of the customers"
TWO = {"a": 'url = "store-a"', "b": 'url = "store-b"'}

COPYING = (
    "stage:lease:copies",
    "stage:begun",
    f"bytes:copy to b:{BYTES // 8}",
    "put:b:globals.sql.zst.age",
    "put:b:.dump.zst.age",
    "put:b:catalog.json.zst.age",
    "put:b:RESTORE.txt",
    "put:b:manifest.json.minisig",
    "put:b:manifest.json",
    "stage:finished",
)
COPYING_ANEW = (
    "stage:lease:copies",
    "stage:begun",
    f"bytes:encrypt to b:{BYTES // 8}",
    "stage:resealed:globals",
    "put:b:.dump.zst.age",
    "stage:resealed:database",
    "stage:resealed:catalog",
    "put:b:RESTORE.txt",
    "put:b:manifest.json.minisig",
    "put:b:manifest.json",
    "stage:committed",
    "stage:finished",
)
TESTING = (
    "stage:begun",
    "stage:cluster",
    "stage:staged",
    "stage:compared",
    "stage:tested",
    "put:a:detail-*.age",
    "stage:proof_stored",
    "put:a:proof-*.json",
    "put:a:proof-*.minisig",
    "stage:marked:proof",
    "stage:finished",
)
RESTORING = (
    ("restore", "stage:begun"),
    ("restore", "stage:globals_applied"),
    ("restore", "bytes:{database}:100000"),
    ("restore", "stage:fed"),
    ("restore", "stage:finished"),
    ("restore by two", "stage:staged"),
    ("restore by two", "stage:finished"),
    ("restore beside", "stage:scratch_made"),
    ("restore beside", "stage:scratch_filled"),
    ("restore beside", "stage:fed"),
    ("restore beside", "stage:finished"),
    ("restore swapped", "stage:restored_beside"),
    ("restore swapped", "stage:swapping"),
)
IMPORTING = (
    "stage:begun#2",
    "stage:part:database#2",
    "put:a:.dump.zst.age",
    "put:a:manifest.json",
    "stage:parts_stored#2",
    "stage:committed",
    "stage:recorded",
    "stage:recorded#2",
)


@pytest.fixture
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database, BYTES)
        execute(database, f"CREATE TABLE told AS SELECT '{MARKER}' AS word")
        yield database


@pytest.fixture
def host(cluster: Cluster, shop: Conninfo, kill: Kill, tmp_path: Path, open_dir: Path) -> Iterator[Oracle]:
    """Give the oracle of a host with one good backup in two stores."""
    keys = f'databases = ["{shop.database}"]\nrestore_test.schedule = ""\nrestore_test.scratch_dir = "{open_dir}"'
    config = write_config(tmp_path, shop.argv_dsn(), stores=TWO, target=keys)
    config.write_text(config.read_text().replace("[daemon]\n", '[daemon]\nspool_dir = "spool"\n'))
    (tmp_path / "spool").mkdir()
    assert kill(config, "") == SURVIVED
    with oracle_of(
        config, cluster=cluster, source=shop, secrets={"a row of a table": MARKER.encode()}
    ) as oracle:
        yield oracle
        drop(cluster, HALF)
        oracle.holds()
        assert list((tmp_path / "spool").iterdir()) == []


def killed(kill: Kill, oracle: Oracle, point: str, job: str) -> None:
    """Kill the job at the point. No process of it is left, and no secret was to be seen."""
    with oracle.watching():
        code = kill(oracle.folder / "holdfast.toml", point, job=job)
    assert code == -9, f"{job} never came to {point}"
    assert oracle.cluster is not None
    assert oracle.source is not None
    assert_nothing_runs(oracle.cluster, oracle.source)
    oracle.nothing_secret()


def seen(oracle: Oracle, job: Job) -> None:
    """The killed run is recorded as lost, or as succeeded where all was done but for saying so."""
    ended = {run.status for run in oracle.services.ledger.runs("shop", job)}
    oracle.recorded(job, "lost" if "lost" in ended else "succeeded")


@pytest.mark.fault("kill.copy")
@pytest.mark.parametrize("point", COPYING)
def test_a_copy_that_is_killed_anywhere_is_finished_by_the_next(
    kill: Kill, host: Oracle, tmp_path: Path, point: str
) -> None:
    config = tmp_path / "holdfast.toml"
    [row] = host.services.ledger.backups()
    shutil.rmtree(tmp_path / "store-b")
    host.services.ledger.record_copy(row.backup.id, "b", "missing", host.services.clock.now())
    host.before = {key: held for key, held in host.before.items() if key[0] != "b"}
    killed(kill, host, point, "copy")
    assert kill(config, "", job="copy") == SURVIVED
    runs = host.services.ledger.runs("shop", "copy")  # of the job, and of each copy that it makes
    assert (runs[0].status, runs[-1].status) == ("succeeded", "succeeded")
    assert host.recorded("copy", "lost") == "lost"
    [row] = host.services.ledger.backups()
    assert {copy.store: copy.state for copy in row.copies} == {"a": "complete", "b": "complete"}


@pytest.mark.fault("kill.copy")
@pytest.mark.parametrize("point", COPYING_ANEW)
def test_a_copy_for_others_that_is_killed_anywhere_is_made_anew_by_the_next(
    kill: Kill, host: Oracle, tmp_path: Path, point: str
) -> None:
    """Nobody could go on with it: the key that the half of it was sealed with is gone."""
    config, theirs = tmp_path / "holdfast.toml", age_keys.generate()
    age_keys.write_identity_file(tmp_path / THEIRS, theirs, None, host.services.clock.now())
    [row] = host.services.ledger.backups()
    shutil.rmtree(tmp_path / "store-b")
    host.services.ledger.record_copy(row.backup.id, "b", "missing", host.services.clock.now())
    host.before = {key: held for key, held in host.before.items() if key[0] != "b"}
    killed(kill, host, point, "copy anew")
    committed = (tmp_path / "store-b" / "shop" / row.backup.id / "manifest.json").exists()
    assert committed == (point in {"stage:committed", "stage:finished"})
    assert kill(config, "", job="copy anew") == SURVIVED
    seen(host, "copy")
    [row] = host.services.ledger.backups()
    assert {copy.store: copy.state for copy in row.copies} == {"a": "complete", "b": "complete"}
    assert openers(row.stored_in("b").backup) == {theirs.recipient.text}
    alone = replace(host.services, keys=replace(host.services.keys, identities=(theirs,)))
    (verified,) = verify(alone, row, Stop(), store="b")
    assert verified.error is None
    assert verified.proof is not None
    assert verified.proof.method == "opened"


@pytest.mark.fault("kill.restore_test")
@pytest.mark.parametrize("point", TESTING)
def test_a_restore_test_that_is_killed_anywhere_proves_nothing_untrue_and_the_next_passes(
    kill: Kill, host: Oracle, tmp_path: Path, open_dir: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    killed(kill, host, point, "restore_test")
    assert gone(lambda: processes(open_dir), 15) == []
    proofs = list((tmp_path / "store-a").rglob("proof-*.json"))
    assert bool(proofs) == (point in {"stage:marked:proof", "stage:proof_stored", "stage:finished"})
    monkeypatch.setattr(scratch_home, "_UNLOCKED_SECONDS", -1)
    scratch_home.sweep(open_dir)
    assert list(open_dir.iterdir()) == []
    assert kill(tmp_path / "holdfast.toml", "", job="restore_test") == SURVIVED
    before = "succeeded" if point == "stage:finished" else "lost"
    assert [run.status for run in host.services.ledger.runs("shop", "restore_test")] == ["succeeded", before]
    assert host.services.ledger.backups()[0].proof == "proven"
    seen(host, "restore_test")
    assert list(open_dir.iterdir()) == []


@pytest.mark.fault("kill.restore")
@pytest.mark.parametrize(("job", "point"), RESTORING)
def test_a_restore_that_is_killed_anywhere_leaves_the_live_database_alone_and_the_next_succeeds(
    kill: Kill, cluster: Cluster, shop: Conninfo, host: Oracle, tmp_path: Path, job: str, point: str
) -> None:
    there = databases(cluster)
    before = query(shop, "SELECT count(*), sum(hashtext(text)) FROM noise")
    killed(kill, host, point.format(database=shop.database), job)
    assert query(shop, "SELECT count(*), sum(hashtext(text)) FROM noise") == before
    drop(cluster, *(databases(cluster) - there))
    execute(shop, "DROP TABLE IF EXISTS item_back")
    assert kill(tmp_path / "holdfast.toml", "", job=job) == SURVIVED
    runs = host.services.ledger.runs("shop", "restore")  # a swap has a run of its own
    assert runs[0].status == "succeeded"
    assert ("lost" in {run.status for run in runs}) == (
        point not in {"stage:finished", "stage:restored_beside"}
    )
    seen(host, "restore")
    assert query(shop, "SELECT count(*), sum(hashtext(text)) FROM noise") == before
    drop(cluster, *(databases(cluster) - there))
    execute(shop, "DROP TABLE IF EXISTS item_back")


@pytest.mark.fault("kill.import")
@pytest.mark.parametrize("point", IMPORTING)
def test_an_import_that_is_killed_anywhere_is_finished_by_the_next(
    kill: Kill, cluster: Cluster, shop: Conninfo, host: Oracle, tmp_path: Path, point: str
) -> None:
    folder = tmp_path / "dumps"
    folder.mkdir()
    name = str(shop.database)
    data = scripts.dumped(cluster, shop, "-Fc")
    for day in (1, 2, 3):
        (folder / f"{name}_2026010{day}.dump").write_bytes(data)
    host.secrets.pop("a row of a table")  # it is in the script's dumps, which are not encrypted
    killed(kill, host, point, "import")
    assert kill(tmp_path / "holdfast.toml", "", job="import") == SURVIVED
    rows = host.services.ledger.backups()
    assert len(rows) == 4
    seen(host, "import")
    assert sorted(bool(row.backup.imported) for row in rows) == [False, True, True, True]


@pytest.mark.fault("kill.backup", "attack.lock")
@pytest.mark.parametrize("point", ["stage:locking", "stage:locks_extended"])
def test_a_backup_that_is_killed_while_it_is_locked_is_whole_and_locked(
    kill: Kill, cluster: Cluster, shop: Conninfo, tmp_path: Path, point: str
) -> None:
    with moto.moto_server() as url:
        client = moto.raw_client(url)
        client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
        s3 = moto.keys(url, bucket="locked") + '\nobject_lock = "governance"'
        config = write_config(
            tmp_path, shop.argv_dsn(), stores={"cloud": s3}, target=f'databases = ["{shop.database}"]'
        )
        assert kill(config, point) == -9
        with oracle_of(config, cluster=cluster, source=shop) as oracle:
            [first] = oracle.services.ledger.backups()
            assert kill(config, "") == SURVIVED
            oracle.visible("backup", "succeeded", later=1)
            for found in client.list_objects_v2(Bucket="locked", Prefix=f"shop/{first.backup.id}")[
                "Contents"
            ]:
                assert client.head_object(Bucket="locked", Key=found["Key"])["ObjectLockRetainUntilDate"]
            oracle.holds()
