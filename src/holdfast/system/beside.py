"""Does two things at the same time, of which neither is worth anything without the other."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from holdfast.system.stop import Stop

First = TypeVar("First")
Second = TypeVar("Second")


def beside(
    first: Callable[[Stop], First], second: Callable[[Stop], Second], stop: Stop
) -> tuple[First, Second]:
    """Do two things at the same time; when one fails, the other is stopped and the failure raised."""
    with stop.derived() as limited, ThreadPoolExecutor(1, thread_name_prefix="beside") as pool:
        running = pool.submit(_guarded, second, limited)
        try:
            done = first(limited)
        except BaseException:
            if not limited.requested:  # else the other's failure is the cause
                limited.request()
                raise
            running.result()
            raise
        return done, running.result()


def _guarded(work: Callable[[Stop], Second], limited: Stop) -> Second:
    try:
        return work(limited)
    except BaseException:
        limited.request()
        raise
