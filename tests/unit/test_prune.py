"""Retention removes what it should, in two phases, and nothing else whatever happens in between."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import keeping, prune_look
from holdfast.ledger import marks as kept_marks
from holdfast.model.backup import Segment
from holdfast.model.errors import CancelledError, NotFoundError
from holdfast.model.run import Run
from holdfast.stores.base import RefusedError
from support.yard import DAY, Yard, yard

GRACE = timedelta(days=3, minutes=1)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path) as made:
        yield made


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path, ("a", "b")) as made:
        yield made


def test_what_no_rule_keeps_is_hidden_first_and_removed_after_the_grace(place: Yard) -> None:
    taken = place.take(6)
    (result,) = place.prune()
    assert list(result.hidden) == place.hidden() == taken[:3]
    assert place.listed() == taken[3:]
    assert place.ids() == taken
    place.clock.sleep(timedelta(days=2))
    assert place.prune()[0].removed == ()
    place.clock.sleep(GRACE - timedelta(days=2))
    (result,) = place.prune()
    assert list(result.removed) == taken[:3]
    assert result.freed > 0
    assert place.ids() == place.listed() == taken[3:]
    left = {key.split("/")[1]: [] for key in place.stores["a"].objects if key.startswith("shop/")}  # type: ignore[var-annotated]
    for key in place.stores["a"].backups:
        left[key.split("/")[1]].append(key.split("/")[2])
    for gone in taken[:3]:
        assert sorted(left[gone]) == ["tombstone.json", "tombstone.json.minisig"]
        assert place.services.ledger.backup(gone) is None


def test_pruning_again_at_once_does_nothing_more(place: Yard) -> None:
    place.take(6)
    place.prune()
    before = place.stores["a"].backups
    (result,) = place.prune()
    assert (result.hidden, result.removed, result.returned, result.swept) == ((), (), (), ())
    assert place.stores["a"].backups == before


def test_a_dry_run_writes_nothing(place: Yard) -> None:
    taken = place.take(6)
    before = place.stores["a"].backups
    (result,) = place.prune(dry_run=True)
    assert place.stores["a"].backups == before
    assert result.plan is not None
    assert [each.backup_id for each in result.plan.decisions if each.fate == "hide"] == taken[:3]
    assert place.services.ledger.runs() == []


def test_undelete_brings_a_hidden_backup_back_until_it_is_removed(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    assert keeping.undelete(place.services, place.row(taken[0])) == ("a",)
    assert taken[0] in place.listed()
    keeping.pin(place.services, place.row(taken[0]), why="audit", until=None)
    place.clock.sleep(GRACE)
    place.prune()
    assert place.ids() == [taken[0], *taken[3:]]
    with pytest.raises(NotFoundError, match="is not hidden"):
        keeping.undelete(place.services, place.row(taken[0]))


def test_what_is_half_removed_does_not_come_back(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    place.drop(taken[0], ["globals"])
    with pytest.raises(NotFoundError, match="gone already"):
        keeping.undelete(place.services, place.row(taken[0]))
    place.clock.sleep(GRACE)
    place.prune()
    assert taken[0] not in place.ids()


def test_the_text_beside_a_backup_does_not_make_it_whole_or_damaged(place: Yard) -> None:
    (taken,) = place.take(1)
    text = Segment(name="RESTORE.txt", size=9, sha256="0" * 64)
    backup = replace(place.row(taken).backup, documents=(text,))
    assert set(prune_look.segments(backup)) == {"globals.sql.zst.age"}


def test_a_pin_holds_until_it_is_taken_back(place: Yard) -> None:
    taken = place.take(6)
    keeping.pin(place.services, place.row(taken[0]), why="audit", until=None)
    place.prune()
    assert place.hidden() == taken[1:3]
    place.clock.sleep(timedelta(minutes=1))
    keeping.unpin(place.services, place.row(taken[0]), why="over")
    place.prune()
    assert place.hidden() == taken[:3]


def test_a_pin_until_a_time_is_over_then(place: Yard) -> None:
    taken = place.take(6)
    keeping.pin(place.services, place.row(taken[0]), why="x", until=place.clock.now() + DAY)
    place.prune()
    place.clock.sleep(2 * DAY)
    assert place.hidden() == taken[1:3]
    place.prune()
    assert place.hidden() == taken[:3]


# Interruptions


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.extended)])
def test_broken_off_at_any_step_the_next_run_finishes_it(tmp_path: Path, every: int) -> None:
    wanted, steps = _final(tmp_path / "whole", None)
    assert steps > 20
    for step in range(every, steps + 1, every):
        found, _ = _final(tmp_path / f"{step}", step)
        assert found == wanted, step


def _final(folder: Path, breaks_at: int | None) -> tuple[list[str], int]:
    """Prune twice, with the grace between, broken off at a step; give what is in the store when it is done, and the steps."""
    count = 0

    def stage(_: str) -> None:
        nonlocal count
        count += 1
        if count == breaks_at:
            raise CancelledError

    with yard(folder) as place:
        place.rules(daily=2)
        place.take(4)
        place.stage = stage
        for pause in (timedelta(), GRACE):
            place.clock.sleep(pause)
            try:
                place.prune()
            except CancelledError:
                newest = max(place.ids())
                assert newest in {row.backup.id for row in place.services.ledger.backups() if row.good}
                place.prune()
        objects = sorted(key for key in place.stores["a"].objects if not key.startswith("."))
        assert place.listed() == place.ids()
        return [key.replace("0000/", "/") for key in objects], count


# What else lies there


def test_what_nobody_accounts_for_is_swept_when_it_is_old(place: Yard) -> None:
    place.take(1)
    store, stray = place.stores["a"], "shop/20310301T030000Z-00000000/app.dump.zst.age"
    store.put(stray, [b"half a dump"])
    store.put("shop/notes.txt", [b"the owner's"])
    store.put("other/20310301T030000Z-00000000/app.dump.zst.age", [b"another target's"])
    place.take(1)
    assert place.prune()[0].swept == ()
    place.take(2)
    (result,) = place.prune()
    assert result.swept == ("20310301T030000Z-00000000",)
    assert stray not in store.objects
    assert "shop/notes.txt" in store.objects
    assert len([key for key in store.objects if key.startswith("other/")]) == 1


def test_what_is_left_of_a_backup_that_lost_its_manifest_is_not_swept(place: Yard) -> None:
    taken = place.take(6)
    place.drop(taken[0], ["manifest"])
    place.clock.sleep(30 * DAY)
    place.prune()
    assert any(taken[0] in key for key in place.stores["a"].objects)


def test_a_backup_under_way_is_not_swept(place: Yard) -> None:
    place.take(1)
    backup_id = "20310301T030000Z-00000000"
    place.stores["a"].put(f"shop/{backup_id}/app.dump.zst.age", [b"a long dump"])
    place.take(5)
    now = place.clock.now()
    run = place.services.ledger.begin(
        Run(job="backup", target="shop", started_at=now, backup_id=backup_id, host="testhost", pid=1)
    )
    assert place.prune()[0].swept == ()
    place.services.ledger.finish(run.id, status="failed", now=now)
    assert place.prune()[0].swept == (backup_id,)


def test_a_backup_that_is_being_restored_keeps_its_parts(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    place.clock.sleep(GRACE)
    now = place.clock.now()
    run = place.services.ledger.begin(
        Run(job="restore", target="shop", started_at=now, backup_id=taken[0], host="other", pid=1)
    )
    (result,) = place.prune()
    assert list(result.removed) == taken[1:3]
    assert taken[0] in place.ids()
    place.services.ledger.finish(run.id, status="succeeded", now=now)
    assert list(place.prune()[0].removed) == [taken[0]]


def test_tombstones_stand_for_a_year(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    for _ in range(5):
        place.clock.sleep(80 * DAY)
        place.take(1)
        place.prune(accept_clock=True)
    assert not any(taken[0] in key for key in place.stores["a"].objects)
    assert kept_marks.of_backup(place.services.ledger, taken[0]) == []


class _Locking:
    """A store that lets nothing of one backup go."""

    def __init__(self, place: Yard, backup_id: str) -> None:
        self._real, self._id = place.stores["a"].delete, backup_id
        place.stores["a"].delete = self  # type: ignore[method-assign]

    def __call__(self, key: str) -> None:
        if self._id in key:
            raise RefusedError(f"memory://a: cannot delete {key}: object is WORM protected")
        self._real(key)


def test_an_object_lock_is_a_reason_and_no_error(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    place.clock.sleep(GRACE)
    _Locking(place, taken[0])
    (result,) = place.prune()
    assert list(result.removed) == taken[1:3]
    assert [each.said for each in result.locked]
    assert taken[0] in place.ids()
    (run,) = place.services.ledger.runs("shop", "prune", limit=1)
    assert run.status == "succeeded"
