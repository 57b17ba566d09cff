"""A store that takes and gives no more than so many bytes a second: a wrapper around another one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from holdfast.stores.base import Store, Stored

_SLICE = 0.2  # seconds between two looks whether to hurry
_BURST_SECONDS = 1.0


class Meter:
    """A bucket of tokens, one a byte, that all transfers of a store share. It holds one second's worth."""

    def __init__(
        self,
        rate: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`rate` is in bytes a second."""
        self._rate = rate
        self._now = now
        self._sleep = sleep
        self._lock = threading.Lock()
        self._level = rate * _BURST_SECONDS
        self._at = now()
        self._hurried = False

    def take(self, count: int) -> None:
        """Wait until `count` more bytes may pass. What is larger than the bucket is paid for afterwards."""
        with self._lock:
            now = self._now()
            self._level = min(self._rate * _BURST_SECONDS, self._level + (now - self._at) * self._rate)
            self._at = now
            self._level -= count
            end = now - self._level / self._rate
        while not self._hurried and (left := end - self._now()) > 0:
            self._sleep(min(left, _SLICE))

    def hurry(self) -> None:
        """Let everything pass from now on, as the work is to end. A signal handler may call it."""
        self._hurried = True


class LimitedStore:
    """Passes everything on, and the bytes of objects through a meter: both ways share it.

    An adapter that sends whole blocks still does so in one go, so that the limit holds over some seconds.
    """

    read_only = False

    def __init__(self, inner: Store, meter: Meter) -> None:
        self.inner = inner
        self.name = inner.name
        self.location = inner.location
        self._meter = meter

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        """Store the object; see Store."""
        return self.inner.put(key, self._metered(chunks), absent=absent)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the object's bytes; see Store."""
        return self._metered(self.inner.get(key, start=start, length=length))

    def stat(self, key: str) -> Stored | None:
        """Tell of the object; see Store."""
        return self.inner.stat(key)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Tell of the objects in order; see Store."""
        return self.inner.list(prefix)

    def delete(self, key: str) -> None:
        """Remove the object; see Store."""
        self.inner.delete(key)

    def hurry(self) -> None:
        """Hold nothing back any more; see Hurrying."""
        self._meter.hurry()

    def _metered(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._meter.take(len(chunk))
            yield chunk
