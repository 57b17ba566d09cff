"""Retention, copies and what a person said of backups, where stores, clocks and names change under them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import catalog, copies, disaster, keeping
from holdfast.jobs.copies import catch_up
from holdfast.jobs.sweep import sweep
from holdfast.jobs.verify import verify
from holdfast.ledger import losses
from holdfast.ledger import retention as kept
from holdfast.model import layout
from holdfast.model.errors import BlockedError, StoreError
from holdfast.model.proof import Proof
from holdfast.model.pruning import largest_run
from holdfast.model.retention import FOREVER, Policy
from holdfast.model.run import Run
from holdfast.model.target import Rules
from holdfast.stores.base import Stored
from support.memory_store import MemoryStore
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


# Copies


def _as_the_manifest_comes(two: Yard, backup_id: str, act: str) -> None:
    """Let something befall the copy in b when all but its signed manifest is there."""
    put = two.stores["b"].put

    def watched(key: str, chunks: object, *, absent: bool = False) -> bool:
        if key.endswith("/globals.sql.zst.age"):
            done = put(key, chunks, absent=absent)  # type: ignore[arg-type]
            waiting.append(key)
            return done
        return put(key, chunks, absent=absent)  # type: ignore[arg-type]

    listed = two.stores["b"].list

    def lists(prefix: str = "") -> Iterator[object]:
        if waiting and prefix.endswith(f"{backup_id}/"):
            two.stores["b"].list = listed  # type: ignore[method-assign]
            if act == "unmount":
                two.stores["b"].objects.clear()
            else:
                sweep(two.services, two.target)
        return listed(prefix)

    waiting: list[str] = []
    two.stores["b"].put = watched  # type: ignore[method-assign]
    two.stores["b"].list = lists  # type: ignore[method-assign,assignment]


def test_a_copy_whose_parts_vanish_on_the_way_is_not_committed(two: Yard) -> None:
    (taken,) = two.take(1)
    _as_the_manifest_comes(two, taken, "unmount")
    done = catch_up(two.services, two.target, two.made.stop)
    assert isinstance(done.error(), StoreError)
    assert two.ids("b") == []
    assert catch_up(two.services, two.target, two.made.stop).copied == [(taken, "b")]


def test_who_clears_up_after_a_failed_run_leaves_a_copy_alone_that_goes_on(two: Yard) -> None:
    """The run failed when its backup was committed already, such as for a ledger that was busy too long."""
    (taken,) = two.take(1)
    run = two.services.ledger.begin(
        Run(job="backup", target="shop", started_at=two.clock.now(), backup_id=taken, host="testhost", pid=1)
    )
    two.services.ledger.finish(run.id, status="failed", now=two.clock.now())
    _as_the_manifest_comes(two, taken, "sweep")
    assert catch_up(two.services, two.target, two.made.stop).copied == [(taken, "b")]
    assert two.stores["b"].backups == two.stores["a"].backups


def test_a_copy_that_goes_on_or_broke_off_is_not_called_gone(two: Yard) -> None:
    (taken,) = two.take(1)
    two.services.ledger.record_copy(taken, "b", "copying", two.clock.now())
    assert verify(two.services, two.row(taken), two.made.stop, store="b") == []
    assert [row.backup.id for row in copies.missing(two.services, two.target, "b")] == [taken]


# What a person said


def test_an_ack_outlives_the_backup_that_it_was_put_beside(place: Yard) -> None:
    place.rules(monthly=12)
    taken = place.take(2)
    with place.services.ledger.writing() as connection:
        connection.execute(
            "INSERT INTO measures VALUES ('shop', 'app', 'rows', ?, 10, 1000.0, -5.0)", [taken[0]]
        )
    keeping.acknowledge(place.services, place.row(taken[1]), why="the archive was emptied")
    assert kept.unusual(place.services.ledger, "shop") == []
    for _ in range(2):
        place.take(5)
        place.prune()
        place.clock.sleep(GRACE)
        place.prune()
    assert taken[0] in place.ids()
    assert taken[1] not in place.ids()
    assert kept.unusual(place.services.ledger, "shop") == []


def test_a_hidden_backup_comes_back_though_its_store_has_another_name_now(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    store = place.stores["b"] = place.stores.pop("a")
    store.name = "b"
    place.made.services = dataclasses.replace(place.made.services, stores={"b": store})
    catalog.rebuild(place.services, forget=False)
    assert {copy.store for copy in place.row(taken[0]).copies} == {"a", "b"}
    assert keeping.undelete(place.services, place.row(taken[0])) == ("b",)
    assert place.hidden("b") == taken[1:3]


def test_a_damaged_backup_that_is_hidden_stays_damaged_through_a_rebuild(place: Yard) -> None:
    taken = place.take(6)
    place.services.ledger.record_copy(taken[0], "a", "damaged", place.clock.now(), "bits rotted")
    place.prune()
    assert taken[0] in place.hidden()
    catalog.rebuild(place.services)
    keeping.undelete(place.services, place.row(taken[0]))
    assert [copy.state for copy in place.row(taken[0]).copies] == ["damaged"]


def test_the_pin_that_was_put_last_holds_though_another_host_s_clock_is_ahead(place: Yard) -> None:
    taken = place.take(6)
    row, right = place.row(taken[0]), place.clock.now()
    keeping.pin(place.services, row, why="audit", until=None)
    place.clock.set(right + timedelta(minutes=50))
    keeping.unpin(place.services, row, why="over")
    place.clock.set(right + timedelta(minutes=1))
    keeping.pin(place.services, row, why="the audit goes on", until=None)
    assert list(place.prune()[0].hidden) == taken[1:3]
    keeping.unpin(place.services, row, why="over")
    assert list(place.prune()[0].hidden) == taken[:1]


def test_what_a_listing_that_was_cut_short_lacked_is_whole_in_the_next(place: Yard) -> None:
    taken = place.take(3)
    store, listed = place.stores["a"], place.stores["a"].list
    store.list = lambda prefix="": (each for each in listed(prefix) if "globals" not in each.key)  # type: ignore[method-assign]
    catalog.rebuild(place.services, quick=True, forget=False)
    assert place.listed() == []
    store.list = listed  # type: ignore[method-assign]
    catalog.rebuild(place.services, quick=True, forget=False)
    assert place.listed() == taken


@pytest.mark.parametrize("lacks", ["globals", "manifest.json"])
def test_a_listing_that_was_cut_short_removes_nothing_that_the_rules_keep(place: Yard, lacks: str) -> None:
    taken = place.take(6)
    place.prune()
    place.clock.sleep(GRACE)
    place.rules(daily=6)
    store, listed = place.stores["a"], place.stores["a"].list
    store.list = lambda prefix="": (  # type: ignore[method-assign]
        each for each in listed(prefix) if not (lacks in each.key and taken[0] in each.key)
    )
    assert place.prune()[0].removed == ()
    store.list = listed  # type: ignore[method-assign]
    place.prune()
    assert place.listed() == taken


@pytest.mark.parametrize("elsewhere", [True, False])
def test_a_hidden_copy_that_one_listing_shows_and_another_does_not_is_left_for_the_next_run(
    two: Yard, *, elsewhere: bool
) -> None:
    taken = two.take(6)
    two.target = dataclasses.replace(two.target, retention_in={"b": Rules(policy=Policy(daily=FOREVER))})
    if elsewhere:
        catch_up(two.services, two.target, two.made.stop)
    two.prune()
    two.clock.sleep(GRACE)
    two.rules(daily=6)
    store, listed = two.stores["a"], two.stores["a"].list
    cut = [taken[0]]

    def lists(prefix: str = "") -> Iterator[Stored]:
        short, cut[:] = list(cut), []
        return (
            each
            for each in listed(prefix)
            if "tombstone" in each.key or not any(found in each.key for found in short)
        )

    store.list = lists  # type: ignore[method-assign]
    two.prune()
    assert two.ids("a") == taken
    two.prune()
    assert (two.ids("a"), two.hidden("a")) == (taken, [])


# Clocks and numbers


def test_a_clock_that_jumped_takes_no_tombstone_away(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    place.clock.sleep(GRACE)
    place.prune()
    right = place.clock.now()
    place.clock.set(right + timedelta(days=3650))
    with pytest.raises(BlockedError, match="jumped forward"):
        place.prune()
    assert f"shop/{taken[0]}/tombstone.json" in place.stores["a"].objects


def test_a_ledger_that_was_made_years_ahead_lets_retention_go_on_when_the_clock_was_put_right(
    place: Yard,
) -> None:
    taken = place.take(6)
    ahead = "2100-01-01T00:00:00Z"
    for key in ("created_at", losses.SETTLE_AFTER):
        place.services.ledger.meta_set(key, ahead)
    place.clock.sleep(timedelta(hours=1))
    with pytest.raises(BlockedError, match="ledger is of 2100"):
        place.prune()
    with pytest.raises(BlockedError, match="ledger is of 2031"):
        place.prune(accept_clock=True)
    place.take(1)
    assert list(place.prune()[0].hidden) == taken[:4]


def test_many_new_backups_make_no_room_for_a_typo_that_takes_the_old_ones(place: Yard) -> None:
    place.rules(hourly=24, daily=7, weekly=4, monthly=12, yearly=9)
    place.take(20, every=timedelta(days=31))
    place.prune(allow=99)
    for _ in range(3):
        place.take(24, every=timedelta(hours=1))
        place.prune()
    old = place.listed()
    place.rules(hourly=24)
    for _ in range(4):
        place.take(24, every=timedelta(hours=1))
        with pytest.raises(BlockedError, match="at once"):
            place.prune()
    assert set(old) <= set(place.listed())


def test_a_run_may_take_away_what_new_ones_push_out_and_little_more() -> None:
    assert (largest_run(0, 0), largest_run(90, 0), largest_run(9, 24), largest_run(9, 24, 3)) == (
        10,
        30,
        34,
        3,
    )


# Stores that come and go


def _proven(place: Yard, backup_id: str) -> None:
    proof = Proof(
        backup_id=backup_id, target="shop", level="proven", method="restored", at=place.clock.now(), store="a"
    )
    place.services.ledger.record_proof(proof)


def _without_a(two: Yard) -> None:
    """The first store breaks down for good, and is taken out of the config."""
    two.made.services = dataclasses.replace(two.made.services, stores={"b": two.stores["b"]})
    two.target = dataclasses.replace(two.target, stores=("b",))


def test_a_disaster_is_not_answered_with_a_backup_that_nobody_can_reach(two: Yard) -> None:
    (lost,) = two.take(1, store="a")
    _proven(two, lost)
    two.clock.sleep(DAY)
    (there,) = two.take(1, store="b")
    _without_a(two)
    assert disaster.choose(two.services, "shop", two.clock.now() + DAY).row.backup.id == there


def test_a_rebuild_forgets_what_lies_in_stores_that_the_config_has_no_more(two: Yard) -> None:
    two.take(2, store="a")
    two.clock.sleep(DAY)
    there = two.take(2, store="b")
    _without_a(two)
    result = catalog.rebuild(two.services, store="b")
    assert (len(two.listed()), result.forgotten) == (4, 0)
    assert catalog.rebuild(two.services).forgotten == 2
    assert two.listed() == there


def test_what_nobody_can_reach_takes_no_place_of_what_is_copied(two: Yard) -> None:
    early = two.take(3, store="a")
    two.clock.sleep(timedelta(hours=1))
    later = [two.put(two.clock.now() - number * DAY, store="b") for number in (2, 1, 0)]
    new = MemoryStore("c", now=two.clock.now)
    two.made.services = dataclasses.replace(two.made.services, stores={"b": two.stores["b"], "c": new})
    two.target = dataclasses.replace(two.target, stores=("b", "c"))
    found = [row.backup.id for row in copies.missing(two.services, two.target, "c")]
    assert found == sorted(later)
    assert not set(found) & set(early)


def test_a_store_that_is_away_is_told_of_once_however_many_runs_failed(place: Yard) -> None:
    for number in range(5):
        at = place.clock.now()
        run = Run(job="backup", target="shop", status="failed", started_at=at, finished_at=at, host="h")
        place.services.ledger.begin(
            dataclasses.replace(run, backup_id=layout.new_backup_id(at, f"000{number}"))
        )
    place.stores["a"].list = _away  # type: ignore[method-assign,assignment]
    sweep(place.services, place.target)
    told = [event for event, _ in place.made.recorder.warnings if event.startswith("could not clear up")]
    assert len(told) == 1


def _away(_prefix: str = "") -> Iterator[object]:
    raise StoreError("it is away")
