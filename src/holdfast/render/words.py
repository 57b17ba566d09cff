"""Sizes, times and numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_THOUSAND = 1000


def size(count: float) -> str:
    """Give bytes as people read them: `1.2 GB`."""
    for unit in _UNITS[:-1]:
        if count < _THOUSAND:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _THOUSAND
    return f"{count:.1f} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """Give seconds as people read them: `3 min 20 s`, `5 h 3 min`, `2 d 4 h`."""
    seconds = max(seconds, 0)
    if seconds < 10:  # noqa: PLR2004 - a tenth matters for short times only
        return f"{seconds:.1f} s"
    for unit, name, smaller, smaller_name in (
        (86400, "d", 3600, "h"),
        (3600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= unit:
            return f"{seconds // unit:.0f} {name} {seconds % unit // smaller:.0f} {smaller_name}"
    return f"{seconds:.0f} s"


def many(count: int, word: str) -> str:
    """Give a number of things: `1 table`, `2 tables`."""
    return f"{count:,} {word}{'' if count == 1 else 's'}"


def when(value: datetime) -> str:
    """Give a time in UTC, to the second."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
