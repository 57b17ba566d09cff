"""Retention that is killed anywhere loses nothing that is to stay, and the next run finishes what it began."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.app import App, open_app
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.find import open_best
from holdfast.jobs.prune import Wish, complain, prune
from holdfast.jobs.reading import stored_chunks
from holdfast.model import layout
from support import moto_server as moto
from support.kill_driver import SURVIVED
from support.marked import bury
from support.oracle import asked_of
from support.shelved import gives_back, shelved
from support.world import Recorder, write_config

Kill = Callable[..., int]
NOWHERE = "postgresql://nobody@127.0.0.1:1/"
RULES = "[targets.shop.retention]\ndaily = 2\nweekly = 0\nmonthly = 0\nyearly = 0\n"
POINTS = (
    "stage:begun",
    "stage:lease:retention",
    "stage:prune:planned",
    "stage:prune:hiding",
    "put:a:tombstone.json.minisig",
    "stage:tombstone_signed",
    "put:a:tombstone.json",
    "stage:marked:tombstone",
    "stage:prune:hidden",
    "stage:prune:hidden#2",
    "stage:prune:removing",
    "stage:prune:object_removed",
    "stage:prune:manifest",
    "stage:prune:object_removed#4",
    "stage:prune:object_removed#5",
    "stage:prune:removed",
    "stage:prune:removing#2",
    "stage:prune:removed#2",
    "stage:prune:sweeping",
    "stage:prune:recorded",
)
FEW = ("stage:tombstone_signed", "stage:prune:manifest", "stage:prune:object_removed#5")


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    with moto.moto_server() as url:
        yield url


def prepared(folder: Path, keys: str) -> tuple[Path, dict[str, list[str]]]:
    """A store with six backups: two that were hidden long ago, two that expire, two that stay; and what a failed one left."""
    config = write_config(folder, NOWHERE, stores={"a": keys}, more=RULES)
    with open_app(config, (), reporter=Recorder(), quiet=True) as app:
        services, store = app.writing_services(), app.services.store("a")
        now = services.clock.now()
        ids = [layout.new_backup_id(now - timedelta(days=days), "00") for days in (9, 8, 3, 2, 1, 0)]
        for backup_id in ids:
            shelved(services, store, backup_id)
        for backup_id in ids[:2]:
            bury(services, store, backup_id, at=now - timedelta(days=4))
    return config, {"gone": ids[:2], "hidden": ids[2:4], "kept": ids[4:]}


def state(config: Path) -> tuple[list[str], list[str], list[str]]:
    """What the ledger lists and what it hides, looked up anew, and the objects that lie in the store."""
    with open_app(config, (), reporter=Recorder(), quiet=True) as app:
        rows = app.services.ledger.backups()
        keys = sorted(found.key for found in app.services.store("a").list("shop/"))
        return (
            sorted(row.backup.id for row in rows if row.good),
            sorted(row.backup.id for row in rows if row.hidden),
            keys,
        )


def assert_whole(app: App, ids: list[str]) -> None:
    for backup_id in ids:
        row = app.services.ledger.backup(backup_id)
        assert row is not None
        opened = open_best(app.services, row)
        for part in opened.backup.parts:
            assert sum(map(len, stored_chunks(opened.place, part))) == part.stored_size


def killed_and_finished(
    folder: Path, keys: str, point: str, kill: Kill, uploads: Callable[[], list[object]] = list
) -> None:
    config, expected = prepared(folder, keys)
    with (
        asked_of(config, restores=gives_back, uploads=uploads) as oracle,
        open_app(config, (), reporter=Recorder(), quiet=True) as app,
    ):
        assert oracle.before_of("shop") == {*expected["hidden"], *expected["kept"]}
        code = kill(config, point, job="prune")
        assert code == (SURVIVED if point == "stage:prune:sweeping" else -9), point
        rebuild(app.services, quick=True, forget=False)
        assert_whole(app, expected["kept"])
        (target,) = app.targets
        complain(prune(app.services, target, app.stop, wish=Wish()))
        runs = app.services.ledger.runs("shop", "prune")
        assert [run.status for run in runs] == ["succeeded", "succeeded" if code == SURVIVED else "lost"]
        oracle.visible("prune", runs[1].status, later=1)
        assert_whole(app, expected["kept"])
    listed, hidden, objects = state(config)
    assert (listed, hidden) == (expected["kept"], expected["hidden"])
    for gone in expected["gone"]:
        left = [key.rpartition("/")[2] for key in objects if gone in key]
        assert left == ["tombstone.json", "tombstone.json.minisig"]
    for there in expected["hidden"]:
        names = {key.rpartition("/")[2] for key in objects if there in key}
        assert names >= {"manifest.json", "globals.sql.zst.age", "tombstone.json", "tombstone.json.minisig"}


@pytest.mark.fault("kill.prune")
@pytest.mark.parametrize(
    "point", [*FEW, *(pytest.param(each, marks=pytest.mark.extended) for each in POINTS if each not in FEW)]
)
def test_killed_at_any_stage_the_next_run_finishes_it(tmp_path: Path, kill: Kill, point: str) -> None:
    killed_and_finished(tmp_path, 'url = "store-a"', point, kill)


@pytest.mark.fault("kill.prune")
@pytest.mark.parametrize("point", [pytest.param(each, marks=pytest.mark.extended) for each in POINTS])
def test_the_same_on_s3(tmp_path: Path, kill: Kill, s3: str, point: str) -> None:
    prefix = tmp_path.name.replace("_", "-")
    keys = moto.keys(s3, prefix)
    listed, where = moto.raw_client(s3).list_multipart_uploads, {"Bucket": moto.BUCKET, "Prefix": prefix}
    killed_and_finished(tmp_path, keys, point, kill, lambda: listed(**where).get("Uploads", []))
