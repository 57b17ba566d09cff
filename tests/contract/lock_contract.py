"""The contract of stores.locking.Locks as a suite: a subclass with the fixture `store` runs it for one adapter.

The bucket keeps versions and locks them; what the suite locks, it locks for a moment only, as nobody can undo it.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import keeping, locking
from holdfast.jobs import prune as job
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.checks.stores import check_store
from holdfast.jobs.prune import complain
from holdfast.ledger import locks as known_locks
from holdfast.model import layout
from holdfast.model.errors import NotFoundError
from holdfast.model.lease import Terms
from holdfast.model.retention import Policy
from holdfast.model.target import Rules
from holdfast.stores.base import Store
from holdfast.stores.limited import LimitedStore, Meter
from holdfast.stores.locking import Lock, LockedError, Locks, Version, locks_of, oldest
from holdfast.stores.read_only import ReadOnlyStore
from holdfast.stores.versioned import VersionedStore
from support.shelved import shelved
from support.world import world

BACKUP = "shop/20261122T020000Z-7f3a/globals.sql.zst.age"


def soon(seconds: float = 60) -> datetime:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).replace(microsecond=0)


def keeps_a_backup_locked(store: Store, locks: Locks, folder: Path) -> None:
    """Commit a backup and let retention lock, hold and release it. The locks last two hours at most."""
    policy = Policy(hourly=2, daily=0, weekly=0, monthly=0, yearly=0, minimum=1)
    with world(folder, "postgresql://nobody@127.0.0.1:1/", stores={store.name: store}) as made:
        named = {store.name: Terms(pruner=made.services.host)}  # not every service can hold a lease
        services = replace(made.services, leases=named)
        target = replace(made.target, retention=Rules(policy=policy))

        def prune() -> None:
            complain(job.prune(services, target, made.stop, wish=job.Wish()))

        def found() -> list[Lock]:
            return [locks.lock_of(each) for each in locks.versions(f"shop/{taken}/")]

        locking.prepare(services, store, made.stop)
        now = datetime.now(UTC)
        taken = layout.new_backup_id(now, "7f3a")
        shelved(services, store, taken)
        rebuild(services)
        row = services.ledger.backup(taken)
        assert row is not None
        assert {each.until is not None and each.until < soon(60) for each in found()} == {True}
        assert locking.begin(services, target, taken, store.name, made.stop) is None
        end = now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=2)
        assert {each.until for each in found()} == {end}
        keeping.pin(services, row, why="audit", until=None)
        assert {each.held for each in found()} == {True}
        prune()
        keeping.unpin(services, row, why="done")
        prune()
        assert {each.held for each in found()} == {False}
        (known,) = known_locks.of_backup(services.ledger, taken)
        assert (known.until, known.held, known.objects) == (end, "no", len(found()))
        assert {each.until for each in found()} == {end}


class Others:
    """What lies under `other/` is written once, and counts. See Folders."""

    def of(self, key: str) -> str | None:
        return "other/" if key.startswith("other/") else None

    def count(self, folder: str, *, written: Collection[str], there: Collection[str]) -> bool:
        return folder == "other/" and len(written) >= len(there)


class LockContract:
    """`large` is the size of an object that is written in parts."""

    large: int = 1024
    marks: bool = True  # whether a deletion leaves a mark of its own

    @pytest.fixture
    def locks(self, store: Store) -> Locks:
        found = locks_of(store)
        assert found is not None
        return found

    def only(self, locks: Locks, key: str) -> Version:
        (found,) = (one for one in locks.versions(key) if one.key == key)
        return found

    def test_tells_that_versions_are_kept(self, store: Store, locks: Locks) -> None:
        store.put("a", [b"x"])
        assert locks.kept()

    def test_tells_every_version_the_oldest_first(self, store: Store, locks: Locks) -> None:
        for key in ("b", "a", "a/x"):
            store.put(key, [b"first"])
        store.put("a", [b"the second"])
        found = list(locks.versions())
        assert [(one.key, one.size, one.current) for one in found if not one.removal] == [
            ("a", 5, False),
            ("a", 10, True),
            ("a/x", 5, True),
            ("b", 5, True),
        ]
        assert [b"".join(locks.get(one)) for one in found[:2]] == [b"first", b"the second"]
        assert [one.key for one in locks.versions("a/")] == ["a/x"]

    @pytest.mark.fault("attack.delete")
    def test_looks_past_a_deletion_and_a_later_version(self, store: Store, locks: Locks) -> None:
        store.put("a", [b"the truth"])
        store.delete("a")
        assert store.stat("a") is None
        store.put("a", [b"planted"])
        assert b"".join(store.get("a")) == b"planted"
        (first,) = oldest(locks.versions("a"))
        assert b"".join(locks.get(first)) == b"the truth"
        assert b"".join(locks.get(first, start=4, length=3)) == b"tru"
        assert [one.removal for one in locks.versions("a")] == (
            [False, True, False] if self.marks else [False] * 2
        )

    @pytest.mark.fault("attack.delete")
    def test_what_was_laid_over_an_object_is_told_and_taken_away(self, store: Store, locks: Locks) -> None:
        folder = "other/"
        for name in ("replaced", "deleted", "both", "left"):
            store.put(folder + name, [name.encode()])
        for name in ("deleted", "both"):
            store.delete(folder + name)
        for name in ("replaced", "both"):
            store.put(folder + name, [b"planted"])
        seen = VersionedStore(store, locks, Others())
        there = {each.key.removeprefix(folder): each.size for each in seen.list(folder)}
        assert there == {"replaced": 8, "deleted": 7, "both": 4, "left": 4}
        assert all(b"".join(seen.get(folder + name)) == name.encode() for name in there)
        told = {each.version.key.removeprefix(folder): each.deleted for each in seen.covered(folder)}
        assert told == {"replaced": False, "deleted": True, "both": False}
        assert {key.removeprefix(folder) for key in seen.uncover(folder)} == set(told)
        assert {name: b"".join(store.get(folder + name)) for name in there} == {
            name: name.encode() for name in there
        }
        assert seen.covered(folder) == ()

    @pytest.mark.fault("attack.delete")
    def test_finds_what_was_deleted_since(self, store: Store, locks: Locks) -> None:
        store.put("a", [b"the truth"])
        store.delete("a")
        assert [b"".join(locks.get(one)) for one in oldest(locks.versions())] == [b"the truth"]

    @pytest.mark.parametrize("size", ["small", "large"])
    def test_what_belongs_to_a_backup_is_locked_as_it_is_put(
        self, store: Store, locks: Locks, size: str
    ) -> None:
        store.put(BACKUP, [bytes(10 if size == "small" else self.large)], absent=True)
        version = self.only(locks, BACKUP)
        found = locks.lock_of(version)
        assert found.until is not None
        assert abs(found.until - soon(20)) < timedelta(seconds=15)
        with pytest.raises(LockedError):
            locks.delete(version)
        assert b"".join(locks.get(version))

    def test_what_does_not_is_not(self, store: Store, locks: Locks) -> None:
        store.put("lease.json", [b"x"])
        version = self.only(locks, "lease.json")
        assert locks.lock_of(version).until is None
        locks.delete(version)
        assert list(locks.versions()) == []
        locks.delete(version)

    @pytest.mark.fault("attack.lock")
    def test_a_lock_is_extended_and_never_shortened(self, store: Store, locks: Locks) -> None:
        store.put("a", [b"x"])
        version = self.only(locks, "a")
        early, later = soon(60), soon(90)
        assert locks.lock(version, early).until == early
        assert locks.lock(version, later).until == later
        assert locks.lock(version, soon(30)).until == later
        assert locks.lock_of(version).until == later
        with pytest.raises(LockedError, match="locked"):
            locks.delete(version)

    @pytest.mark.extended
    def test_a_lock_ends_by_itself(self, store: Store, locks: Locks) -> None:
        store.put("a", [b"x"])
        version = self.only(locks, "a")
        locks.lock(version, soon(3))
        time.sleep(4)
        locks.delete(version)
        assert list(locks.versions()) == []

    def test_no_lock_lasts_longer_than_allowed(self, store: Store, locks: Locks) -> None:
        store.put("a", [b"x"])
        with pytest.raises(ValueError, match="object_lock_max"):
            locks.lock(self.only(locks, "a"), soon(100_000))

    def test_a_hold_keeps_until_it_is_released(self, store: Store, locks: Locks) -> None:
        store.put("a", [b"x"])
        version = self.only(locks, "a")
        locks.hold(version, on=True)
        assert locks.lock_of(version).held
        with pytest.raises(LockedError):
            locks.delete(version)
        locks.hold(version, on=False)
        assert not locks.lock_of(version).held
        locks.delete(version)

    def test_a_version_that_is_gone_is_not_found(self, store: Store, locks: Locks) -> None:
        store.put("a", [b"x"])
        version = self.only(locks, "a")
        locks.delete(version)
        with pytest.raises(NotFoundError):
            locks.lock_of(version)
        with pytest.raises(NotFoundError):
            list(locks.get(version))

    @pytest.mark.fault("attack.lock")
    def test_check_proves_the_lock_by_trying_to_delete(self, store: Store) -> None:
        found = [(finding.level, finding.message) for finding in check_store(store)]
        assert "fail" not in {level for level, _ in found}, found
        assert found[-1] == ("ok", "a locked probe could not be deleted (compliance)")

    def test_a_backup_is_locked_and_held_and_let_go(self, store: Store, locks: Locks, tmp_path: Path) -> None:
        keeps_a_backup_locked(store, locks, tmp_path)

    def test_wrappers_pass_on_what_they_may(self, store: Store) -> None:
        assert locks_of(LimitedStore(store, Meter(1e9))) is not None
        assert locks_of(ReadOnlyStore(store)) is None
