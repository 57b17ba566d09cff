"""When something is to happen: the slots of a cron rule or of an interval, in a time zone, clock changes included.

A slot is the planned time, in UTC and to the second. Where the clock of the zone skips a time, the slot comes as much
later; where it repeats an hour, a rule for every hour fires in both, any other in the first only. So a rule for one
time a day has one slot a day, always.
"""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import count, pairwise, takewhile
from zoneinfo import ZoneInfo

from holdfast.model.codec import time_text

WORDS = {"@hourly": "0 * * * *", "@daily": "0 0 * * *", "@weekly": "0 0 * * 0", "@monthly": "0 0 1 * *"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELDS = (  # name, lowest, highest, names for the numbers from the lowest on
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, _MONTHS),
    ("day of the week", 0, 7, _DAYS),
)
_ITEM = re.compile(r"(?:\*|([0-9]+|[a-z]{3})(?:-([0-9]+|[a-z]{3}))?)(?:/([0-9]+))?")
_LONGEST_MONTH = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = timedelta(days=1)
_HOURS, _MINUTES_A_DAY = 24, 24 * 60
_SAMPLES = (
    8 * 366,
    57 * 366,
)  # days: the calendar repeats after 28 years; a look at eight is enough for most rules
_SOME = 3
_LARGEST_SHIFT = 2  # days: a zone that changed sides of the date line skipped a whole one


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """A rule of five fields, as crontab(5) reads them: a day fits when either of two restricted day fields does."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either_day: bool

    def fits(self, day: date) -> bool:
        """Whether the rule has times on that day."""
        if day.month not in self.months:
            return False
        by_date, by_weekday = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return by_date or by_weekday if self.either_day else by_date and by_weekday


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """Every so many seconds, counted from 1970 in UTC: all hosts mean the same times, before and after a restart."""

    seconds: int


Rule = Cron | Every


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A rule in a time zone. `text` is what the config says; `jitter` the longest delay of a slot, in seconds."""

    text: str
    rule: Rule
    zone: tzinfo = UTC
    jitter: int = 0

    def slots(self, after: datetime) -> Iterator[datetime]:
        """The slots later than `after`, in their order, without an end."""
        if isinstance(self.rule, Cron):
            return _cron_slots(self.rule, self.zone, after)
        step = timedelta(seconds=self.rule.seconds)
        first = (after - _EPOCH) // step + 1
        return (_EPOCH + step * number for number in count(first))

    def slots_between(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """The slots later than `after`, up to `until` included, in their order."""
        return takewhile(lambda slot: slot <= until, self.slots(after))

    def delay(self, target: str, slot: datetime) -> timedelta:
        """How long after the slot it begins: spread evenly up to the jitter, for a target and slot always the same."""
        digest = hashlib.sha256(f"{target} {time_text(slot)}".encode()).digest()
        return timedelta(seconds=int.from_bytes(digest[:8]) * self.jitter >> 64)

    @property
    def interval(self) -> timedelta:
        """The longest time between two slots, clock changes aside."""
        return max(_distances(self.rule))

    @property
    def shortest_interval(self) -> timedelta:
        """The shortest time between two slots, clock changes aside."""
        return min(_distances(self.rule))


def parse(text: str, *, zone: str = "UTC", jitter: int = 0) -> Schedule:
    """Read a word such as `@daily`, five cron fields, or `every 6h`. Raise ValueError for anything else."""
    text = " ".join(text.split()).lower()
    rule = _every(text.removeprefix("every ")) if text.startswith("every ") else _cron(text)
    return Schedule(text=text, rule=rule, zone=time_zone(zone), jitter=jitter)


def time_zone(name: str) -> tzinfo:
    """Find a time zone; UTC also where the machine knows no others. Raise ValueError for one that is unknown."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, LookupError) as error:
        raise ValueError(f"no time zone {name!r}") from error


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _every(text: str) -> Every:
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    seconds = int(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < seconds <= 366 * _UNITS["d"]:
        raise ValueError("a whole number of s, m, h or d, up to a year, was expected, such as 6h")
    return Every(seconds=seconds)


def _cron(text: str) -> Cron:
    fields = WORDS.get(text, text).split(" ")
    if fields[0].startswith("@") or len(fields) != len(_FIELDS):
        raise ValueError(f"five cron fields or {', '.join(sorted(WORDS))} were expected")
    sets = [_numbers(field, *limits) for field, limits in zip(fields, _FIELDS, strict=True)]
    minutes, hours, days, months, weekdays = sets
    either = not fields[2].startswith("*") and not fields[4].startswith("*")
    if not either and not any(min(days) <= _LONGEST_MONTH[month - 1] for month in months):
        raise ValueError(f"no year has a day {text!r}")
    return Cron(
        minutes=tuple(sorted(minutes)),
        hours=tuple(sorted(hours)),
        days=days,
        months=months,
        weekdays=frozenset(day % 7 for day in weekdays),
        either_day=either,
    )


def _numbers(field: str, name: str, lowest: int, highest: int, names: tuple[str, ...]) -> frozenset[int]:
    found: set[int] = set()
    for item in field.split(","):
        numbers = _item(item, lowest, highest, names)
        if not numbers:
            raise ValueError(
                f"{field!r} cannot be the {name}: write a number from {lowest} to {highest}, *, ranges or steps"
            )
        found.update(numbers)
    return frozenset(found)


def _item(item: str, lowest: int, highest: int, names: tuple[str, ...]) -> range:
    """The numbers of `*`, `5`, `1-5`, each perhaps with a step; `5/10` is from 5 on. Empty when it is none of these."""
    match = _ITEM.fullmatch(item)
    if match is None:
        return range(0)
    numbers = [
        names.index(text) + lowest if text in names else int(text) if text.isdigit() else -1
        for text in match.group(1, 2)
        if text is not None
    ]
    step = 1 if match[3] is None else int(match[3])
    if step > highest - lowest + 1:  # */90 of the minutes would be every hour, and was not meant so
        return range(0)
    first = numbers[0] if numbers else lowest
    last = numbers[-1] if numbers and (len(numbers) > 1 or match[3] is None) else highest
    return range(first, last + 1, step) if step and lowest <= first <= last <= highest else range(0)


def _cron_slots(rule: Cron, zone: tzinfo, after: datetime) -> Iterator[datetime]:
    """The slots after a time, in order: those of a day are given once no later day can have an earlier one."""
    day = after.astimezone(zone).date() - _LARGEST_SHIFT * _DAY
    held: list[datetime] = []
    last = after
    while True:
        if rule.fits(day):
            held = sorted({*held, *_slots_of(rule, zone, day)})
        day += _DAY
        earliest = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC) - _DAY
        ready, held = held[: (cut := bisect_right(held, earliest))], held[cut:]
        for slot in ready:
            if slot > last:
                last = slot
                yield slot


@lru_cache(maxsize=64)
def _slots_of(rule: Cron, zone: tzinfo, day: date) -> tuple[datetime, ...]:
    """The slots of one day of the zone's calendar."""
    every_hour = len(rule.hours) == _HOURS
    found: set[datetime] = set()
    for hour in rule.hours:
        for minute in rule.minutes:
            local = datetime(day.year, day.month, day.day, hour, minute, tzinfo=zone)
            first = local.astimezone(
                UTC
            )  # of a time that is skipped: as much later as the clock went forward
            found.add(first)
            second = local.replace(fold=1).astimezone(UTC)
            if every_hour and second > first:  # the hour that is repeated
                found.add(second)
    return tuple(sorted(found))


@lru_cache(maxsize=64)
def _distances(rule: Rule) -> tuple[timedelta, ...]:
    """The distances between slots that occur in a zone without clock changes."""
    if isinstance(rule, Every):
        return (timedelta(seconds=rule.seconds),)
    times = [hour * 60 + minute for hour in rule.hours for minute in rule.minutes]
    first, days = date(2000, 1, 1), list[int]()
    for length in _SAMPLES:
        if len(days) < _SOME:
            days = [number for number in range(length) if rule.fits(first + number * _DAY)]
    found = {later - earlier for earlier, later in pairwise(times)}
    found |= {(later - earlier) * _MINUTES_A_DAY + times[0] - times[-1] for earlier, later in pairwise(days)}
    return tuple(timedelta(minutes=minutes) for minutes in found)
