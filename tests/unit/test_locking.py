"""Locks last as long as retention keeps a backup, no longer than allowed, and what is kept for good is held."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import keeping, locking
from holdfast.jobs.copies import catch_up
from holdfast.ledger import locks as known_locks
from holdfast.model.errors import CancelledError, StoreError
from holdfast.model.retention import FOREVER
from holdfast.stores.base import RefusedError
from holdfast.stores.locking import LockedError
from support.locked_store import LockedStore, days
from support.yard import DAY, Yard, yard


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with yard(
        tmp_path, make=lambda name, clock: LockedStore(name, rule=days(clock.now), now=clock.now)
    ) as made:
        yield made


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Yard]:
    with yard(
        tmp_path, ("a", "b"), lambda name, clock: LockedStore(name, rule=days(clock.now), now=clock.now)
    ) as made:
        yield made


def store_of(place: Yard, name: str = "a") -> LockedStore:
    found = place.stores[name]
    assert isinstance(found, LockedStore)
    return found


def ends(place: Yard, backup_id: str, store: str = "a") -> set[datetime | None]:
    """Until when the objects of a backup are locked, as the store knows it."""
    history = store_of(place, store).history
    return {
        history[key][0].lock.until
        for key in history
        if backup_id in key and "tombstone" not in key and not history[key][0].version.removal
    }


def held(place: Yard, backup_id: str, store: str = "a") -> set[bool]:
    history = store_of(place, store).history
    return {history[key][0].lock.held for key in history if backup_id in key and "tombstone" not in key}


def begin(place: Yard, backup_id: str, store: str = "a") -> str | None:
    return locking.begin(place.services, place.target, backup_id, store, place.made.stop)


def calls(place: Yard) -> dict[str, int]:
    """What was asked of the locks since the last time."""
    asked = store_of(place).asked
    found = dict(asked.calls)
    asked.calls.clear()
    return found


def after(place: Yard, **delta: float) -> datetime:
    return (place.clock.now() + timedelta(**delta)).replace(microsecond=0)


def test_a_new_backup_is_locked_as_long_as_retention_will_keep_it(place: Yard) -> None:
    (taken,) = place.take(1)
    assert ends(place, taken) == {after(place, days=3)}
    place.rules(daily=14)
    assert begin(place, taken) is None
    assert ends(place, taken) == {after(place, days=14).replace(hour=0)}
    locks = store_of(place).asked
    version = next(locks.versions(f"shop/{taken}/"))
    with pytest.raises(LockedError):
        locks.delete(version)


def test_no_lock_reaches_further_than_the_longest_and_each_is_renewed_in_time(place: Yard) -> None:
    place.rules(monthly=12)
    (taken,) = place.take(1)
    begin(place, taken)
    assert ends(place, taken) == {after(place, days=35)}
    calls(place)
    for _ in range(40):
        place.clock.sleep(DAY)
        place.prune(accept_clock=True)
        (until,) = ends(place, taken)
        assert until is not None
        assert after(place, days=16) < until <= after(place, days=35)
    assert calls(place)["versions"] < 4  # and not each day


def test_most_days_nothing_is_asked(place: Yard) -> None:
    place.take(3)
    place.prune()
    calls(place)
    place.prune()
    assert calls(place) == {}


def test_a_lost_ledger_makes_one_look_and_shortens_nothing(place: Yard) -> None:
    place.rules(daily=20)
    taken = place.take(3)
    place.prune()
    before = [ends(place, each) for each in taken]
    for each in taken:
        with place.services.ledger.writing() as connection:
            connection.execute("DELETE FROM locks WHERE backup_id = ?", [each])
    place.rules(daily=4)
    place.prune()
    assert [ends(place, each) for each in taken] == before
    known = known_locks.of_store(place.services.ledger, "shop", "a")
    assert {each: {known[each].until} for each in taken} == dict(zip(taken, before, strict=True))


def test_what_broke_off_is_mended_by_retention(place: Yard) -> None:
    def stage(name: str) -> None:
        if name == "locking":
            raise CancelledError("killed")

    (taken,) = place.take(1)
    place.stage = stage
    with pytest.raises(CancelledError):
        begin(place, taken)
    assert ends(place, taken) == {after(place, days=3)}
    place.stage = lambda _: None
    place.rules(daily=14)
    place.prune()
    assert ends(place, taken) == {after(place, days=14).replace(hour=0)}


def test_a_failure_to_extend_undoes_nothing_and_is_told(place: Yard) -> None:
    (taken,) = place.take(1)
    store_of(place).asked.fault = RefusedError("no right to lock")
    assert begin(place, taken) == "no right to lock"
    assert place.listed() == [taken]
    assert [event for event, _ in place.made.recorder.warnings] == ["the locks of a backup were not extended"]
    with pytest.raises(StoreError, match=r"locks of .* could not be renewed.*no right to lock"):
        place.prune()
    (run,) = place.services.ledger.runs("shop", "prune", limit=1)
    assert run.status == "failed"


def test_a_store_that_is_away_does_not_keep_retention_from_its_work(place: Yard) -> None:
    taken = place.take(6)
    store_of(place).asked.fault = StoreError("away")
    with pytest.raises(StoreError, match="away"):
        place.prune()
    assert place.hidden() == taken[:3]
    assert calls(place)["versions"] == 1  # the first answer is enough


def test_what_is_hidden_runs_out(place: Yard) -> None:
    taken = place.take(1)
    begin(place, taken[0])
    taken += place.take(5)
    place.prune()
    before = ends(place, taken[0])
    place.clock.sleep(DAY)
    place.prune()
    assert ends(place, taken[0]) == before
    assert not known_locks.of_store(place.services.ledger, "shop", "a")[taken[0]].kept


def test_what_is_kept_for_good_is_held_and_has_no_date_of_its_own(place: Yard) -> None:
    place.rules(yearly=FOREVER)
    first, other = place.take(2)
    begin(place, first)
    begin(place, other)
    assert (held(place, first), held(place, other)) == ({True}, {False})
    assert ends(place, first) == {after(place, days=2)}  # what it was put with
    calls(place)
    place.prune()
    assert calls(place) == {}
    place.rules(yearly=5)
    place.prune()
    assert held(place, first) == {False}
    assert ends(place, first) == {after(place, days=35)}


def test_a_pin_holds_at_once_and_lets_go_when_it_is_over(place: Yard) -> None:
    taken = place.take(2)
    begin(place, taken[0])
    until = place.clock.now() + 40 * DAY
    keeping.pin(place.services, place.row(taken[0]), why="audit", until=until)
    assert held(place, taken[0]) == {True}
    place.take(5)
    place.prune()
    place.clock.sleep(34 * DAY)
    place.prune()
    assert held(place, taken[0]) == {True}
    place.clock.sleep(DAY)
    place.prune()
    assert held(place, taken[0]) == {False}
    assert taken[0] in place.hidden()


def test_a_hold_stays_while_another_reason_for_it_does(place: Yard) -> None:
    place.rules(yearly=FOREVER)
    (taken,) = place.take(1)
    place.prune()
    keeping.pin(place.services, place.row(taken), why="audit", until=None)
    keeping.unpin(place.services, place.row(taken), why="done")
    place.prune()
    assert held(place, taken) == {True}


def test_an_unpinned_one_is_let_go_though_the_ledger_was_lost(place: Yard) -> None:
    taken = place.take(2)
    keeping.pin(place.services, place.row(taken[0]), why="audit", until=None)
    with place.services.ledger.writing() as connection:
        connection.execute("DELETE FROM locks")
    keeping.unpin(place.services, place.row(taken[0]), why="done")
    place.prune()
    assert held(place, taken[0]) == {False}
    assert ends(place, taken[0]) == {after(place, days=3)}


def test_a_hold_of_somebody_else_is_left_alone_and_told_once(place: Yard) -> None:
    (taken,) = place.take(1)
    locks = store_of(place).asked
    for version in locks.versions(f"shop/{taken}/"):
        locks.hold(version, on=True)
    place.prune()
    place.clock.sleep(30 * DAY)
    place.prune()
    assert held(place, taken) == {True}
    told = [event for event, _ in place.made.recorder.warnings]
    assert len([each for each in told if each.startswith("somebody else holds")]) == 1


def test_nothing_is_released_while_retention_refuses(place: Yard) -> None:
    taken = place.take(2)
    keeping.pin(place.services, place.row(taken[0]), why="audit", until=None)
    keeping.unpin(place.services, place.row(taken[0]), why="done")
    place.take(30)
    place.rules(minimum=1)
    with pytest.raises(Exception, match="nothing is removed"):
        place.prune()
    assert True in held(place, taken[0])


def test_a_clock_that_is_wrong_extends_nothing(place: Yard) -> None:
    taken = place.take(3)
    place.prune()
    right, before = place.clock.now(), [ends(place, each) for each in taken]
    store_of(place).now = lambda: right
    place.stores["a"]._now = lambda: right
    place.clock.sleep(2 * DAY)
    place.clock.set(right + 3650 * DAY)
    with pytest.raises(StoreError, match=r"3 backups wait for their locks: .*forward"):
        place.prune()
    assert [ends(place, each) for each in taken] == before


def test_what_is_written_by_a_wrong_clock_is_not_locked_until_it_is_right(place: Yard) -> None:
    right = place.clock.now()
    place.stores["a"]._now = lambda: right
    place.clock.set(right + 3650 * DAY)
    locking.prepare(place.services, place.stores["a"], place.made.stop)
    taken = place.put(right)
    assert ends(place, taken) == {None}
    assert begin(place, taken) is not None
    assert ends(place, taken) == {None}
    place.clock.set(right)
    place.prune()
    assert None not in ends(place, taken)


def test_a_new_mark_is_locked_as_long_as_its_backup(place: Yard) -> None:
    place.rules(monthly=12)
    (taken,) = place.take(1)
    place.prune()
    place.clock.sleep(DAY)
    keeping.acknowledge(place.services, place.row(taken), why="seen")
    assert len(ends(place, taken)) == 2
    place.prune()
    assert max(each for each in ends(place, taken) if each) == after(place, days=35)
    assert len(ends(place, taken)) == 1


def test_what_somebody_planted_beside_a_backup_is_not_locked(place: Yard) -> None:
    place.rules(monthly=12)
    (taken,) = place.take(1)
    key = f"shop/{taken}/huge.dump.zst.age"
    place.stores["a"].put(key, [b"junk"])
    place.stores["a"].put(f"shop/{taken}/manifest.json", [b"junk"])
    place.prune()
    history = store_of(place).history
    assert history[key][0].lock.until == after(place, days=3)
    first, second = history[f"shop/{taken}/manifest.json"]
    assert (first.lock.until, second.lock.until) == (after(place, days=35), after(place, days=3))


def test_what_somebody_deleted_stays_locked(place: Yard) -> None:
    place.rules(monthly=12)
    taken = place.take(2)
    place.prune()
    for key in list(place.stores["a"].objects):
        if taken[0] in key:
            place.stores["a"].delete(key)
    place.clock.sleep(30 * DAY)
    place.prune(accept_clock=True)
    assert ends(place, taken[0]) == {after(place, days=35)}


def test_a_copy_is_locked_by_the_rules_of_its_store(two: Yard) -> None:
    two.rules(daily=14)
    (taken,) = two.take(1)
    catch_up(two.services, two.target, two.made.stop)
    assert ends(two, taken, "b") == {after(two, days=14).replace(hour=0)}


def test_without_a_rule_nothing_is_asked(place: Yard) -> None:
    store_of(place).asked.rule = None
    (taken,) = place.take(1)
    locking.prepare(place.services, place.stores["a"], place.made.stop)
    assert begin(place, taken) is None
    place.prune()
    assert calls(place) == {}
