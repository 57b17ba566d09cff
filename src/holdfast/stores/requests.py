"""Sending the requests of a store behind a network: again until a deadline, and errors told as ours.

Each service's library says in its own way what went wrong: a Dialect is what its adapter knows of that.
"""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from holdfast.model.errors import StoreError
from holdfast.stores.base import Conditions

T = TypeVar("T")
_LONGEST_PAUSE = 20.0
_LONGEST_ASKED = 300.0
_SLICE = 0.2  # seconds between two looks whether to hurry


class AnswerError(Exception):
    """The service answered with a code that the caller said it expects; stays inside the adapter."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class Dialect(Protocol):
    """How a service and its library tell of trouble. A module with these functions is one."""

    def foreign(self) -> tuple[type[Exception], ...]:
        """Give the classes of all that the library raises."""
        ...

    def code_of(self, error: Exception) -> str:
        """Give the code that the service answered with; empty when there was no answer."""
        ...

    def is_transient(self, error: Exception) -> bool:
        """Whether the same request may succeed when sent again."""
        ...

    def asked_pause(self, error: Exception) -> float:
        """How many seconds the service asked to be left alone for; 0 when it did not ask."""
        ...

    def translate(self, error: Exception, what: str) -> StoreError:
        """Tell a foreign error as ours; `what` says where and what failed, as in `s3://b: cannot write k`."""
        ...


@dataclass(slots=True)
class _Mood:
    """What earlier requests of a store say about the next. Plain values: a signal handler may set them."""

    gave_up_at: float = float("-inf")
    hurried: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """Sends requests of one store. Times are in seconds; `where` begins every message.

    A store that was given up less than `patience` ago is tried once a request: a store that is down costs the work
    on others one wait, and not one for each of its objects.
    """

    dialect: Dialect = field(repr=False)
    where: str
    patience: float
    pause: float
    _mood: _Mood = field(default_factory=_Mood, init=False, repr=False)

    def hurry(self) -> None:
        """Try every request once from now on: the work is to end. May be called in a signal handler."""
        self._mood.hurried = True

    def send(
        self,
        request: Callable[[], T],
        doing: str,
        *,
        expected: frozenset[str] = frozenset(),
        patience: float | None = None,
        stop: threading.Event | None = None,
    ) -> T:
        """Call `request`, again after a passing failure until `patience` is over or `stop` is set.

        Raise AnswerError for an `expected` code, else StoreError saying that it cannot do `doing`.
        """
        now = time.monotonic()
        end = now + (self.patience if patience is None else patience)
        if now - self._mood.gave_up_at < self.patience:
            end = now
        for attempt in itertools.count():
            try:
                answer = request()
            except self.dialect.foreign() as error:
                code = self.dialect.code_of(error)
                if code in expected:
                    raise AnswerError(code) from error
                asked = min(_LONGEST_ASKED, self.dialect.asked_pause(error))
                pause = max(asked, pause_before(attempt, self.pause))
                transient = self.dialect.is_transient(error)
                over = time.monotonic() + pause > end
                if transient and over:
                    self._mood.gave_up_at = time.monotonic()
                if not transient or over or not self._slept(pause, stop):
                    raise self.dialect.translate(error, f"{self.where}: cannot {doing}") from error
            else:
                self._mood.gave_up_at = float("-inf")
                return answer
        raise AssertionError  # the loop returns or raises

    def refusal(self, request: Callable[[], object], doing: str, taken: frozenset[str]) -> Conditions:
        """Send a request that a service refuses with a code of `taken` when it honours conditions."""
        try:
            self.send(request, doing, expected=taken)
        except AnswerError:
            return "honoured"
        return "ignored"

    def _slept(self, seconds: float, stop: threading.Event | None) -> bool:
        """Sleep, unless the work is to end; return whether it may go on."""
        stop = stop or threading.Event()
        end = time.monotonic() + seconds
        while not self._mood.hurried and (left := end - time.monotonic()) > 0:
            if stop.wait(min(left, _SLICE)):
                return False
        return not self._mood.hurried


def pause_before(attempt: int, first: float) -> float:
    """Seconds to wait before another try: doubling, with jitter so that many clients do not march in step."""
    longest = min(_LONGEST_PAUSE, first * 2 ** min(attempt, 16))
    return float(longest * random.uniform(0.5, 1))  # noqa: S311 - nobody gains by guessing it


def seconds_of(header: str | None) -> float:
    """Read a Retry-After header: its seconds; 0 for none, and for a date."""
    text = (header or "").strip()
    return float(text) if text.isascii() and text.isdigit() else 0.0
