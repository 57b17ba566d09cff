"""The contract of a store: five methods over keys and bytes. tests/contract proves it for every adapter.

Keys are `/`-separated relative paths of plain ASCII (model.layout makes them); a key that is absolute, empty, or has
an empty, `.` or `..` piece is refused with ValueError, so that no name leaves the store's own prefix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, runtime_checkable

from holdfast.model.errors import IntegrityError, StoreError


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """An object as the store tells of it. `size` in bytes; `modified_at` by the store's own clock, in UTC.

    `checksum`, where a listing tells one, is the service's own mark of the content: another one means that the object
    may hold other bytes now. It can be compared with nothing else.
    """

    key: str
    size: int
    modified_at: datetime
    checksum: str | None = field(default=None, compare=False)


class ExistsError(StoreError):
    """A conditional put found the key taken."""

    retryable = False


class RefusedError(StoreError):
    """The store said no, and will say it again until somebody changes something: a permission, a name, a key."""

    retryable = False


class NoRangesError(RefusedError):
    """The store gives whole objects only, when it is asked for a piece of one."""


class Store(Protocol):
    """One place that keeps objects. Every method raises StoreError, with a hint, for what the store refuses."""

    @property
    def name(self) -> str:
        """The name in the config."""
        ...

    @property
    def location(self) -> str:
        """Where it is, for people: a path or a URL, without secrets."""
        ...

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        """Store all chunks under `key`: afterwards the key holds all of them, or it is as it was.

        When `chunks` raises, nothing is left behind and the error goes through. With `absent` an existing key is
        an ExistsError and stays as it is; a store that cannot do this atomically looks just before it writes.
        Return whether the store has vouched for the stored content by a checksum of its own making; False means
        that the caller has to read it back.
        """
        ...

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the object's bytes: all of them, or from `start` on, or `length` (one at least) from there.

        What is asked for beyond the object's end is not given. Raise NotFoundError when there is no object,
        NoRangesError when the store cannot give a piece of one, StoreError when it breaks off early.
        """
        ...

    def stat(self, key: str) -> Stored | None:
        """Tell of the object, or None when there is none."""
        ...

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Tell of every object whose key begins with `prefix`, in order of keys; never of a half-written one."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; one that is not there is no error."""
        ...


@runtime_checkable
class Housekeeping(Protocol):
    """What an adapter does besides, when half-written uploads can stay behind after a kill."""

    def abort_stale(self, prefix: str, before: datetime) -> int:
        """Remove half-written uploads of ours under `prefix` begun before `before`; return how many."""
        ...


@runtime_checkable
class Hurrying(Protocol):
    """What an adapter does besides, when it tries again for a while what failed."""

    def hurry(self) -> None:
        """Try everything once from now on, as the work is to end. A signal handler may call it."""
        ...


@runtime_checkable
class Space(Protocol):
    """What an adapter tells besides, when its room is finite."""

    def free_bytes(self) -> int:
        """How many bytes may still be stored."""
        ...


Conditions = Literal["honoured", "honoured for small objects", "ignored"]


@runtime_checkable
class Conditional(Protocol):
    """What an adapter can be asked, when its service may or may not guard an absent put itself."""

    def conditions(self, key: str) -> Conditions:
        """Try whether the service itself refuses an absent put on `key`, which holds an object that may be lost."""
        ...


@runtime_checkable
class Wrapper(Protocol):
    """A store around another. `read_only` hides from callers what of the other could change something."""

    inner: Store
    read_only: bool


def layers(store: Store, *, changing: bool = False) -> Iterator[object]:
    """Give the store and what it wraps, from the outside in; with `changing` nothing behind a read-only one."""
    yield store
    while isinstance(store, Wrapper) and not (changing and store.read_only):
        store = store.inner
        yield store


def is_read_only(store: Store) -> bool:
    """Whether nothing can be changed through this store."""
    return any(isinstance(one, Wrapper) and one.read_only for one in layers(store))


def housekeeping(store: Store) -> Housekeeping | None:
    """Give what removes half-written uploads in this store, if they can stay behind there."""
    return next((one for one in layers(store, changing=True) if isinstance(one, Housekeeping)), None)


def conditional(store: Store) -> Conditional | None:
    """Give what can be asked whether this store's service guards absent puts, if it may not."""
    return next((one for one in layers(store, changing=True) if isinstance(one, Conditional)), None)


def space(store: Store) -> Space | None:
    """Give what tells how much room there is in this store, if it is finite."""
    return next((one for one in layers(store) if isinstance(one, Space)), None)


def hurry(stores: Iterable[Store]) -> None:
    """Let the stores try everything once from now on, as the work is to end."""
    for one in (one for store in stores for one in layers(store)):
        if isinstance(one, Hurrying):
            one.hurry()


def check_key(key: str) -> str:
    """Return the key if it stays inside a store; else raise ValueError."""
    pieces = key.split("/")
    if not key.isascii() or not key.isprintable() or "\\" in key or any(p in ("", ".", "..") for p in pieces):
        raise ValueError(f"{key!r} is not a key")
    return key


def check_prefix(prefix: str) -> str:
    """Return the prefix if keys may begin with it; else raise ValueError."""
    check_key(prefix + "x")
    return prefix


def check_range(start: int, length: int | None) -> None:
    """Raise ValueError for a range that no object could have."""
    if start < 0 or (length is not None and length < 1):
        raise ValueError(f"{length} bytes from {start} on are no range")


def read_all(store: Store, key: str, *, limit: int = 64 * 1024**2) -> bytes:
    """Read a small object whole. Raise IntegrityError when it is larger than `limit` bytes: that was not written by us."""
    data = bytearray()
    for chunk in store.get(key):
        data += chunk
        if len(data) > limit:
            raise IntegrityError(f"{store.location}: {key} is larger than {limit} bytes")
    return bytes(data)
