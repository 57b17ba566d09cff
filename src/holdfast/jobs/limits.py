"""Stops a run that takes too long, or that shows no sign of life for too long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from holdfast.jobs.runner import Meter
from holdfast.model.errors import SourceError
from holdfast.model.target import Limits
from holdfast.system.clock import Clock
from holdfast.system.stop import Stop

_TICK = 5.0
_TICKS_A_LIMIT = 4


@contextmanager
def limited(limits: Limits, meter: Meter, stop: Stop, clock: Clock) -> Iterator[None]:
    """Request the stop, with a SourceError, when the `with` goes beyond a limit."""
    given = [limit for limit in (limits.timeout, limits.stall) if limit is not None]
    if not given:
        yield
        return
    done = threading.Event()
    tick = min(_TICK, min(given) / _TICKS_A_LIMIT)

    def watch() -> None:
        began = moved = clock.monotonic()
        signs = meter.signs
        while not done.wait(tick):
            now = clock.monotonic()
            if meter.signs != signs:
                signs, moved = meter.signs, now
            if limits.timeout is not None and now - began >= limits.timeout:
                stop.request(_too_long(limits.timeout))
                return
            if limits.stall is not None and now - moved >= limits.stall:
                stop.request(_stalled(limits.stall))
                return

    thread = threading.Thread(target=watch, name="limits", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _too_long(limit: float) -> SourceError:
    return SourceError(
        f"backup stopped: it took longer than {limit:g} s",
        hint="Raise the target's timeout, or back up at a quieter time.",
    )


def _stalled(limit: float) -> SourceError:
    return SourceError(
        f"backup stopped: no byte came or went for {limit:g} s",
        hint="Look at the server's sessions and at the store; if that is how it has to be, raise the target's"
        ' stall_limit (or set it to "off").',
    )
