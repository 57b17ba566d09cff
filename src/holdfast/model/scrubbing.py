"""Which copies are to be looked at again now, so that each is within a time, and the work is even: a pure function."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

_YOUNG = 2  # a copy is looked at again after half of the time at the earliest


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A copy of a backup in a store: its size in bytes, and when all of it was last seen to be as it was written."""

    backup_id: str
    store: str
    size: int
    checked_at: datetime


def due(copies: Iterable[Held], now: datetime, *, every: timedelta, interval: timedelta) -> tuple[Held, ...]:
    """Choose the share of one run, the oldest first; the next run is an `interval` away.

    It has all that would be older than `every` before the next run, and beyond that as many bytes as an even share of
    everything. A copy that was checked in the future (a clock that was wrong) is due.
    """
    known = sorted(
        copies, key=lambda copy: (copy.checked_at <= now, copy.checked_at, copy.backup_id, copy.store)
    )
    even = sum(copy.size for copy in known) * (interval / every)
    chosen: list[Held] = []
    spent = 0
    for copy in known:
        age = now - copy.checked_at
        must = age >= every - interval or age < timedelta()
        if not must and (spent >= even or age < every / _YOUNG):
            break
        chosen.append(copy)
        spent += copy.size
    return tuple(chosen)
