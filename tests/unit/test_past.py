"""What somebody deletes or writes over in a store that keeps versions is found, read, told of and uncovered."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import keeping, past
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.repair import repair
from holdfast.jobs.verify import verify
from holdfast.jobs.writing import Place
from holdfast.stores.base import ExistsError, Store
from holdfast.stores.locking import Lock
from holdfast.stores.read_only import ReadOnlyStore
from holdfast.stores.versioned import VersionedStore, versioned
from support.locked_store import LockedStore
from support.marked import bury
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world
from support.yard import DAY, Yard, yard

FIRST, SECOND = "20261121T020000Z-aaaa", "20261122T020000Z-bbbb"
NOWHERE = "postgresql://nobody@127.0.0.1:1/"
GRACE = timedelta(days=3, minutes=1)
PART = "globals.sql.zst.age"


@pytest.fixture
def bucket() -> LockedStore:
    return LockedStore("a", rule=None)


def watching(made: World, *stores: Store) -> None:
    """Let a host see the stores as the program does."""
    services = made.services
    named = {each.name: each for each in stores}
    made.services = replace(
        services, stores=past.seen_past(named, services.keys, services.ledger, services.clock)
    )


@pytest.fixture
def home(tmp_path: Path, bucket: LockedStore) -> Iterator[World]:
    with world(tmp_path, NOWHERE, stores={"a": bucket}) as made:
        made.services = replace(made.services, keys=replace(made.keys, identities=()))
        watching(made, bucket)
        shelved(made.services, made.services.store("a"), FIRST)
        shelved(made.services, made.services.store("a"), SECOND)
        rebuild(made.services)
        yield made


@pytest.fixture
def elsewhere(tmp_path: Path, home: World, bucket: LockedStore) -> Iterator[World]:
    """Another host, with our keys and an empty ledger, that may read only."""
    with world(tmp_path / "elsewhere", NOWHERE, stores={"a": bucket}) as made:
        made.services = replace(made.services, keys=home.keys)
        watching(made, ReadOnlyStore(bucket))
        yield made


def states(made: World) -> dict[str, str]:
    return {row.backup.id: row.copies[0].state for row in made.services.ledger.backups()}


def covers(made: World, backup_id: str = FIRST) -> str | None:
    row = made.services.ledger.backup(backup_id)
    assert row is not None
    return row.copies[0].covered


def errors(made: World) -> list[object]:
    rows = made.services.ledger.backups()
    return [each.error for row in rows for each in verify(made.services, row, made.stop)]


def delete_all(bucket: LockedStore) -> None:
    for key in list(bucket.objects):
        bucket.delete(key)


def write_over_all(bucket: LockedStore) -> None:
    for key in list(bucket.objects):
        bucket.put(key, [b"ransom"])


def both(bucket: LockedStore) -> None:
    delete_all(bucket)
    for name in (PART, "manifest.json", "manifest.json.minisig", "tombstone.json"):
        bucket.put(f"shop/{FIRST}/{name}", [b"planted"])


@pytest.mark.fault("attack.delete")
@pytest.mark.parametrize("attack", [delete_all, write_over_all, both])
def test_what_was_deleted_or_written_over_is_there_read_and_told_of(
    home: World, elsewhere: World, bucket: LockedStore, attack: object
) -> None:
    assert callable(attack)
    attack(bucket)
    for made in (home, elsewhere):
        result = rebuild(made.services, forget=False)
        assert states(made) == {FIRST: "complete", SECOND: "complete"}
        told = {where: problem for where, problem in result.problems if "repair" in problem}
        assert set(told) == {f"shop/{FIRST}/", f"shop/{SECOND}/"}
        assert all("3 objects" in text and " since 20" in text for text in told.values())
        assert "3 objects" in (covers(made) or "")
    for made in (home, elsewhere):
        rows = made.services.ledger.backups()
        for verified in (each for row in rows for each in verify(made.services, row, made.stop)):
            assert "deleted" in str(verified.error) or "written over" in str(verified.error)
            assert verified.proof is not None
        assert {row.proof for row in made.services.ledger.backups()} == {"verified"}
        assert {run.status for run in made.services.ledger.runs("shop", "verify")} == {"failed"}
        assert states(made) == {FIRST: "complete", SECOND: "complete"}


def test_nothing_is_told_where_nothing_happened(home: World) -> None:
    assert rebuild(home.services).problems == []
    assert covers(home) is None


@pytest.mark.fault("attack.delete")
def test_it_is_uncovered_by_repair_and_then_nothing_is_told(home: World, bucket: LockedStore) -> None:
    good = dict(bucket.objects)
    both(bucket)
    rebuild(home.services, forget=False)
    row = home.services.ledger.backup(FIRST)
    assert row is not None
    (done,) = repair(home.services, row, home.stop)
    assert (done.error, set(done.uncovered)) == (None, {PART, "manifest.json", "manifest.json.minisig"})
    assert {key: bucket.objects[key] for key in good if FIRST in key} == {
        key: data for key, data in good.items() if FIRST in key
    }
    assert covers(home) is None
    assert covers(home, SECOND) is not None


def test_without_the_right_to_uncover_it_is_told_how(home: World, bucket: LockedStore) -> None:
    delete_all(bucket)
    bucket.asked.forbidden.add("delete")
    rebuild(home.services, forget=False)
    row = home.services.ledger.backup(FIRST)
    assert row is not None
    (done,) = repair(home.services, row, home.stop)
    assert done.error is not None
    assert "may not" in done.error.message
    assert done.error.hint
    assert states(home)[FIRST] == "complete"


def test_a_damaged_object_is_mended_for_good(home: World, bucket: LockedStore) -> None:
    other = MemoryStore("b")
    other.objects.update(bucket.objects)
    watching(home, bucket, other)
    rebuild(home.services)
    key = f"shop/{FIRST}/{PART}"
    (kept,) = bucket.history[key]
    bucket.objects[key] = kept.data = b"x" * len(kept.data)
    row = home.services.ledger.backup(FIRST)
    assert row is not None
    assert all(each.error is None for each in repair(home.services, row, home.stop))
    assert [each.data for each in bucket.history[key]] == [other.objects[key]]


def test_what_lies_over_a_damaged_object_may_be_the_good_one(home: World, bucket: LockedStore) -> None:
    """As a repair leaves it that may not remove what is beneath."""
    other, key = MemoryStore("b"), f"shop/{FIRST}/{PART}"
    other.objects.update(bucket.objects)
    watching(home, bucket, other)
    rebuild(home.services)
    (kept,) = bucket.history[key]
    bucket.objects[key] = kept.data = b"x" * len(kept.data)
    row = home.services.ledger.backup(FIRST)
    assert row is not None
    bucket.asked.forbidden.add("delete")
    assert repair(home.services, row, home.stop, store="a")[0].error is not None
    assert bucket.objects[key] == other.objects[key]
    bucket.asked.forbidden.clear()
    good = other.objects.pop(key)
    watching(home, bucket, other)
    assert repair(home.services, row, home.stop, store="a")[0].error is not None
    assert bucket.objects[key] == good


def hurry(made: World, days: float) -> None:
    """Move the clock of a host."""
    clock = made.services.clock

    class Later:
        now = staticmethod(lambda: clock.now() + timedelta(days=days))
        boot, monotonic = clock.boot, clock.monotonic

    made.services = replace(made.services, clock=Later())
    stores = [
        each.inner if isinstance(each, VersionedStore) else each for each in made.services.stores.values()
    ]
    watching(made, *stores)


@pytest.mark.fault("attack.delete")
@pytest.mark.parametrize("rights", ["all", "hide only"])
def test_what_retention_removed_does_not_come_back(home: World, bucket: LockedStore, rights: str) -> None:
    bucket.asked.forbidden = set() if rights == "all" else {"delete"}
    bury(home.services, home.services.store("a"), FIRST)
    rebuild(home.services)
    assert states(home)[FIRST] == "hidden"
    hurry(home, 4)
    place = Place(store=home.services.store("a"), target="shop", backup_id=FIRST)
    for each in list(place.store.list(place.prefix)):
        if "tombstone" not in each.key:
            place.store.delete(each.key)
    result = rebuild(home.services)
    assert (states(home), result.problems) == ({SECOND: "complete"}, [])
    assert [each.key.rpartition("/")[2] for each in place.store.list(place.prefix)] == [
        "tombstone.json",
        "tombstone.json.minisig",
    ]
    left = {key for key in bucket.history if FIRST in key}
    assert len(left) == (2 if rights == "all" else 5)
    seen = versioned(place.store)
    assert seen is not None
    assert seen.only_hides is (rights != "all")


@pytest.mark.parametrize("rights", ["all", "hide only"])
def test_a_hidden_backup_can_come_back_though_somebody_deleted_it(
    home: World, bucket: LockedStore, rights: str
) -> None:
    bucket.asked.forbidden = set() if rights == "all" else {"delete"}
    bury(home.services, home.services.store("a"), FIRST)
    rebuild(home.services)
    for key in list(bucket.objects):
        if FIRST in key and "tombstone" not in key:
            bucket.delete(key)
    rebuild(home.services, quick=True, forget=False)
    row = home.services.ledger.backup(FIRST)
    assert row is not None
    assert row.hidden
    assert keeping.undelete(home.services, row) == ("a",)
    rebuild(home.services, forget=False)
    assert states(home) == {FIRST: "complete", SECOND: "complete"}
    bury(home.services, home.services.store("a"), FIRST)  # a tombstone may come again
    rebuild(home.services)
    assert states(home)[FIRST] == "hidden"


def test_the_rest_of_a_failed_try_stays_out_of_sight(home: World, bucket: LockedStore) -> None:
    key = "shop/20261123T020000Z-cccc/globals.sql.zst.age"
    bucket.asked.forbidden.add("delete")
    store = home.services.store("a")
    store.put(key, [b"half"], absent=True)
    store.delete(key)
    assert store.stat(key) is None
    assert rebuild(home.services).problems == []
    store.put(key, [b"whole"], absent=True)
    assert b"".join(store.get(key)) == b"whole"


def test_what_was_deleted_by_others_is_not_written_anew(home: World, bucket: LockedStore) -> None:
    key = f"shop/{FIRST}/{PART}"
    bucket.delete(key)
    rebuild(home.services, quick=True, forget=False)
    with pytest.raises(ExistsError, match="beneath"):
        home.services.store("a").put(key, [b"other"], absent=True)
    assert key not in bucket.objects


def test_a_look_at_versions_costs_one_listing_of_all_and_one_of_what_is_verified(
    home: World, bucket: LockedStore
) -> None:
    watching(home, bucket)
    bucket.asked.calls.clear()
    rebuild(home.services, quick=True)
    assert bucket.asked.calls["versions"] == 1
    assert errors(home) == [None, None]
    assert bucket.asked.calls["versions"] == 3


def test_where_versions_may_not_be_seen_all_is_as_it_seems(home: World, bucket: LockedStore) -> None:
    bucket.asked.forbidden.add("versions")
    watching(home, bucket)
    assert rebuild(home.services).problems == []
    assert errors(home) == [None, None]
    bucket.delete(f"shop/{FIRST}/manifest.json")
    (where, problem) = rebuild(home.services, forget=False).problems[0]
    assert FIRST in where
    assert "without a manifest" in problem


@pytest.mark.fault("attack.delete")
def test_a_forged_tombstone_hides_nothing(home: World, bucket: LockedStore) -> None:
    delete_all(bucket)
    for backup_id in (FIRST, SECOND):
        bucket.put(f"shop/{backup_id}/tombstone.json", [b"{}"])
    rebuild(home.services, forget=False)
    assert states(home) == {FIRST: "complete", SECOND: "complete"}


def test_a_store_without_versions_is_not_wrapped(home: World) -> None:
    store = MemoryStore("b")
    services = home.services
    assert past.seen_past({"b": store}, services.keys, services.ledger, services.clock) == {"b": store}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    """A yard whose store keeps versions."""
    with yard(tmp_path, make=lambda name, clock: LockedStore(name, rule=None, now=clock.now)) as made:
        services = made.services
        seen = past.seen_past(made.stores, services.keys, services.ledger, made.clock)
        made.made.services = replace(services, stores=seen)
        yield made


def inside(place: Yard) -> LockedStore:
    store = place.stores["a"]
    assert isinstance(store, LockedStore)
    return store


def kept(place: Yard) -> dict[str, int]:
    """Of which backups the store keeps how many versions with content."""
    found: dict[str, int] = {}
    for key, versions in inside(place).history.items():
        if key.startswith("shop/") and (count := sum(not each.version.removal for each in versions)):
            backup_id = key.split("/")[1]
            found[backup_id] = found.get(backup_id, 0) + count
    return found


def test_retention_frees_the_room_of_versions(place: Yard) -> None:
    taken = place.take(4)
    place.prune()
    place.clock.sleep(GRACE)
    (result,) = place.prune()
    assert list(result.removed) == taken[:1]
    assert result.freed > 0
    assert kept(place) == {taken[0]: 2, **dict.fromkeys(taken[1:], 3)}


def test_what_is_locked_stays_and_goes_when_it_may(place: Yard) -> None:
    taken = place.take(4)
    (first, *_) = (held for key, (held,) in inside(place).history.items() if taken[0] in key)
    first.lock = Lock(until=place.clock.now() + 2 * GRACE, mode="compliance")
    place.prune()
    place.clock.sleep(GRACE)
    (result,) = place.prune()
    assert (result.removed, len(result.locked)) == ((), 1)
    place.clock.sleep(GRACE)
    assert list(place.prune()[0].removed) == taken[:1]
    assert kept(place)[taken[0]] == 2


def test_what_was_only_hidden_is_told_stays_away_and_is_freed_by_who_may(place: Yard) -> None:
    taken = place.take(4)
    bucket = inside(place)
    bucket.asked.forbidden.add("delete")
    place.prune()
    place.clock.sleep(GRACE)
    (result,) = place.prune()
    assert (list(result.removed), result.freed) == (taken[:1], 0)
    assert any("may delete no version" in text for text, _ in place.made.recorder.warnings)
    place.clock.sleep(DAY * 400)  # its tombstone would be laid to rest
    place.take(1)
    for _ in range(2):
        place.prune(accept_clock=True)
        assert taken[0] not in place.listed()
    assert kept(place)[taken[0]] == 5
    bucket.asked.forbidden.clear()
    place.prune()
    assert taken[0] not in kept(place)


def test_the_rest_of_a_failed_try_is_freed_in_the_end(place: Yard) -> None:
    place.take(2)
    key = "shop/20310301T030000Z-cccc/globals.sql.zst.age"
    bucket = inside(place)
    bucket.put(key, [b"half"])
    bucket.delete(key)
    place.prune()
    assert "20310301T030000Z-cccc" in kept(place)
    place.take(2)
    place.prune()
    assert "20310301T030000Z-cccc" not in kept(place)


def test_retention_counts_what_somebody_deleted(place: Yard) -> None:
    """The numbers are those of the backups that there are: nobody makes retention let go of one by deleting others."""
    taken = place.take(3)
    for key in list(place.stores["a"].objects):
        place.stores["a"].delete(key)
    place.prune()
    assert place.listed() == taken
