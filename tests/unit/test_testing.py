"""The owner's checks: what an answer has to be, and that it is never repeated."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from holdfast.model.testing import Check, wrong
from support.model_values import NOW


def check(**expected: object) -> Check:
    return Check(name="n", sql="SELECT 1", **expected)  # type: ignore[arg-type] # its own fields


def asked(expected: Check, found: object, rows: int = 1) -> str | None:
    return wrong(expected, found, rows=rows, taken_at=NOW)


@pytest.mark.parametrize(
    ("expected", "good", "bad"),
    [
        (check(equals="3"), [3, Decimal("3.0"), "3"], [4, "three", None]),
        (check(equals="a"), ["a"], ["b", None]),
        (check(equals="True"), [True], [False, 1]),
        (check(min=Decimal(1)), [1, 1.5, "2"], [0, None, "x", True, float("nan")]),
        (check(max=Decimal(5)), [5, -1], [5.1, None]),
        (check(min=Decimal(1), max=Decimal(2)), [1, 2], [0, 3]),
        (check(not_empty=True), [0, "x"], [None, ""]),
        (
            check(max_age=3600.0),
            [NOW, NOW - timedelta(hours=1), NOW.replace(tzinfo=None), NOW.date()],
            [NOW - timedelta(hours=2), date(2020, 1, 1), "2026", None],
        ),
    ],
)
def test_an_answer_is_as_it_has_to_be(expected: Check, good: list[object], bad: list[object]) -> None:
    assert [asked(expected, found) for found in good] == [None] * len(good)
    assert all(asked(expected, found) for found in bad)


def test_no_row_is_never_right() -> None:
    assert asked(check(equals="None"), None, rows=0) == "it gave no row"
    assert asked(check(not_empty=True), None, rows=0)


def test_an_answer_is_not_repeated() -> None:
    secret = "4111111111111111"
    for expected in (check(equals="1"), check(max=Decimal(1)), check(max_age=1.0)):
        assert secret not in str(asked(expected, secret))
    assert asked(check(max_age=60.0), datetime(2000, 1, 1, tzinfo=UTC)) == (
        "its answer is older than 60 s before the backup"
    )
