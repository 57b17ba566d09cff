"""The judge of sizes is quiet in the years that backups really have, and never misses what was lost."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.anomaly import HISTORY, LEAST, ROWS, SETTLED, SIZE, TABLES, Rule, Sample, Verdict, judge

GB = 1e9
MONDAY = datetime(2026, 11, 23, 12, 30, tzinfo=UTC)
Season = Callable[[int], float]


def judged(values: Sequence[float], rule: Rule = SIZE, *, a_day: int = 1) -> list[Verdict | None]:
    """Judge so many values a day, the first on a Monday, each by those before it."""
    history: list[Sample] = []
    verdicts = []
    for number, value in enumerate(values):
        at = time_of(number, a_day)
        verdict = judge(history, at, value, rule)
        history.append(Sample(at, value, 0.0 if verdict is None else verdict.score))
        verdicts.append(verdict)
    return verdicts


def time_of(number: int, a_day: int = 1) -> datetime:
    return MONDAY + timedelta(days=number / a_day)


def flags(verdicts: list[Verdict | None]) -> list[bool]:
    return [verdict is not None and verdict.anomaly for verdict in verdicts]


def alarms(verdicts: list[Verdict | None]) -> int:
    """How often an alarm began."""
    found = flags(verdicts)
    return sum(now and not before for before, now in zip([False, *found], found, strict=False))


def year(season: Season, noise: float, seed: int) -> list[float]:
    chance = random.Random(seed)
    return [GB * season(day) * math.exp(chance.gauss(0, noise)) for day in range(365)]


def weekend(factor: float) -> Season:
    return lambda day: factor if day % 7 >= 5 else 1.0


@pytest.mark.sampled(12)
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("season", "noise"),
    [
        pytest.param(lambda _: 1.0, 0.0, id="always the same"),
        pytest.param(lambda _: 1.0, 0.1, id="unsteady"),
        pytest.param(lambda _: 1.0, 0.25, id="very unsteady"),
        pytest.param(lambda day: 1.003**day, 0.02, id="growing threefold"),
        pytest.param(lambda day: 1.01**day, 0.02, id="growing fortyfold"),
        pytest.param(lambda day: 20.0 + day, 0.01, id="young, growing by as much a day"),
        pytest.param(lambda day: 0.997**day, 0.02, id="shrinking"),
        pytest.param(weekend(0.6), 0.03, id="smaller on weekends"),
        pytest.param(weekend(3), 0.03, id="larger on weekends"),
        pytest.param(lambda day: 3.0 if day % 7 == 6 else 1.0, 0.03, id="large on Sundays"),
        pytest.param(lambda day: 1 + day % 7 / 10, 0.03, id="growing in the week"),
        pytest.param(lambda day: weekend(0.6)(day) * 1.003**day, 0.05, id="growing, with weekends"),
        pytest.param(lambda day: 2.0 if day >= 100 else 1.0, 0.03, id="doubled once"),
        pytest.param(lambda day: 2.0 if day >= 100 else 1.0, 0.08, id="doubled once, unsteady"),
        pytest.param(lambda day: 2.0 if day >= 7 else 1.0, 0.03, id="doubled in the second week"),
        pytest.param(lambda day: 1.3 if day >= 100 else 1.0, 0.03, id="grown by a third once"),
        pytest.param(lambda day: (1 + (day >= 100)) * 1.002**day, 0.03, id="growing, doubled once"),
    ],
)
def test_a_year_has_one_false_alarm_at_most(season: Season, noise: float, seed: int) -> None:
    assert alarms(judged(year(season, noise, seed))) <= 1


@pytest.mark.parametrize("a_day", [2, 24, *(pytest.param(n, marks=pytest.mark.extended) for n in (3, 4, 8))])
@pytest.mark.parametrize("larger", [2, 6])
def test_a_load_in_the_night_is_learnt_where_there_are_several_backups_a_day(
    a_day: int, larger: float
) -> None:
    chance = random.Random(1)
    values = [
        GB * (larger if time_of(number, a_day).hour in {1, 2, 3, 0} else 1) * math.exp(chance.gauss(0, 0.03))
        for number in range(60 * a_day)
    ]
    assert alarms(judged(values, a_day=a_day)) <= 1


def test_a_change_that_stays_is_the_new_normal_after_a_while() -> None:
    found = flags(judged([GB] * 40 + [2 * GB] * 60))
    assert found.index(True) == 40
    assert found[40:] == [True] * SETTLED + [False] * (60 - SETTLED)


def test_the_way_back_from_a_new_normal_is_an_alarm_again() -> None:
    found = flags(judged([GB] * 40 + [2 * GB] * 30 + [GB] * 3))
    assert found[-3:] == [True] * 3


@pytest.mark.parametrize("before", [LEAST, 14, 30, 100])
@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("noise", [0.0, 0.05, 0.2, 0.5])
@pytest.mark.parametrize("season", [weekend(0.6), lambda _: 1.0, lambda day: 1.01**day])
def test_a_table_with_nine_of_ten_rows_is_always_missed(
    season: Season, noise: float, seed: int, before: int
) -> None:
    values = year(season, noise, seed)[:before]
    usual = sorted(values[-14:])[len(values[-14:]) // 2]
    last = judged([*values, usual / 12], ROWS)[-1]
    assert last is not None
    assert last.score < -1


@given(
    values=st.lists(st.integers(min_value=1, max_value=2**60), min_size=LEAST, max_size=60),
    rule=st.sampled_from([SIZE, ROWS, TABLES]),
)
def test_nothing_left_is_always_an_anomaly(values: list[int], rule: Rule) -> None:
    history = [Sample(time_of(day), value) for day, value in enumerate(values)]
    verdict = judge(history, time_of(len(values)), 0, rule)
    assert verdict is not None
    assert verdict.score < -1


@pytest.mark.parametrize("before", [6, 20])
def test_a_second_loss_is_found_as_the_first_was(before: int) -> None:
    found = flags(judged([GB] * before + [0.0] + [GB] * 6 + [0.0]))
    assert [day for day, flag in enumerate(found) if flag] == [before, before + 7]


@pytest.mark.parametrize("tables", [1, 2, 7, 500, 100_000])
def test_one_table_less_is_an_anomaly_where_their_number_does_not_change(tables: int) -> None:
    assert flags(judged([tables] * 10 + [tables - 1], TABLES))[-1]


def test_some_new_tables_are_none() -> None:
    assert not any(flags(judged([*range(20, 60)], TABLES)))


def test_the_number_of_tables_may_go_up_and_down_where_it_always_did() -> None:
    assert not any(flags(judged([30 + day * 3 % 7 for day in range(100)], TABLES)))


def test_a_load_that_is_missing_on_its_day_of_the_week_is_found() -> None:
    values = [GB * (3 if day % 7 == 6 else 1) for day in range(7 * 6)]
    values[-1] = GB
    last = judged(values)[-1]
    assert last is not None
    assert last.anomaly
    assert last.expected == pytest.approx(3 * GB)


def test_small_changes_of_small_databases_are_none() -> None:
    assert not any(flags(judged([5_000, 5_100, 9_000, 5_000, 12_000, 5_000, 15_000, 5_000])))


def test_with_few_backups_there_is_no_judging() -> None:
    assert judged([GB, GB, 0, GB, GB])[:LEAST] == [None] * LEAST


def test_growth_and_shrinking_are_told_apart() -> None:
    up, down = judged([GB] * 10 + [4 * GB])[-1], judged([GB] * 10 + [GB / 4])[-1]
    assert up is not None
    assert down is not None
    assert up.score == pytest.approx(-down.score, rel=0.01)
    assert up.expected == down.expected == pytest.approx(GB)


@given(
    values=st.lists(st.floats(min_value=0, max_value=2.0**62), max_size=2 * HISTORY),
    scores=st.lists(st.floats(min_value=-9, max_value=9), min_size=2 * HISTORY, max_size=2 * HISTORY),
    value=st.floats(min_value=0, max_value=2.0**62),
    a_day=st.integers(min_value=1, max_value=48),
    rule=st.sampled_from([SIZE, ROWS, TABLES]),
)
def test_any_history_is_judged_by_numbers(
    values: list[float], scores: list[float], value: float, a_day: int, rule: Rule
) -> None:
    history = [
        Sample(time_of(number, a_day), each, score)
        for number, (each, score) in enumerate(zip(values, scores, strict=False))
    ]
    at = time_of(len(history), a_day)
    verdict = judge(history, at, value, rule)
    assert (verdict is None) or (math.isfinite(verdict.score) and verdict.expected >= 0)
    assert judge(history[-HISTORY:], at, value, rule) == verdict, "what is older does not matter"
