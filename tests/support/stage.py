"""A dispatcher on a stage: by a fake clock, with a real ledger, and jobs that do what the test says."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.jobs import runner
from holdfast.jobs.dispatch import Dispatcher
from holdfast.jobs.scheduled import Kind
from holdfast.jobs.services import Keys, Services
from holdfast.jobs.setup import Setup
from holdfast.ledger import scheduling
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.scheduling import Key
from holdfast.model.planning import Timetable
from holdfast.model.run import Occasion, Run
from holdfast.model.schedule import parse
from holdfast.model.target import Target
from holdfast.system.stop import Stop
from support.clock import FakeClock
from support.world import Recorder

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SLOT = NOON + timedelta(hours=1)
HOURLY = Timetable(schedule=parse("@hourly"))


@dataclass
class Stage:
    """A dispatcher by a fake clock, whose jobs do what `act` says, or stay until `gate` is opened."""

    services: Services
    clock: FakeClock
    recorder: Recorder
    stop: Stop = field(default_factory=Stop)
    gate: threading.Event = field(default_factory=threading.Event)
    act: Callable[[Target, Occasion], None] = lambda _target, _occasion: None
    alarms: dict[Key, datetime] = field(default_factory=dict)
    began: list[str] = field(default_factory=list)
    now: set[str] = field(default_factory=set)
    most: int = 0
    dispatcher: Dispatcher = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.gate.set()
        self.dispatcher = Dispatcher(
            setup=self.setup(), stop=self.stop, alarm=self.alarms.__setitem__, watched_since=self.clock.now()
        )

    def setup(self, *targets: Target, max_dumps: int = 2) -> Setup:
        kinds = (
            Kind(job="backup", pool="dumps", timetable=lambda target: target.backup, run=self._run),
            Kind(job="verify", pool="rest", timetable=lambda target: target.verify, run=self._run),
        )
        return Setup.of(self.services, targets, max_dumps, kinds)

    def _run(self, services: Services, target: Target, _stop: Stop, occasion: Occasion) -> None:
        run = Run(
            job="backup",
            target=target.name,
            slot=occasion.slot,
            attempt=occasion.attempt,
            trigger=occasion.trigger,
            started_at=services.clock.now(),
        )
        with self._lock:
            self.began.append(target.name)
            self.now.add(target.name)
            self.most = max(self.most, len(self.now))
        try:
            runner.execute(services, run, lambda _: self._body(target, occasion))
        finally:
            with self._lock:
                self.now.discard(target.name)

    def _body(self, target: Target, occasion: Occasion) -> None:
        assert self.gate.wait(20)
        self.act(target, occasion)

    def configure(self, *targets: Target, max_dumps: int = 2) -> None:
        setup = self.setup(*targets, max_dumps=max_dumps)
        self.dispatcher.ask(
            lambda: scheduling.configure(
                self.services.ledger, tuple(setup.targets), setup.timetables, self.clock.now()
            )
        )
        self.dispatcher.change(setup)
        self.settle()

    def settle(self) -> None:
        """Wait until everything that was asked is decided."""
        done = threading.Event()
        self.dispatcher.ask(done.set)
        assert done.wait(20)

    def go_on(self, delta: timedelta) -> None:
        """Let time pass, and ring the alarms that come due."""
        self.clock.sleep(delta)
        for key in [key for key, at in self.alarms.items() if at <= self.clock.now()]:
            del self.alarms[key]
            self.dispatcher.look(key)
        self.settle()

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, self.recorder.warnings
            time.sleep(0.01)
        self.settle()

    def runs(self, target: str | None = None) -> list[tuple[object, ...]]:
        """The runs, the oldest first: target, slot, attempt, status."""
        found = self.services.ledger.runs(target, "backup", limit=-1)[::-1]
        return [(run.target, run.slot, run.attempt, run.status) for run in found]


@contextmanager
def staged(tmp_path: Path) -> Iterator[Stage]:
    clock, recorder = FakeClock(NOON), Recorder()
    with Ledger.open(tmp_path / "ledger.sqlite", now=NOON, busy_timeout=0.2) as ledger:
        services = Services(
            ledger=ledger,
            stores={},
            keys=Keys(),
            clock=clock,
            reporter=recorder,
            state_dir=tmp_path,
            host="here",
            pid=os.getpid(),
        )
        stage = Stage(services, clock, recorder)
        thread = threading.Thread(target=stage.dispatcher.run)
        thread.start()
        try:
            yield stage
        finally:
            stage.gate.set()
            stage.stop.request()
            stage.dispatcher.close()
            thread.join(20)
            assert stage.dispatcher.wait(20) == []


def target(name: str, server: str | None = None, timetable: Timetable = HOURLY) -> Target:
    return Target(name=name, stores=("disk",), url=f"host={server or name}", backup=timetable)
