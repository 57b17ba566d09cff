"""Tells which runs come next, by the config and the pauses alone."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from holdfast.jobs.scheduled import refusals, timetables
from holdfast.jobs.services import Services
from holdfast.ledger import scheduling
from holdfast.ledger.scheduling import Key
from holdfast.model.planning import Pause
from holdfast.model.run import Job
from holdfast.model.schedule import Schedule
from holdfast.model.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Upcoming:
    """A run to come: it begins at `at`, its slot and its jitter; `local` is the same in the zone of the rule."""

    at: datetime
    local: datetime
    timezone: str
    job: Job
    target: str
    slot: datetime
    rule: str
    paused: bool


def upcoming(services: Services, targets: tuple[Target, ...], count: int) -> list[Upcoming]:
    """The next runs of the targets, the earliest first; those that a pause keeps from running are marked."""
    elsewhere = refusals(services)
    now, pauses = services.clock.now(), scheduling.pauses(services.ledger)
    streams = [
        _runs(key, timetable.schedule, pauses.get(key[1]), now)
        for key, timetable in timetables(targets).items()
        if key[0] not in elsewhere
    ]
    return list(islice(heapq.merge(*streams, key=lambda run: run.at), count))


def _runs(key: Key, schedule: Schedule, pause: Pause | None, now: datetime) -> Iterator[Upcoming]:
    job, target = key
    for slot in schedule.slots(now):
        at = slot + schedule.delay(target, slot)
        yield Upcoming(
            at=at,
            local=at.astimezone(schedule.zone),
            timezone=str(schedule.zone),
            job=job,
            target=target,
            slot=slot,
            rule=schedule.text,
            paused=pause is not None and pause.holds(at),
        )
