"""Retention in several stores, and beside the other jobs that work on the same backups."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import copies, runner, scheduled
from holdfast.jobs.find import find, places
from holdfast.jobs.news import Desk
from holdfast.jobs.scheduled import KINDS
from holdfast.jobs.scrub import scrub
from holdfast.jobs.verify import verify
from holdfast.ledger import facts, standings
from holdfast.ledger.standings import Key
from holdfast.model.errors import StoreError
from holdfast.model.retention import FOREVER, Policy
from holdfast.model.run import Occasion
from holdfast.model.target import Rules
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


def test_each_store_has_its_own_rules(two: Yard) -> None:
    taken = two.take(6)
    for each in taken:
        _copy(two, each)
    rules = Rules(policy=Policy(daily=FOREVER))
    two.target = dataclasses.replace(two.target, retention_in={"b": rules})
    two.prune()
    two.clock.sleep(GRACE)
    two.prune()
    assert (two.ids("a"), two.ids("b")) == (taken[3:], taken)
    assert two.listed() == taken
    assert [copy.store for copy in two.row(taken[0]).copies] == ["b"]


def test_a_backup_that_is_hidden_in_one_store_is_restored_from_the_other(two: Yard) -> None:
    taken = two.take(6)
    for each in taken:
        _copy(two, each)
    two.target = dataclasses.replace(two.target, retention_in={"b": Rules(policy=Policy(daily=FOREVER))})
    two.prune()
    row = find(two.services, taken[0])
    assert not row.hidden
    assert [each.store.name for each in places(two.services, row)] == ["b"]


def test_a_store_that_is_away_keeps_nobody_else_from_its_work(two: Yard) -> None:
    taken = two.take(6)
    for each in taken:
        _copy(two, each)

    def away(_: str = "") -> Iterator[object]:
        raise StoreError("b is away")

    two.stores["b"].list = away  # type: ignore[method-assign,assignment]
    with pytest.raises(StoreError, match="store b"):
        two.prune()
    assert two.hidden("a") == taken[:3]
    assert two.hidden("b") == []


def _copy(place: Yard, backup_id: str) -> None:
    for key, data in list(place.stores["a"].objects.items()):
        if backup_id in key:
            place.stores["b"].put(key, [data])
    place.services.ledger.record_copy(backup_id, "b", "complete", place.clock.now())


def test_what_retention_removed_from_a_store_is_not_copied_there_again(two: Yard) -> None:
    taken = two.take(6)
    for each in taken:
        _copy(two, each)
    two.target = dataclasses.replace(two.target, retention_in={"a": Rules(policy=Policy(daily=FOREVER))})
    two.prune()
    for _ in range(2):
        assert copies.missing(two.services, two.target, "b") == []
        two.clock.sleep(GRACE)
        two.prune()
    assert (two.ids("a"), two.ids("b")) == (taken, taken[3:])
    for _ in range(5):
        two.clock.sleep(80 * DAY)
        _copy(two, *two.take(1))
        two.prune(accept_clock=True)
    assert copies.missing(two.services, two.target, "b") == []


def test_backups_that_wait_for_copies_push_out_no_good_one(two: Yard) -> None:
    two.services.ledger.needed = {"shop": 2}
    taken = two.take(4)
    for each in taken:
        _copy(two, each)
    lonely = two.take(3)
    results = two.prune()
    assert [each.hidden for each in results] == [(taken[0],), (taken[0],)]
    assert (two.listed(), two.row(lonely[0]).waiting) == (taken[1:], True)
    for each in lonely:
        _copy(two, each)
    two.prune()
    assert sorted({*two.ids("a")} - {*two.hidden("a")}) == lonely
    # Copies that came days late take no place of what came in time, until as many new ones did.
    assert sorted({*two.ids("b")} - {*two.hidden("b")}) == taken[3:] + lonely


def test_a_copy_in_a_store_that_is_none_of_the_targets_makes_no_backup_good(two: Yard) -> None:
    """A partner's, which we may not open, or one that was taken out of the config."""
    ledger = two.services.ledger
    ledger.needed, ledger.among = {"shop": 2}, {"shop": ("a", "b")}
    taken = two.take(4)
    for each in taken:
        _copy(two, each)
    lonely = two.take(3)
    for each in lonely:
        ledger.record_copy(each, "partner", "complete", two.clock.now())
    assert [each.hidden for each in two.prune()] == [(taken[0],), (taken[0],)]
    assert (two.listed(), two.row(lonely[0]).waiting) == (taken[1:], True)
    for among, newest in (({"shop": ["a", "b"]}, taken[3]), ({}, lonely[2])):
        found = facts.overview(ledger.path, two.clock.now(), {"shop": 2}, among)
        assert found.newest["shop"].backup_id == newest


def test_a_copy_that_retention_took_away_makes_the_other_no_less_good(two: Yard) -> None:
    two.services.ledger.needed = {"shop": 2}
    taken = two.take(6)
    for each in taken:
        _copy(two, each)
    two.target = dataclasses.replace(two.target, retention_in={"b": Rules(policy=Policy(daily=FOREVER))})
    for _ in range(2):
        two.prune()
        assert two.listed() == taken
        two.clock.sleep(GRACE)
    assert two.ids("a") == taken[3:]
    two.services.ledger.record_copy(taken[5], "a", "damaged", two.clock.now(), "bits rotted")
    assert two.listed() == taken[:5]


def test_a_copy_that_is_hidden_while_it_is_verified_stays_hidden(place: Yard) -> None:
    taken = place.take(6)
    row = place.row(taken[0])
    place.prune()
    assert verify(place.services, row, place.made.stop) == []
    assert place.hidden() == taken[:3]
    assert place.row(taken[0]).hidden


@pytest.mark.fault("store.clock")
def test_a_store_that_cannot_tell_its_time_keeps_nobody_else_from_its_work(two: Yard) -> None:
    taken = two.take(6)
    for each in taken:
        _copy(two, each)

    def full(*_: object, **__: object) -> bool:
        raise StoreError("b is full")

    two.stores["b"].put = full  # type: ignore[method-assign]
    with pytest.raises(StoreError, match="store b"):
        two.prune()
    assert (two.hidden("a"), two.hidden("b")) == (taken[:3], [])


def test_a_blocked_run_by_schedule_is_a_failure_that_is_told(place: Yard) -> None:
    place.take(6)
    place.put(place.clock.now() + DAY)
    kind = next(each for each in KINDS if each.job == "prune")
    scheduled.execute(kind, place.services, place.target, place.made.stop, Occasion(trigger="schedule"))
    desk = Desk(ledger=place.services.ledger, timetables={}, host="db1", now=place.clock.now())
    key: Key = ("prune", "shop")
    told = list(desk.of(key, standings.last(place.services.ledger, key)))
    assert [(each.event.kind, each.event.error_code) for each in told] == [("failure", "retention")]
    assert "dated later than can be true" in str(told[0].event.error)


def test_a_tombstone_that_was_taken_away_in_the_meantime_removes_nothing(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    place.clock.sleep(GRACE)

    def undeleted(stage: str) -> None:
        if stage == "prune:planned":
            place.drop(taken[0], ["tombstone"])

    place.stage = undeleted
    assert list(place.prune()[0].removed) == taken[1:3]
    assert taken[0] in place.ids()
    place.stage = lambda _: None
    place.prune()
    assert taken[0] in place.hidden()  # no rule keeps it: it has its grace anew


def test_the_manifest_goes_after_the_parts(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    place.clock.sleep(GRACE)
    gone: list[str] = []
    delete = place.stores["a"].delete

    def noted(key: str) -> None:
        gone.append(key)
        delete(key)

    place.stores["a"].delete = noted  # type: ignore[method-assign]
    place.prune()
    names = [key.rpartition("/")[2] for key in gone if taken[0] in key]
    assert names == ["globals.sql.zst.age", "manifest.json", "manifest.json.minisig"]


def test_a_backup_that_is_hidden_while_a_scrub_goes_on_is_left_alone(place: Yard) -> None:
    taken = place.take(4)
    place.clock.sleep(60 * DAY)
    target = dataclasses.replace(place.target, scrub_every=86400.0)

    class Meter(runner.Meter):
        def add(self, count: int) -> None:
            super().add(count)
            place.services.ledger.record_copy(taken[1], "a", "hidden", place.clock.now())

    results = scrub(place.services, target, Meter(), place.made.stop, interval=60 * DAY)
    assert sorted(each.backup_id for each in results) == [taken[0], *taken[2:]]
    assert place.row(taken[1]).hidden
