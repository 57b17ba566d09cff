"""A ledger in which runs happen at a clock of the test's own, and who is told of them."""

from __future__ import annotations

import dataclasses
import queue
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from holdfast.jobs.notifying import Notifier, Subscription
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.standings import Key
from holdfast.model import schedule
from holdfast.model.event import Event, Kind
from holdfast.model.planning import Timetable
from holdfast.model.run import Job, Run, Status
from holdfast.notify.base import Channel, DeliveryError
from support.model_values import NOW
from support.world import Recorder

NEWS: frozenset[Kind] = frozenset({"failure", "recovery", "success", "anomaly", "overdue"})
PINGS: frozenset[Kind] = frozenset({"start", "success", "failure"})
JOBS = frozenset({"backup", "verify", "copy"})
DAILY = Timetable(schedule=schedule.parse("@daily", zone="UTC"), attempts=3, retry_delay=300)


@dataclass(slots=True)
class HandClock:
    """A clock that the test moves."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    def boot(self) -> tuple[str, float]:
        return "first", self.at.timestamp()

    def forward(self, **time: float) -> None:
        self.at += timedelta(**time)


@dataclass(slots=True)
class RecordingChannel:
    """A channel that keeps what it was sent, or fails as often as it is told to."""

    name: str = "ops"
    monitors: bool = False
    failures: int = 0
    got: queue.Queue[Event] = field(default_factory=queue.Queue)

    def send(self, event: Event) -> str | None:
        if self.failures:
            self.failures -= 1
            raise DeliveryError("nobody there")
        self.got.put(event)
        return None


def subscribed(channel: Channel, **changes: frozenset[str]) -> Subscription:
    """Subscribe a channel to all that its kind may be told, of all jobs."""
    base = Subscription(channel=channel, on=PINGS if channel.monitors else NEWS, jobs=JOBS)
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type] # its own fields


@dataclass(slots=True, kw_only=True)
class Story:
    """What happens, and what it makes the notifier put into the outbox."""

    ledger: Ledger
    clock: HandClock
    notifier: Notifier
    recorder: Recorder

    def use(self, *subscriptions: Subscription, timetables: Mapping[Key, Timetable] | None = None) -> None:
        self.notifier.use(subscriptions, timetables)

    def begin(self, job: Job = "backup", *, watched: bool = True, **facts: object) -> Run:
        run = Run(job=job, started_at=self.clock.now(), **{"target": "shop", **facts})  # type: ignore[arg-type] # a Run's fields
        run = self.ledger.begin(run)
        if watched:
            self.notifier.begun(run)
        return run

    def end(self, run: Run, status: Status = "failed", code: str = "store", *, watched: bool = True) -> None:
        good = status in {"succeeded", "skipped"}
        self.ledger.finish(
            run.id,
            status=status,
            now=self.clock.now(),
            error_code=None if good else code,
            error=None if good else "it broke",
        )
        if watched:
            self.notifier.ended(run)

    def run(self, status: Status, job: Job = "backup", *, watched: bool = True, **facts: object) -> Run:
        """Let a run take a minute and end so; without `watched` its process died before it could tell."""
        run = self.begin(job, watched=watched, **facts)
        self.clock.forward(minutes=1)
        self.end(run, status, watched=watched)
        return run

    def outbox(self, channel: str = "ops", *columns: str) -> list[tuple[object, ...]]:
        wanted = ", ".join(columns or ("kind",))
        found = self.ledger.read(
            f"SELECT {wanted} FROM notifications WHERE channel = ? ORDER BY id", [channel]
        )
        return [tuple(row.values()) for row in found]

    def told(self, channel: str = "ops") -> list[str]:
        """The kinds of what the channel was told, or is to be; successes aside."""
        return [str(kind) for (kind,) in self.outbox(channel) if kind != "success"]


@contextmanager
def story(folder: Path) -> Iterator[Story]:
    """Begin a story with a new ledger."""
    clock, recorder = HandClock(), Recorder()
    with (
        Ledger.open(folder / "ledger.sqlite", now=clock.now()) as ledger,
        Notifier(ledger=ledger, clock=clock, reporter=recorder, host="db1", seconds=0.0) as notifier,
    ):
        yield Story(ledger=ledger, clock=clock, notifier=notifier, recorder=recorder)
        assert recorder.warnings == []
