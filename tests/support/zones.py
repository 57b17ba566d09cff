"""The ways in which clocks go in 24 months, one zone for each: what holds for these holds for every zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

START, END = datetime(2025, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)

Changes = tuple[tuple[datetime, timedelta | None], ...]


@lru_cache(maxsize=1)
def kinds() -> dict[str, Changes]:
    """Give one zone for each course of the offsets, to the minute, and when these begin.

    Every zone that there is goes like one of them.
    """
    found: dict[Changes, str] = {}
    for name in sorted(available_timezones()):
        found.setdefault(_changes(ZoneInfo(name)), name)
    return {name: changes for changes, name in found.items()}


def _changes(zone: ZoneInfo) -> Changes:
    days = [START + timedelta(days=number) for number in range((END - START).days + 1)]
    found = [(START, START.astimezone(zone).utcoffset())]
    for earlier, later in pairwise(days):
        if later.astimezone(zone).utcoffset() != found[-1][1]:
            at = _change(zone, earlier, later)
            found.append((at, at.astimezone(zone).utcoffset()))
    return tuple(found)


def _change(zone: ZoneInfo, earlier: datetime, later: datetime) -> datetime:
    """Give the first minute of the day in which the offset is another."""
    before = earlier.astimezone(zone).utcoffset()
    first, last = 0, (later - earlier) // timedelta(minutes=1)
    while first < last:
        middle = (first + last) // 2
        if (earlier + timedelta(minutes=middle)).astimezone(zone).utcoffset() == before:
            first = middle + 1
        else:
            last = middle
    return earlier + timedelta(minutes=first)
