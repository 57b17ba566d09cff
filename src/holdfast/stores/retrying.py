"""A store that tries again for a while what failed: a wrapper for one that does not do so itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from holdfast.model.errors import StoreError
from holdfast.stores.base import ExistsError, Store, Stored
from holdfast.stores.requests import pause_before

T = TypeVar("T")
_SLICE = 0.2  # seconds between two looks whether to hurry


class RetryingStore:
    """Tries again what failed with a retryable error, until `patience` is over; times are in seconds.

    A stream that is to be put cannot be rewound: once a chunk of it was taken, a failure is final. A list or tuple of
    chunks can. Reading goes on where it broke off, if the object is still the same.
    """

    read_only = False

    def __init__(self, inner: Store, *, patience: float, pause: float = 0.5) -> None:
        self.inner = inner
        self.name = inner.name
        self.location = inner.location
        self._patience = patience
        self._pause = pause
        self._hurried = False  # a plain value: a signal handler sets it

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        """Store the object; see Store."""
        source = _Source(chunks)
        retry = _Retry(self._patience, self._pause, lambda: self._hurried)
        while True:
            try:
                return self.inner.put(key, source.chunks(), absent=absent)
            except ExistsError:
                # The try before may have stored it after all: what lies there tells.
                if retry.count and source.rewindable and b"".join(self.inner.get(key)) == source.content():
                    return False
                raise
            except StoreError as error:
                if (source.taken and not source.rewindable) or not retry.again(error):
                    raise

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the object's bytes; see Store."""
        first = self.inner.get(key, start=start, length=length)
        return self._read(first, key, start, length)

    def _read(self, chunks: Iterator[bytes], key: str, start: int, length: int | None) -> Iterator[bytes]:
        known = self.stat(key)
        retry = _Retry(self._patience, self._pause, lambda: self._hurried)
        done = 0
        while True:
            try:
                for chunk in chunks:
                    done += len(chunk)
                    retry.reset()
                    yield chunk
            except StoreError as error:
                if not retry.again(error):
                    raise
            else:
                return
            if self.stat(key) != known:
                raise StoreError(f"{self.location}: {key} was changed or deleted while it was read")
            left = None if length is None else length - done
            if left == 0:
                return
            chunks = self.inner.get(key, start=start + done, length=left)

    def stat(self, key: str) -> Stored | None:
        """Tell of the object; see Store."""
        return self._repeated(lambda: self.inner.stat(key))

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Tell of the objects in order; see Store."""
        return self._listed(self.inner.list(prefix), prefix)

    def _listed(self, found: Iterator[Stored], prefix: str) -> Iterator[Stored]:
        retry = _Retry(self._patience, self._pause, lambda: self._hurried)
        last: str | None = None
        while True:
            try:
                for stored in found:
                    if last is None or stored.key > last:
                        last = stored.key
                        retry.reset()
                        yield stored
            except StoreError as error:
                if not retry.again(error):
                    raise
            else:
                return
            found = self.inner.list(prefix)

    def delete(self, key: str) -> None:
        """Remove the object; see Store."""
        self._repeated(lambda: self.inner.delete(key))

    def hurry(self) -> None:
        """Try everything once from now on; see Hurrying."""
        self._hurried = True

    def _repeated(self, call: Callable[[], T]) -> T:
        retry = _Retry(self._patience, self._pause, lambda: self._hurried)
        while True:
            try:
                return call()
            except StoreError as error:
                if not retry.again(error):
                    raise


class _Retry:
    """Decides whether there is another try, and waits before it."""

    def __init__(self, patience: float, pause: float, hurried: Callable[[], bool]) -> None:
        self.count = 0
        self._patience = patience
        self._pause = pause
        self._hurried = hurried
        self._end = time.monotonic() + patience

    def reset(self) -> None:
        """Begin anew, as something was reached."""
        if self.count:
            self.count = 0
            self._end = time.monotonic() + self._patience

    def again(self, error: StoreError) -> bool:
        """Wait before another try; return False when there is to be none."""
        pause = pause_before(self.count, self._pause)
        if not error.retryable or time.monotonic() + pause > self._end:
            return False
        self.count += 1
        end = time.monotonic() + pause
        while not self._hurried() and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, _SLICE))
        return not self._hurried()


class _Source:
    """The chunks of a put, and whether they can be given again."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = chunks
        self.rewindable = isinstance(chunks, Sequence)
        self.taken = False

    def chunks(self) -> Iterator[bytes]:
        """Give the chunks, and note that the first was asked for."""
        self.taken = True
        yield from self._chunks

    def content(self) -> bytes:
        """Give all the bytes of chunks that can be given again."""
        return b"".join(self._chunks)
