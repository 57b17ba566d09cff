"""Turns SIGINT and SIGTERM into a request to stop; a second one ends the process at once."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from holdfast.model.errors import CancelledError
from holdfast.system.stop import Stop

_EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@contextmanager
def stopping(stop: Stop, *, on_hangup: Callable[[], None] | None = None) -> Iterator[None]:
    """Request the stop when the process is told to end. For the main thread only.

    A signal that is ignored stays so: nohup and a shell's background jobs count on it. With `on_hangup` SIGHUP ends
    nothing: that is called instead, each time.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)
        stop.request(CancelledError(f"cancelled by {name}", exit_code=_EXIT_CODES[signal.Signals(number)]))

    heard = [number for number in _EXIT_CODES if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heard}
    if on_hangup is not None:
        former = signal.signal(signal.SIGHUP, lambda _number, _frame: on_hangup())
        before.setdefault(signal.SIGHUP, former)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
