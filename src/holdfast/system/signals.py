"""Turns SIGINT and SIGTERM into a request to stop; a second one ends the process at once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from holdfast.model.errors import CancelledError
from holdfast.system.stop import Stop

_EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@contextmanager
def stopping(stop: Stop) -> Iterator[None]:
    """Request the stop when the process is told to end. For the main thread only.

    A signal that is ignored stays so: nohup and a shell's background jobs count on it.
    """

    def handle(number: int, _frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        signal.signal(number, signal.SIG_DFL)
        stop.request(CancelledError(f"cancelled by {name}", exit_code=_EXIT_CODES[signal.Signals(number)]))

    heard = [number for number in _EXIT_CODES if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heard}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
