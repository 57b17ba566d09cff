"""What is to run now: a pure function of a timetable, of what the ledger knows of its slots, and of the time.

A slot is owed once its time (with its jitter) has come. Only the newest is run; older ones were missed. It is run
until one attempt succeeds, or there were enough of them, or the next slot takes its place.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.model import errors
from holdfast.model.run import Occasion, Run
from holdfast.model.schedule import Schedule

_BACKOFF = 3  # how many times longer each pause between attempts is than the one before
_LONGEST_PAUSE = 86400.0  # seconds
_REMEMBERED = 1000  # so many missed slots are recorded at most: that is history enough
_LONG_AGO = timedelta(days=36525)  # a hundred years
_KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.Error)]
_RETRYABLE = frozenset(kind.code for kind in _KINDS if kind.retryable)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timetable:
    """When a job is done, and how eagerly. Times in seconds.

    `catch_up` is how old a slot may be to be run all the same when nobody was there at its time (0: not at all);
    `retry_delay` the pause after the first of the `attempts`; the next are three times as long each, up to a day.
    """

    schedule: Schedule
    catch_up: float = 86400
    attempts: int = 3
    retry_delay: float = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What is known of the newest slot that anything is known of: its attempts, oldest first.

    `done` says that there is a backup of the slot though no attempt tells of it: the ledger was rebuilt.
    """

    slot: datetime
    attempts: tuple[Run, ...] = ()
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """No slot is owed from `since` to `until` (None: until further notice)."""

    since: datetime
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it is in force."""
        return self.until is None or now < self.until


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a job stands. Slots up to `since` are not owed; those before `watched_since` came while nobody was there."""

    since: datetime
    watched_since: datetime
    history: History | None = None
    pause: Pause | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to run now, if anything; which slots were missed; and when to look again at the latest."""

    due: Occasion | None = None
    missed: tuple[datetime, ...] = ()
    look_at: datetime


def plan(timetable: Timetable, target: str, standing: Standing, now: datetime) -> Plan:
    """Decide what a job of a target owes at `now`. What has run, or was missed, is not owed again."""
    pause, history = standing.pause, standing.history
    upcoming = next_due(timetable.schedule, target, now)
    if pause is not None and pause.holds(now):
        return Plan(look_at=upcoming if pause.until is None else min(upcoming, pause.until))
    floor = standing.since if pause is None or pause.until is None else max(standing.since, pause.until)
    owed = _owed(timetable.schedule, target, floor if history is None else max(floor, history.slot), now)
    if owed:
        *missed, newest = owed
        occasion = _first_try(timetable, target, standing, newest, now)
        return Plan(due=occasion, missed=tuple(missed) if occasion else (*missed, newest), look_at=upcoming)
    retry = retry_at(timetable, history) if history is not None and history.slot > floor else None
    if history is None or retry is None or not _in_time(timetable, target, standing, history.slot, now):
        return Plan(look_at=upcoming)
    if retry > now:
        return Plan(look_at=min(retry, upcoming))
    last = history.attempts[-1]
    return Plan(
        due=Occasion(trigger=last.trigger, slot=history.slot, attempt=last.attempt + 1), look_at=upcoming
    )


def next_due(schedule: Schedule, target: str, now: datetime) -> datetime:
    """When the next slot begins, its jitter included."""
    before = now - timedelta(seconds=schedule.jitter)
    times = (slot + schedule.delay(target, slot) for slot in schedule.slots(before))
    return next(time for time in times if time > now)


def _owed(schedule: Schedule, target: str, after: datetime, now: datetime) -> tuple[datetime, ...]:
    after = max(after, now - min(_REMEMBERED * schedule.interval, _LONG_AGO))
    slots = schedule.slots_between(after, now)
    return tuple(deque((s for s in slots if s + schedule.delay(target, s) <= now), maxlen=_REMEMBERED))


def _first_try(
    timetable: Timetable, target: str, standing: Standing, slot: datetime, now: datetime
) -> Occasion | None:
    if not _in_time(timetable, target, standing, slot, now):
        return None
    watched = slot + timetable.schedule.delay(target, slot) >= standing.watched_since
    return Occasion(trigger="schedule" if watched else "catch_up", slot=slot)


def _in_time(timetable: Timetable, target: str, standing: Standing, slot: datetime, now: datetime) -> bool:
    """Whether the slot came while somebody was there (then it only had to wait), or may still be caught up."""
    due = slot + timetable.schedule.delay(target, slot)
    return due >= standing.watched_since or (now - slot).total_seconds() <= timetable.catch_up


def retry_at(timetable: Timetable, history: History) -> datetime | None:
    """When the slot may be tried again; None when it succeeded, or another attempt makes no sense."""
    if history.done or not history.attempts:
        return None
    last = history.attempts[-1]
    tried = sum(1 for run in history.attempts if run.status != "cancelled")
    ended = last.finished_at or last.started_at
    match last.status:
        case "cancelled":  # by a stop of the daemon: the slot has had no fair attempt yet
            return ended
        case "running" | "lost" if (
            tried < timetable.attempts
        ):  # running: its process is dead, or we would know
            return ended
        case "failed" if tried < timetable.attempts and last.error_code in _RETRYABLE:
            return ended + timedelta(
                seconds=min(timetable.retry_delay * _BACKOFF ** (tried - 1), _LONGEST_PAUSE)
            )
    return None
