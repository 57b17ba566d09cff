"""A store that asks before each change whether it may still be made: a wrapper around another one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from holdfast.stores.base import Store, Stored, layers


class FencedStore:
    """Passes everything on. `check` is called before each put and delete, and raises where there is to be none."""

    read_only = False

    def __init__(self, inner: Store, check: Callable[[], None]) -> None:
        self.inner = inner
        self.name = inner.name
        self.location = inner.location
        self.check = check

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        """Store the object; see Store."""
        self.check()
        return self.inner.put(key, chunks, absent=absent)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the object's bytes; see Store."""
        return self.inner.get(key, start=start, length=length)

    def stat(self, key: str) -> Stored | None:
        """Tell of the object; see Store."""
        return self.inner.stat(key)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Tell of the objects in order; see Store."""
        return self.inner.list(prefix)

    def delete(self, key: str) -> None:
        """Remove the object; see Store."""
        self.check()
        self.inner.delete(key)


def check(store: Store) -> None:
    """Raise where a store is fenced and nothing may be changed in it: for what reaches through to the versions in it."""
    for one in layers(store):
        if isinstance(one, FencedStore):
            one.check()
