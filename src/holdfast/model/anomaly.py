"""Tells whether a measure of a backup (size, tables, rows) is far from what the backups before it lead to expect.

All is done on logarithms, so that half and double are equally far. What is usual is the median of the backups before;
how far from it is still usual, a multiple of their median deviation: one odd backup moves neither.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median

WINDOW = 30  # backups that are looked back at
LEAST = 5  # with fewer there is no judging
SETTLED = 15  # anomalies in a row, all the same way, are the new normal
HISTORY = WINDOW + SETTLED  # as many samples as can matter
_AGREEING = 4  # so many days that agree tell what a weekday or an hour is like
_MAD_TO_SIGMA = 1.4826  # for a normal distribution
_SIGMAS = 6.0
_DEEPEST = math.log(5)  # down to a fifth is never usual, however unsteady the backups were
_NOTHING_LEFT = 0.9
_SMALLEST = 1e-9  # a difference that floating point numbers still show
_PATIENCE = 0.6  # what comes back by so little from an anomaly is still one


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which changes of a measure are too small to matter: up to these factors, or up to `least` in all."""

    rise: float
    fall: float
    least: float


SIZE = Rule(rise=1.25, fall=1.25, least=16 * 1024)
ROWS = Rule(rise=1.25, fall=1.25, least=100)
TABLES = Rule(rise=1.5, fall=1.0, least=0.5)  # a lost table is a lost table


@dataclass(frozen=True, slots=True)
class Sample:
    """A measure of an earlier backup, when that was taken, and how it was judged."""

    at: datetime
    value: float
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was expected, and how far off the value is: a score beyond 1 or -1 is an anomaly, below 0 a fall."""

    expected: float
    score: float

    @property
    def anomaly(self) -> bool:
        """Whether the value is too far from what was expected."""
        return abs(self.score) > 1


@dataclass(frozen=True, slots=True)
class _Reference:
    """What a value may resemble, and how far above and below that is still usual (all logarithms)."""

    expected: float
    rise: float
    fall: float

    def verdict(self, value: float) -> Verdict:
        distance = value - self.expected
        score = distance / (self.rise if distance > 0 else self.fall) if distance else 0.0
        return Verdict(math.expm1(self.expected), score)


def judge(history: Sequence[Sample], at: datetime, value: float, rule: Rule) -> Verdict | None:
    """Judge a measure by those of the backups before it, the oldest first; None where they are too few.

    To accept a change that was meant, pass the history from that backup on.
    """
    usual, going_on = _split(history[-HISTORY:])
    if len(usual) < LEAST:
        return None
    verdicts = [each.verdict(math.log1p(value)) for each in _references(usual[-WINDOW:], at, rule)]
    nearest = min(verdicts, key=lambda verdict: abs(verdict.score))
    if going_on * nearest.score > 0:
        return Verdict(nearest.expected, nearest.score / _PATIENCE)
    return nearest


def _split(history: Sequence[Sample]) -> tuple[Sequence[Sample], int]:
    """Leave out what came before a new normal, and the anomalies at the end; tell which way these go (1, -1, 0)."""
    start, length, going_on = 0, 0, 0
    for number, sample in enumerate(history):
        direction = (sample.score > 1) - (sample.score < -1)
        length = length + 1 if direction == going_on else 1
        going_on = direction
        if direction and length == SETTLED:
            start, length, going_on = number + 1 - length, 0, 0
    return history[start : len(history) - (length if going_on else 0)], going_on


def _references(usual: Sequence[Sample], at: datetime, rule: Rule) -> list[_Reference]:
    """What the value may resemble: the backups as a whole, those of the same weekday, those of the same hour.

    One backup of that weekday or hour is precedent enough, so that a season alarms once at most; but not for nothing
    at all. Four days that agree say what a time is like that differs; then the others do not count.
    """
    values = [math.log1p(sample.value) for sample in usual]
    expected = median(values)
    whole = _reference(expected, values, rule, spread=_spread(value - expected for value in values))
    found, own = [whole], []
    for season in (datetime.weekday, _hour):
        times = [season(sample.at) for sample in usual]
        alike = [sample for sample in usual if season(sample.at) == season(at)]
        same = [math.log1p(sample.value) for sample in alike]
        if not same or len(same) == len(values):
            continue
        days = len({sample.at.date() for sample in alike})
        seasonal = _reference(median(same), values, rule, spread=_spread(_residuals(times, values)))
        much = math.log(rule.rise)
        if days >= _AGREEING and max(same) - min(same) <= much < abs(seasonal.expected - expected):
            own.append(seasonal)
        elif seasonal.expected > 0:
            found.append(seasonal)
    return own or found


def _hour(at: datetime) -> int:
    return at.hour


def _residuals(times: Sequence[int], values: Sequence[float]) -> Iterator[float]:
    """How far each value is from the median of its own time."""
    groups: dict[int, list[float]] = {}
    for time, value in zip(times, values, strict=True):
        groups.setdefault(time, []).append(value)
    for group in groups.values():
        center = median(group)
        yield from (value - center for value in group)


def _reference(expected: float, values: Sequence[float], rule: Rule, *, spread: float) -> _Reference:
    caution = 1 + 2 * (LEAST / len(values)) ** 2  # few values understate how unsteady they are
    amount = math.expm1(expected)
    usual = _SIGMAS * spread
    rise = max(
        caution * max(math.log(rule.rise), usual), math.log1p(amount + rule.least) - expected, _SMALLEST
    )
    fall = max(
        min(caution * max(math.log(rule.fall), usual), _DEEPEST),
        expected - math.log1p(max(amount - rule.least, 0)),
        _SMALLEST,
    )
    if expected > 0 and min(values) > 0:  # there has always been something
        fall = min(fall, _NOTHING_LEFT * expected)
    return _Reference(expected, rise, fall)


def _spread(distances: Iterable[float]) -> float:
    """The standard deviation, estimated so that outliers do not count."""
    return _MAD_TO_SIGMA * median(map(abs, distances))
