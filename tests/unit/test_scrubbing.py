"""The scrub looks at every copy in time, the oldest first, and does not do all of it at once."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.scrubbing import Held, due
from support.model_values import NOW

DAY, MONTH = timedelta(days=1), timedelta(days=30)


def held(number: int, age: timedelta, size: int = 100) -> Held:
    return Held(backup_id=f"b{number:04}", store="a", size=size, checked_at=NOW - age)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 10**9)), max_size=30))
def test_what_would_be_too_old_before_the_next_run_is_in_it(copies: list[tuple[int, int]]) -> None:
    all_of_them = [held(number, timedelta(days=age), size) for number, (age, size) in enumerate(copies)]
    chosen = due(all_of_them, NOW, every=MONTH, interval=DAY)
    assert {copy for copy in all_of_them if NOW - copy.checked_at >= MONTH - DAY} <= set(chosen)
    assert list(chosen) == sorted(chosen, key=lambda copy: (copy.checked_at, copy.backup_id))


def test_a_year_of_daily_runs_keeps_every_copy_in_time_and_the_work_even() -> None:
    checked = {number: NOW - timedelta(days=number % 7) for number in range(60)}
    most = 0
    for day in range(365):
        now = NOW + day * DAY
        copies = [Held(backup_id=str(n), store="a", size=100, checked_at=at) for n, at in checked.items()]
        assert all(now - copy.checked_at <= MONTH for copy in copies)
        chosen = due(copies, now, every=MONTH, interval=DAY)
        for copy in chosen:
            checked[int(copy.backup_id)] = now
        most = max(most, len(chosen)) if day > 60 else 0
    assert most <= 4  # two a day would be even


def test_what_is_young_is_left_alone_and_what_is_from_the_future_is_not() -> None:
    assert due([held(1, timedelta(days=3))], NOW, every=MONTH, interval=DAY) == ()
    ahead = held(2, timedelta(days=-3))
    assert due([held(1, timedelta(days=3)), ahead], NOW, every=MONTH, interval=DAY) == (ahead,)
    assert due([], NOW, every=MONTH, interval=DAY) == ()
