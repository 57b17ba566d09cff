"""A process that is killed on its way leaves nothing half: what was committed is kept, what was not is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.app import App, open_app
from holdfast.jobs.backup import backup
from holdfast.jobs.copies import catch_up
from holdfast.jobs.verify import verify
from holdfast.ledger.ledger import BackupRow
from holdfast.model.run import Run, Status
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support import moto_server as moto
from support.faults import BYTES, assert_no_drafts, assert_nothing_runs, fill
from support.kill_driver import SURVIVED
from support.oracle import asked_of
from support.postgres import new_database
from support.world import Recorder, write_config

Kill = Callable[..., int]
TWO = {"a": 'url = "store-a"', "b": 'url = "store-b"'}

# Where it dies before the manifest is in the store: nothing of the backup may stay.
BEFORE = (f"bytes:{{database}}:{BYTES // 2}", "stage:parts_stored", "put:a:manifest.json")
MORE_BEFORE = (
    "stage:begun",
    "stage:streaming:globals",
    "stage:part:database",
    "put:a:.dump.zst.age",
    "stage:manifest",
    "stage:server_locked",
    "stage:part:globals",
    "put:a:globals.sql.zst.age",
    "stage:stored:globals",
    "stage:streaming:database",
    "stage:stored:database",
    "stage:part:catalog",
    "stage:stored:catalog",
    "stage:restore_text",
    "put:a:RESTORE.txt",
    "put:a:manifest.json.minisig",
)
# Where it dies afterwards: the backup exists. The flag says whether the second store has it, too.
AFTER = (("stage:committed", False), ("put:b:manifest.json", False))
MORE_AFTER = (
    ("stage:recorded", False),
    ("put:b:.dump.zst.age", False),
    ("stage:finished#2", True),
    ("stage:finished", False),
    ("stage:begun#2", False),  # of the copy
    (f"bytes:copy to b:{BYTES // 8}", False),
)


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database)
        yield database


@contextmanager
def opened(config: Path) -> Iterator[tuple[App, Recorder]]:
    recorder = Recorder()
    with open_app(config, (), reporter=recorder, quiet=True) as app:
        yield app, recorder


def configured(folder: Path, database: Conninfo, stores: dict[str, str]) -> Path:
    return write_config(
        folder, database.argv_dsn(), stores=stores, target=f'databases = ["{database.database}"]'
    )


def take(app: App) -> str:
    [target] = app.targets
    return backup(app.services, target, app.stop).backup.id


def caught_up(app: App) -> None:
    (target,) = app.chosen(["shop"])
    assert catch_up(app.services, target, app.stop).failed == []


def assert_all_verify(app: App) -> None:
    for row in app.services.ledger.backups():
        results = verify(app.services, row, app.stop)
        assert [result.error for result in results] == [None] * len(results)
        assert results


def assert_only_whole_backups(app: App) -> None:
    """Each folder in each store is that of a backup listed as complete there, and holds no half-written file."""
    rows = app.services.ledger.backups()
    for name, store in app.services.stores.items():
        found = {stored.key.split("/")[1] for stored in store.list("shop/")}
        assert found == {row.backup.id for row in rows if states(row).get(name) == "complete"}


def states(row: BackupRow) -> dict[str, str]:
    return {copy.store: copy.state for copy in row.copies}


def newest(app: App, job: str, backup_id: str) -> Run:
    return next(run for run in app.services.ledger.runs() if (run.job, run.backup_id) == (job, backup_id))


def only_run(config: Path) -> Run:
    with opened(config) as (app, _):
        [run] = app.services.ledger.runs("shop", "backup")
        return run


@pytest.mark.fault("kill.backup")
def test_a_kill_before_the_run_began_leaves_no_trace(
    kill: Kill, cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    config = configured(tmp_path, shop, TWO)
    assert kill(config, "stage:locked") == -9
    with opened(config) as (app, _):
        assert app.services.ledger.runs() == []
        take(app)
        assert len(app.services.ledger.backups()) == 1
    with asked_of(config, cluster=cluster, source=shop) as oracle:
        oracle.silent("nothing had begun")


@pytest.mark.fault("kill.backup")
@pytest.mark.parametrize(
    "point", [*BEFORE, *(pytest.param(point, marks=pytest.mark.extended) for point in MORE_BEFORE)]
)
@pytest.mark.sampled(2)
def test_what_was_not_committed_is_swept_by_the_next_run(
    kill: Kill, cluster: Cluster, shop: Conninfo, tmp_path: Path, point: str
) -> None:
    config = configured(tmp_path, shop, TWO)
    assert kill(config, point.format(database=shop.database)) == -9
    assert_nothing_runs(cluster, shop)
    dead = only_run(config)
    assert dead.status == "running"
    with opened(config) as (app, _):
        assert app.services.ledger.backups() == []
        made = take(app)
        assert [row.backup.id for row in app.services.ledger.backups()] == [made]
        lost = newest(app, "backup", dead.backup_id or "")
        assert (lost.status, lost.error_code) == ("lost", "lost")
        assert_only_whole_backups(app)
    with asked_of(config, cluster=cluster) as oracle:
        assert oracle.recorded("backup", "lost") == "lost"


@pytest.mark.fault("kill.backup", "kill.copy")
@pytest.mark.parametrize(
    ("point", "copied"), [*AFTER, *(pytest.param(*more, marks=pytest.mark.extended) for more in MORE_AFTER)]
)
@pytest.mark.sampled(2)
def test_what_was_committed_is_kept_and_a_half_copy_of_it_is_finished(
    kill: Kill, cluster: Cluster, shop: Conninfo, tmp_path: Path, point: str, *, copied: bool
) -> None:
    config = configured(tmp_path, shop, TWO)
    assert kill(config, point) == -9
    assert_nothing_runs(cluster, shop)
    first = only_run(config).backup_id
    with opened(config) as (app, _):
        second = take(app)
        assert {row.backup.id for row in app.services.ledger.backups()} == {second, first}
        assert newest(app, "backup", first or "").status == "succeeded"
        assert app.services.ledger.unfinished() == []
        row = app.services.ledger.backup(first or "")
        assert row is not None
        assert states(row).get("a") == "complete"
        assert (states(row).get("b") == "complete") == copied
        caught_up(app)
        row = app.services.ledger.backup(first or "")
        assert row is not None
        assert states(row) == {"a": "complete", "b": "complete"}
        assert_only_whole_backups(app)
        assert_all_verify(app)
    with asked_of(config, cluster=cluster) as oracle:
        oracle.visible("backup", "succeeded", later=1)


def test_a_process_of_the_same_number_is_swept_too(kill: Kill, shop: Conninfo, tmp_path: Path) -> None:
    """A container that is started again often has the same process numbers."""
    config = configured(tmp_path, shop, {"a": 'url = "store-a"'})
    assert kill(config, "stage:manifest", 7) == -9
    assert kill(config, "", 7) == SURVIVED
    with opened(config) as (app, _):
        assert [run.status for run in app.services.ledger.runs()] == ["succeeded", "lost"]
        assert_only_whole_backups(app)


@pytest.mark.fault("lock.stale")
@pytest.mark.parametrize(("hours", "status"), [(2, "lost"), (0, "running")])
def test_a_run_of_another_host_is_lost_once_its_heartbeat_is_long_gone(
    shop: Conninfo, tmp_path: Path, hours: int, status: Status
) -> None:
    """A container that took the place of a dead one has another host name, and the same ledger."""
    config = configured(tmp_path, shop, {"a": 'url = "store-a"'})
    with opened(config) as (app, _):
        began = app.services.clock.now() - timedelta(hours=hours)
        other = app.services.ledger.begin(
            Run(job="backup", target="shop", started_at=began, host="pod-1", pid=1)
        )
        take(app)
        assert [run.status for run in app.services.ledger.runs()] == ["succeeded", status]
        if status == "running":  # it lives, and comes to its end
            app.services.ledger.finish(other.id, status="cancelled", now=app.services.clock.now())
    with asked_of(config) as oracle:
        oracle.recorded("backup", "cancelled" if status == "running" else status)


@pytest.mark.extended
def test_what_cannot_be_swept_does_not_keep_the_next_backup_from_its_run(
    kill: Kill, shop: Conninfo, tmp_path: Path
) -> None:
    config = configured(tmp_path, shop, TWO)
    assert kill(config, "put:b:.dump.zst.age") == -9
    (tmp_path / "store-b").rename(tmp_path / "elsewhere")
    (tmp_path / "store-b").write_text("no directory")
    with opened(config) as (app, recorder):
        take(app)
        assert len(app.services.ledger.backups()) == 2
        assert [facts["store"] for _, facts in recorder.warnings if "store" in facts] != []
    (tmp_path / "store-b").unlink()
    (tmp_path / "elsewhere").rename(tmp_path / "store-b")
    with opened(config) as (app, _):
        take(app)
        caught_up(app)
        assert_only_whole_backups(app)
        assert_all_verify(app)
    assert_no_drafts(tmp_path)


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with moto.moto_server() as url:
        yield url


@pytest.fixture(scope="module")
def large(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database, 20_000_000)
        yield database


@pytest.mark.fault("kill.backup")
@pytest.mark.parametrize(
    "point",
    [
        "bytes:{database}:18000000",
        pytest.param("stage:streaming:globals", marks=pytest.mark.extended),
        pytest.param("stage:manifest", marks=pytest.mark.extended),
    ],
)
@pytest.mark.extended
def test_an_upload_that_died_is_removed_from_the_bucket(
    kill: Kill, cluster: Cluster, large: Conninfo, bucket: str, tmp_path: Path, point: str
) -> None:
    prefix = tmp_path.name
    s3 = moto.keys(bucket, prefix)
    config = write_config(
        tmp_path,
        large.argv_dsn(),
        encrypted=False,
        stores={"cloud": s3},
        target=f'databases = ["{large.database}"]\ncompression = "none"',
    )
    assert kill(config, point.format(database=large.database)) == -9
    assert_nothing_runs(cluster, large)
    client = moto.raw_client(bucket)
    dead_uploads = client.list_multipart_uploads(Bucket=moto.BUCKET, Prefix=prefix).get("Uploads", [])
    assert bool(dead_uploads) == point.startswith("bytes:")
    with opened(config) as (app, _):
        made = take(app)
        assert [row.backup.id for row in app.services.ledger.backups()] == [made]
        assert_only_whole_backups(app)
        assert_all_verify(app)

    def uploads() -> object:
        return client.list_multipart_uploads(Bucket=moto.BUCKET, Prefix=prefix).get("Uploads", [])

    assert not uploads()
    with asked_of(config, cluster=cluster, source=large, uploads=uploads) as oracle:
        assert oracle.recorded("backup", "lost") == "lost"
