"""A store in which nothing can be changed from here: a wrapper around another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.stores.base import RefusedError, Store, Stored, check_key


class ReadOnlyStore:
    """Gives what the other holds, and refuses every change with a RefusedError before the other hears of it."""

    read_only = True

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.name = inner.name
        self.location = inner.location

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:  # noqa: ARG002 - the contract's
        """Refuse; see Store."""
        raise self._refusal("write", key)

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
        """Refuse; see Store."""
        raise self._refusal("delete", key)

    def _refusal(self, doing: str, key: str) -> RefusedError:
        return RefusedError(
            f"{self.location}: cannot {doing} {check_key(key)}: the store is read-only",
            hint=f"The config says `read_only = true` for the store {self.name}.",
        )
