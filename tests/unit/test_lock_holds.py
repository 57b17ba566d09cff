"""What is kept for good is held, as long as any reason for it is there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs import keeping
from holdfast.model import schedule
from holdfast.model.planning import Timetable
from holdfast.model.retention import FOREVER
from holdfast.stores.base import RefusedError
from support.vault import after, begin, calls, ends, held, store_of, vault
from support.yard import DAY, Yard


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with vault(tmp_path) as made:
        yield made


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


def test_a_writer_without_the_right_to_hold_leaves_it_to_the_host_that_prunes(place: Yard) -> None:
    place.rules(yearly=FOREVER)
    (taken,) = place.take(1)
    store_of(place).asked.fault = RefusedError("no right to hold")
    assert begin(place, taken) is None
    place.target = replace(place.target, prune=Timetable(schedule=schedule.parse("@daily", zone="UTC")))
    assert begin(place, taken) == "no right to hold"
    store_of(place).asked.fault = None
    place.prune()
    assert held(place, taken) == {True}


def test_what_is_kept_is_not_let_go_either_while_retention_refuses(place: Yard) -> None:
    taken = place.take(2)
    keeping.pin(place.services, place.row(taken[0]), why="audit", until=None)
    keeping.unpin(place.services, place.row(taken[0]), why="done")
    place.take(40)
    place.rules(daily=3, yearly=9)  # the first one stays, for its year
    with pytest.raises(Exception, match="nothing is removed"):
        place.prune()
    assert True in held(place, taken[0])
    place.prune(allow=99)
    assert held(place, taken[0]) == {False}
