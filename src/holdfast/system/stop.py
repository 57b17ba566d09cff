"""The Stop token: one explicit way to end what runs.

A signal handler, a watchdog or a deadline requests the stop with the error to raise; whoever works checks the
token between steps, and whoever blocks registers a callback that unblocks it (such as killing a child).

There is no lock here: a signal handler runs between any two steps of its own thread, so it would wait for ever for
a lock which that thread holds. Each step is one that cannot be interrupted, and their order makes up for the rest.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from holdfast.model.errors import CancelledError, Error

# A signal that comes in just before the main thread falls asleep does not wake it: look again after this many seconds.
_SLICE = 1.0
T = TypeVar("T")


class Stop:
    """A request to stop, made at most once; later requests keep the first error."""

    def __init__(self) -> None:
        self._errors: list[Error] = []  # the first counts; appending cannot be interrupted
        self._woken: queue.SimpleQueue[None] = queue.SimpleQueue()  # unlike Event, safe in signal handlers
        self._callbacks: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return bool(self._errors)

    def request(self, error: Error | None = None) -> None:
        """Ask to stop, for the reason `error` (default: cancelled), and unblock those who wait."""
        if self._errors:
            return
        self._errors.append(error or CancelledError())
        self._woken.put(None)
        self._call_back()

    @property
    def error(self) -> Error | None:
        """The reason of the request, or None."""
        return self._errors[0] if self._errors else None

    def check(self) -> None:
        """Raise the error of the request, if there was one."""
        if self._errors:
            raise self._errors[0]

    def checked(self, items: Iterable[T]) -> Iterator[T]:
        """Give the items; raise the error of the request instead of the first after it."""
        for item in items:
            self.check()
            yield item
        self.check()

    def wait(self, seconds: float) -> bool:
        """Sleep up to `seconds`; return at once, and True, when a stop is requested."""
        deadline = time.monotonic() + seconds
        while not self._errors and (left := deadline - time.monotonic()) > 0:
            with suppress(queue.Empty):
                self._woken.get(timeout=min(left, _SLICE))
                self._woken.put(None)  # for the next who waits
        return self.requested

    @contextmanager
    def calling(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call `callback` (from the requesting thread, at most once) if a stop is requested inside the `with`.

        A stop that was requested before calls it at once.
        """
        self._callbacks.append(callback)
        if (
            self._errors
        ):  # looked at after the append: a request in between sees the callback, or we see the request
            self._call_back()
        try:
            yield
        finally:
            with suppress(ValueError):  # it was called
                self._callbacks.remove(callback)

    @contextmanager
    def derived(self) -> Iterator[Stop]:
        """Give a token of its own to a part of the work: it stops with this one, but not the other way round."""
        inner = Stop()
        with self.calling(lambda: inner.request(self.error)):
            yield inner

    def _call_back(self) -> None:
        while self._callbacks:
            try:
                callback = self._callbacks.pop()  # whoever takes it out is the one who calls it
            except IndexError:
                return  # another thread took the last
            callback()
