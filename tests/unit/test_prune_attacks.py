"""What somebody who can write to a store tries, to let retention or the catalog lose a good backup; and what wrong records would let it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import catalog, keeping
from holdfast.model import layout
from holdfast.model.errors import BlockedError
from support.yard import DAY, START, Yard, yard

_TOO_LARGE = bytes(64 * 1024**2 + 1)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path) as found:
        yield found


def test_backups_that_are_dated_back_evict_nobody(place: Yard) -> None:
    real = place.take(3)
    place.clock.sleep(2 * DAY)
    for number in range(3):
        place.put(datetime(2031, 3, 1 + number, 0, 0, 1, tzinfo=UTC))
    place.prune()
    assert not set(place.hidden()) & set(real)


def test_a_planted_object_of_any_size_keeps_nobody_from_the_other_backups(place: Yard) -> None:
    taken = place.take(3)
    objects = place.stores["a"].objects
    for folder, name in (
        (taken[0], "pin-20310301T020000Z-00000000.json"),
        ("20200101T000000Z-aaaa", layout.MANIFEST),
    ):
        objects[f"shop/{folder}/{name}"] = _TOO_LARGE
    objects[f"shop/{taken[1]}/ack-20310301T020000Z-00000000.json"] = b"{}"
    objects[f"shop/{taken[1]}/ack-20310301T020000Z-00000000.json.minisig"] = _TOO_LARGE
    found = catalog.rebuild(place.services)
    assert (found.stores, found.backups) == (["a"], 3)
    told = "\n".join(text for _, text in found.problems)
    assert told.count("is larger than") == 3


def test_a_backup_of_the_future_does_not_stand_for_the_one_that_a_new_ledger_waits_for(place: Yard) -> None:
    place.take(6)
    planted = place.put(START + 4000 * DAY)
    place.clock.sleep(timedelta(minutes=1))
    keeping.acknowledge(place.services, place.row(planted), why="a clock was wrong")
    catalog.rebuild(place.services)
    with pytest.raises(BlockedError, match="knows of no good backup since"):
        place.prune()
    place.take()
    place.prune()
    assert place.hidden()


def test_nothing_that_is_hidden_goes_while_fewer_than_the_fewest_are_good(place: Yard) -> None:
    place.rules(minimum=2, daily=1)
    taken = place.take(3)
    place.prune()
    assert place.hidden() == [taken[0]]
    place.drop(taken[0], ["globals"])
    place.drop(taken[2], ["globals"])
    place.clock.sleep(4 * DAY)
    with pytest.raises(BlockedError, match="only 1 good backups would remain"):
        place.prune()
    assert place.ids() == taken
