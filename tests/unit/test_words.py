"""Numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from holdfast.render.words import duration, many, size, when


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5e9, "5.0 GB"),
        (2e15, "2.0 PB"),
        (3e18, "3000.0 PB"),
    ],
)
def test_sizes(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "0.0 s"),
        (0.25, "0.2 s"),
        (9.94, "9.9 s"),
        (42, "42 s"),
        (200, "3 min 20 s"),
        (18_180, "5 h 3 min"),
        (187_200, "2 d 4 h"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_one_thing_is_not_many() -> None:
    assert [many(count, "row") for count in (0, 1, 2, 1234)] == ["0 rows", "1 row", "2 rows", "1,234 rows"]


def test_times_are_told_in_utc() -> None:
    there = timezone(timedelta(hours=2))
    assert when(datetime(2026, 11, 22, 3, 30, 1, 999, tzinfo=there)) == "2026-11-22 01:30:01Z"
    assert when(datetime(2026, 11, 22, tzinfo=UTC)) == "2026-11-22 00:00:00Z"
