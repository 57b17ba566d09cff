"""What is news about the jobs, by the ledger and the time alone: events, each with the key under which it is told once.

Nothing is kept in memory and nothing counted in passing, so a crash between a run's end and the word of it loses none.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.ledger import restore_tests, scheduling, schemas, standings
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.standings import Expected, Key, Last, Trouble
from holdfast.model import planning
from holdfast.model.codec import time_text
from holdfast.model.event import Event, Kind, one_line
from holdfast.model.planning import Timetable
from holdfast.model.run import Run
from holdfast.system import logs

LASTING = timedelta(minutes=15)  # a failure that is tried again is told when it lasts
SLOTS_MISSED = 2  # so many intervals without a success are too many
RECENT = timedelta(hours=1)  # a success that was not told for a crash still is, so long


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """An event and its key. Monitors have their own key where they are told of each run (empty: it is not for them).

    With `after`, it is for those only who were told something whose key begins so.
    """

    event: Event
    key: str
    monitors_key: str = ""
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Where news is looked for: what the ledger tells, seen from this host at `now`."""

    ledger: Ledger
    timetables: Mapping[Key, Timetable]
    host: str
    now: datetime

    def of(self, key: Key, last: Last) -> Iterator[News]:
        """What the last runs of a job of a target are news of. What was told already is given again."""
        if key[0] == "copy":
            yield from self._copies(key)
        elif last.failing:
            yield from self._failure(key, last)
        run = None if last.failing else standings.run(self.ledger, last.good)
        if run is None:
            return
        if run.job != "copy":
            yield from self._recovery(key, run)
        if self.now - (run.finished_at or run.started_at) < RECENT:
            told = f"success {run.id}."
            yield News(event=self.event("success", key, run), key=told, monitors_key=told)
        if run.job == "backup" and run.status == "succeeded" and run.backup_id is not None:
            findings = (
                *standings.unusual(self.ledger, run.target, run.backup_id),
                *schemas.dropped(self.ledger, run.target, run.backup_id),
            )
            if findings:
                event = dataclasses.replace(self.event("anomaly", key, run), findings=findings)
                yield News(event=event, key=f"anomaly {run.backup_id}.")

    def overdue(self, lasts: Mapping[Key, Last]) -> Iterator[News]:
        """Which jobs that the daemon does by itself have not succeeded for too long."""
        pauses, backups = scheduling.pauses(self.ledger), standings.newest_backups(self.ledger, self.now)
        tests = restore_tests.last_passed(self.ledger)
        for key, expected in standings.expected(self.ledger).items():
            job, target = key
            good, pause = lasts[key].good if key in lasts else 0, pauses.get(target)
            known = [self.ended_at(good), backups.get(target) if job == "backup" else None]
            if job == "restore_test":  # wherever it was made, and by whomever
                known = [tests.get(target)]
            success = max(filter(None, known), default=None)
            since = max(filter(None, [success, expected.since, pause.until if pause else None]))
            if (pause is not None and pause.holds(self.now)) or not is_overdue(expected, since, self.now):
                continue
            yield self.overdue_event(key, good, since, success, expected.interval_seconds)

    def overdue_event(
        self, key: Key, good: int, since: datetime, success: datetime | None, seconds: int
    ) -> News:
        """That a job did not succeed for too long; `good` is its last run that did, `seconds` how often it should."""
        event = Event(
            kind="overdue",
            job=key[0],
            target=key[1],
            host=self.host,
            at=self.now,
            since=since,
            last_success_at=success,
            interval_seconds=seconds,
        )
        return News(event=event, key=f"{trouble_key('overdue', key, good)} {time_text(since)}")

    def event(self, kind: Kind, key: Key, run: Run) -> Event:
        """The facts of a run."""
        return Event(
            kind=kind,
            job=key[0],
            target=key[1],
            host=self.host,
            at=self.now,
            run_id=run.id,
            started_at=run.started_at,
            finished_at=run.finished_at,
            attempt=run.attempt,
            backup_id=run.backup_id,
            bytes_done=run.bytes_done,
            error_code=run.error_code if kind == "failure" else None,
            error=one_line(logs.redacted(run.error or "")) if kind == "failure" else None,
        )

    def _failure(self, key: Key, last: Last) -> Iterator[News]:
        job, target = key
        trouble = standings.trouble(self.ledger, key, last.good)
        if trouble is None or self.ledger.unfinished(target, job):
            return  # as long as an attempt runs, it may mend it
        if not is_news(trouble, self._retry_at(key, trouble.last), self.now):
            return
        event = dataclasses.replace(
            self.event("failure", key, trouble.last),
            failures=trouble.failures,
            since=trouble.first.started_at,
            last_success_at=self.ended_at(last.good),
        )
        yield News(
            event=event,
            key=trouble_key("failure", key, last.good),
            monitors_key=f"failure {trouble.last.id}.",
        )

    def _recovery(self, key: Key, run: Run) -> Iterator[News]:
        before = standings.good_before(self.ledger, key, run.id)
        trouble = standings.trouble(self.ledger, key, before, run.id)
        event = dataclasses.replace(
            self.event("recovery", key, run),
            failures=trouble.failures if trouble else 0,
            since=trouble.first.started_at if trouble else None,
            last_success_at=self.ended_at(before),
        )
        told = (trouble_key("failure", key, before), trouble_key("overdue", key, before))
        yield News(event=event, key=trouble_key("recovery", key, before), after=told)

    def _copies(self, key: Key) -> Iterator[News]:
        """Each store has a history of its own; what could not be copied is not tried again by itself."""
        for found in standings.copies(self.ledger, key[1]):
            run = standings.copy_run(self.ledger, found.newest, found.store)
            if run is None or run.status == "cancelled":
                continue
            kind: Kind = "failure" if found.failing else "recovery"
            failures, since = standings.copy_failures(self.ledger, key[1], found)
            event = dataclasses.replace(
                self.event(kind, key, run),
                store=found.store,
                failures=failures,
                since=since,
                last_success_at=standings.copied_at(self.ledger, found.good_before, found.store),
            )
            told = f"copy {key[1]} {found.store} {found.good_before}."
            if found.failing:
                yield News(event=event, key=f"failure {told}", monitors_key=f"failure {run.id}.")
            else:
                yield News(event=event, key=f"recovery {told}", after=(f"failure {told}",))

    def _retry_at(self, key: Key, run: Run) -> datetime | None:
        timetable = self.timetables.get(key)
        if timetable is None or run.slot is None:
            return None
        history = scheduling.history(self.ledger, key, self.now)
        return None if history is None else planning.retry_at(timetable, history)

    def ended_at(self, number: int) -> datetime | None:
        """When a run ended, by its id; None for 0."""
        run = standings.run(self.ledger, number) if number else None
        return None if run is None else run.finished_at


def is_news(trouble: Trouble, retry_at: datetime | None, now: datetime) -> bool:
    """Whether a failure is to be told: when nothing tries again, or when nothing has mended it for a while."""
    began = trouble.first.finished_at or trouble.first.started_at
    return retry_at is None or now - began >= LASTING


def is_overdue(expected: Expected, since: datetime, now: datetime) -> bool:
    """Whether there was no success for too long since then."""
    return now - since > SLOTS_MISSED * timedelta(seconds=expected.interval_seconds)


def trouble_key(kind: Kind, key: Key, good: int) -> str:
    """What goes wrong until it goes well again is one thing: named after the run before that went well."""
    return f"{kind} {key[0]} {key[1]} {good}."
