"""What somebody who can write to a store tries, to let retention or the catalog lose a good backup; and what wrong records would let it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import catalog, keeping, past
from holdfast.model import layout
from holdfast.model.errors import BlockedError
from support.locked_store import LockedStore
from support.marked import bury
from support.shelved import gives_back
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


@pytest.fixture
def versions(tmp_path: Path) -> Iterator[Yard]:
    """A yard whose store keeps versions."""
    with yard(tmp_path, make=lambda name, clock: LockedStore(name, rule=None, now=clock.now)) as made:
        services = made.services
        seen = past.seen_past(made.stores, services.keys, services.ledger, made.clock)
        made.made.services = replace(services, stores=seen)
        yield made


@pytest.mark.fault("attack.delete")
def test_an_old_tombstone_that_is_put_back_lets_retention_remove_nothing_that_is_kept(versions: Yard) -> None:
    taken = versions.take(4)
    bucket, prefix = versions.stores["a"], f"shop/{taken[0]}/"
    versions.prune()
    stone = {key: data for key, data in bucket.objects.items() if key.startswith(f"{prefix}tombstone")}
    assert keeping.undelete(versions.services, versions.row(taken[0])) == ("a",)
    keeping.pin(versions.services, versions.row(taken[0]), why="the auditors want it", until=None)
    versions.clock.sleep(4 * DAY)
    for key in [key for key in bucket.objects if key.startswith(prefix)]:
        bucket.delete(key)
    for key, data in stone.items():
        bucket.put(key, [data])
    for _ in range(3):
        versions.take()
        versions.prune()
    assert taken[0] in versions.listed()
    gives_back(versions.services, versions.row(taken[0]), b"x" * 1000)


def test_a_tombstone_that_was_taken_back_elsewhere_is_not_heeded_again(place: Yard) -> None:
    taken, objects = place.take(4), place.stores["a"].objects
    place.prune()
    stone = {key: data for key, data in objects.items() if "/tombstone" in key}
    for key in stone:
        place.stores["a"].delete(key)
    catalog.rebuild(place.services, quick=True, forget=False)
    objects.update(stone)
    found = catalog.rebuild(place.services)
    assert "was taken back" in str(found.problems)
    assert place.listed() == taken
    place.clock.sleep(4 * DAY)
    place.prune()  # it expires all the same, with a grace of its own
    assert (place.hidden(), place.ids()) == (taken[:1], taken)


def test_a_tombstone_of_one_store_hides_nothing_in_another(tmp_path: Path) -> None:
    with yard(tmp_path, ("a", "b")) as two:
        for store in ("a", "b"):
            two.clock.set(START)
            two.take(4, store=store)
        bury(two.services, two.stores["a"], two.ids()[2])
        for key in [key for key in two.stores["a"].objects if "/tombstone" in key]:
            two.stores["b"].objects[key] = two.stores["a"].objects[key]
        found = catalog.rebuild(two.services)
        assert "is the tombstone of store a" in str(found.problems)
        (copy,) = [each for each in two.row(two.ids()[2]).copies if each.store == "b"]
        assert copy.state == "complete"
