"""What some services do besides: keep every version of an object, and let nobody remove one before its time.

A lock belongs to a version. Keys are written once, so the oldest version of a key is the truth: what lies over it, a
later version or the mark of a deletion, came from somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, Protocol, runtime_checkable

from holdfast.stores.base import RefusedError, Store, layers
from holdfast.system.clock import SystemClock

LockMode = Literal["governance", "compliance"]


class LockedError(RefusedError):
    """The service keeps a version, because it is locked or held."""


@dataclass(slots=True)
class Caution:
    """Why nothing is to be locked at present: a clock that is wrong would lock for years. None where nothing is wrong."""

    why: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LockRule:
    """How objects are locked: those whose key `applies`, for `first` when they are put, never beyond `longest`.

    A lock in `governance` may be lifted by those who have a special right, one in `compliance` by nobody. While there is
    a `caution`, which whoever knows the clock sets, objects are put without a lock.
    """

    mode: LockMode
    first: timedelta
    longest: timedelta
    applies: Callable[[str], bool] = field(repr=False)
    now: Callable[[], datetime] = field(default=SystemClock().now, repr=False)
    caution: Caution = field(default_factory=Caution, repr=False, compare=False)

    def at_put(self, key: str) -> datetime | None:
        """Until when a new object is to be locked; None for one that is not."""
        if self.caution.why is not None or not self.applies(key):
            return None
        return (self.now() + self.first).replace(microsecond=0)

    def check(self, until: datetime) -> datetime:
        """Return the time, in whole seconds, if a lock may last so long; else raise ValueError: it could not be undone."""
        if self.caution.why is not None:
            raise ValueError(f"nothing is locked: {self.caution.why}")
        if until > self.now() + self.longest:
            raise ValueError(f"a lock until {until} is longer than object_lock_max")
        return until.replace(microsecond=0)

    def longer(self, found: Lock, until: datetime) -> tuple[datetime, LockMode] | None:
        """The end and the mode of the lock that a version needs so as to be kept until then; None where `found` will do.

        No lock becomes shorter or weaker.
        """
        wanted = self.check(until)
        if found.until is not None and found.until >= wanted and found.mode in ("compliance", self.mode):
            return None
        mode: LockMode = "compliance" if found.mode == "compliance" else self.mode
        return max(wanted, found.until or wanted).replace(microsecond=0), mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A version of an object. `removal` is the mark that a deletion left over the others: it has no content.

    `checksum` is the service's own, where the id does not say which content it is: one that every object has which was
    put while no versions were kept.
    """

    key: str
    id: str
    size: int
    modified_at: datetime
    current: bool
    removal: bool = False
    checksum: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """What keeps a version: until when and how strictly, and whether a legal hold, which has no end, does so too."""

    until: datetime | None = None
    mode: LockMode | None = None
    held: bool = False


class Locks(Protocol):
    """The versions in one store, and their locks. Errors are those of a Store; a version that is gone: NotFoundError."""

    @property
    def rule(self) -> LockRule | None:
        """What the config asks for; None where nothing is to be locked."""
        ...

    def kept(self) -> bool:
        """Whether what is deleted or written over stays here as a version; True also where these credentials cannot ask."""
        ...

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """Tell of every version of every object whose key begins with `prefix`: by keys, of each the oldest first."""
        ...

    def get(self, version: Version, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the bytes of a version, or a range of them, as Store.get does."""
        ...

    def lock_of(self, version: Version) -> Lock:
        """Tell what keeps a version."""
        ...

    def lock(self, version: Version, until: datetime) -> Lock:
        """Keep a version until then at least: a lock that lasts longer stays. Give the lock that holds now.

        Raise ValueError without a rule, or for a time beyond its `longest`.
        """
        ...

    def hold(self, version: Version, *, on: bool) -> None:
        """Put a version under a legal hold, or release it."""
        ...

    def delete(self, version: Version, *, bypass: bool = False) -> None:
        """Remove a version for ever; one that is gone is no error. Raise LockedError when it is kept.

        With `bypass` the right to lift a lock in governance is used, if these credentials have it.
        """
        ...


@runtime_checkable
class Lockable(Protocol):
    """What an adapter does besides, when its service keeps versions or locks objects."""

    def locks(self) -> Locks:
        """Give the versions of the store, and their locks."""
        ...


def locks_of(store: Store) -> Locks | None:
    """Give the versions and locks of a store; None where its kind has none, or nothing may be changed from here."""
    return _locks(layers(store, changing=True))


def versions_of(store: Store) -> Locks | None:
    """Give the versions of a store to read them only, also of one where nothing may be changed from here."""
    return _locks(layers(store))


def _locks(among: Iterator[object]) -> Locks | None:
    found = next((one for one in among if isinstance(one, Lockable)), None)
    return None if found is None else found.locks()


def oldest(versions: Iterator[Version]) -> Iterator[Version]:
    """Give of each key the oldest version with content: what was written first."""
    seen: str | None = None
    for version in versions:
        if version.key != seen and not version.removal:
            seen = version.key
            yield version


def in_order(versions: Iterator[Version]) -> Iterator[Version]:
    """Bring versions that come by keys, of each the newest first, into the order of Locks.versions."""
    gathered: list[Version] = []
    for version in versions:
        if gathered and gathered[0].key != version.key:
            yield from reversed(gathered)
            gathered.clear()
        gathered.append(version)
    yield from reversed(gathered)
