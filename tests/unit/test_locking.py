"""Locks last as long as retention keeps a backup, and no longer than allowed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs import keeping, locking
from holdfast.jobs.copies import catch_up
from holdfast.jobs.reencrypt import copy_to
from holdfast.ledger import locks as known_locks
from holdfast.model.errors import CancelledError, StoreError
from holdfast.stores.base import RefusedError
from holdfast.stores.locking import LockedError
from holdfast.streams import age_keys
from support.vault import after, begin, calls, ends, store_of, vault
from support.yard import DAY, Yard


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with vault(tmp_path) as made:
        yield made


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


def test_a_copy_is_locked_by_the_rules_of_its_store(tmp_path: Path) -> None:
    with vault(tmp_path, ("a", "b")) as two:
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


def test_a_copy_for_others_is_locked_by_what_lies_in_its_store(tmp_path: Path) -> None:
    others = tuple(age_keys.generate().recipient for _ in range(2))
    with vault(tmp_path, ("a", "b")) as two:
        two.rules(daily=14)
        (taken,) = two.take(1)
        copy_to(two.services, "shop", two.services.ledger.backups(), "b", others, two.made.stop)
        assert begin(two, taken, "b") is None
        assert ends(two, taken, "b") == {after(two, days=14).replace(hour=0)}


def test_of_versions_that_look_alike_the_oldest_is_locked(place: Yard) -> None:
    place.rules(monthly=12)
    (taken,) = place.take(1)
    key = f"shop/{taken}/manifest.json"
    place.stores["a"].put(key, [bytes(len(place.stores["a"].objects[key]))])
    begin(place, taken)
    first, second = store_of(place).history[key]
    assert (first.lock.until, second.lock.until) == (after(place, days=35), after(place, days=3))


def test_what_comes_back_is_locked_again(place: Yard) -> None:
    taken = place.take(6)
    place.rules(daily=40)
    begin(place, taken[0])
    place.rules()
    place.prune()
    assert taken[0] in place.hidden()
    keeping.undelete(place.services, place.row(taken[0]))
    place.rules(daily=40)
    place.prune()
    assert ends(place, taken[0]) == {after(place, days=35).replace(hour=0)}
    assert known_locks.of_store(place.services.ledger, "shop", "a")[taken[0]].kept
