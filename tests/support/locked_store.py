"""A store in memory that keeps every version and locks them: what tests of locks use where the service is not their subject."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from holdfast.model import layout
from holdfast.model.errors import NotFoundError, StoreError
from holdfast.stores.base import RefusedError, check_key, check_prefix, check_range
from holdfast.stores.locking import Lock, LockedError, LockRule, Version
from support.memory_store import MemoryStore


def _now() -> datetime:
    return datetime.now(UTC)


def days(now: Callable[[], datetime], first: float = 3, longest: float = 35) -> LockRule:
    """The rule that the config makes by default, on a clock of the test's own."""
    return LockRule(
        mode="compliance",
        first=timedelta(days=first),
        longest=timedelta(days=longest),
        applies=lambda key: layout.parse_key(key) is not None,
        now=now,
    )


@dataclass(slots=True)
class Held:
    """A version, its content, and what keeps it."""

    version: Version
    data: bytes
    lock: Lock = field(default_factory=Lock)


class LockedStore(MemoryStore):
    """`history` has the versions of each key, the oldest first. `rule` may be changed by a test."""

    def __init__(
        self, name: str = "locked", *, rule: LockRule | None, now: Callable[[], datetime] = _now
    ) -> None:
        super().__init__(name, now=now)
        self.history: dict[str, list[Held]] = {}
        self.now = now
        self.asked = MemoryLocks(self, rule)
        self._count = 0

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        vouched, rule = super().put(key, chunks, absent=absent), self.asked.rule
        until = None if rule is None else rule.at_put(key)
        mode = None if rule is None or until is None else rule.mode
        self._add(key, self.objects[key], Lock(until=until, mode=mode))
        return vouched

    def delete(self, key: str) -> None:
        if check_key(key) in self.objects:
            super().delete(key)
            self._add(key, None, Lock())

    def locks(self) -> MemoryLocks:
        return self.asked

    def _add(self, key: str, data: bytes | None, lock: Lock) -> None:
        self._count += 1
        version = Version(
            key=key,
            id=str(self._count),
            size=len(data or b""),
            modified_at=self.now(),
            current=True,
            removal=data is None,
        )
        self.history.setdefault(key, []).append(Held(version, data or b"", lock))


class MemoryLocks:
    """See Locks. `calls` counts what was asked, by the method; each raises `fault`, if it is set, or refuses what is `forbidden`."""

    def __init__(self, store: LockedStore, rule: LockRule | None) -> None:
        self.rule = rule
        self.calls: dict[str, int] = {}
        self.fault: StoreError | None = None
        self.forbidden: set[str] = set()
        self._store = store

    def kept(self) -> bool:
        return True

    def versions(self, prefix: str = "") -> Iterator[Version]:
        self._called("versions")
        check_prefix(prefix)
        for key, held in sorted(self._store.history.items()):
            if key.startswith(prefix):
                yield from (replace(each.version, current=each is held[-1]) for each in list(held))

    def get(self, version: Version, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        check_range(start, length)
        data = self._held(version).data
        yield data[start : None if length is None else start + length]

    def lock_of(self, version: Version) -> Lock:
        return self._held(version).lock

    def lock(self, version: Version, until: datetime) -> Lock:
        self._called("lock")
        if self.rule is None:
            raise ValueError("the config asks for no locks")
        wanted, held = self.rule.check(until), self._held(version)
        if held.lock.until is None or held.lock.until < wanted:
            held.lock = replace(held.lock, until=wanted, mode=held.lock.mode or self.rule.mode)
        return held.lock

    def hold(self, version: Version, *, on: bool) -> None:
        self._called("hold" if on else "release")
        held = self._held(version)
        held.lock = replace(held.lock, held=on)

    def delete(self, version: Version, *, bypass: bool = False) -> None:
        history, now = self._store.history, self._store.now()
        held = next((each for each in history.get(version.key, ()) if each.version.id == version.id), None)
        if held is None:
            return
        kept = held.lock.until is not None and held.lock.until > now
        if held.lock.held or (kept and not (bypass and held.lock.mode == "governance")):
            raise LockedError(f"{self._store.location}: {version.key} is locked")
        self._called("delete")
        left = [each for each in history.pop(version.key) if each is not held]
        if left:
            history[version.key] = left
        if left and not left[-1].version.removal:
            self._store.objects[version.key] = left[-1].data
        else:
            self._store.objects.pop(version.key, None)

    def _called(self, what: str) -> None:
        self.calls[what] = self.calls.get(what, 0) + 1
        if self.fault is not None:
            raise self.fault
        if what in self.forbidden:
            raise RefusedError(f"{self._store.location}: no right to {what}")

    def _held(self, version: Version) -> Held:
        of_key = self._store.history.get(version.key, ())
        found = next((each for each in of_key if each.version.id == version.id), None)
        if found is None:
            raise NotFoundError(f"{self._store.location}: there is no such version of {version.key}")
        return found
