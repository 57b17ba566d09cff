"""Who runs when: in order, within the limits, one at a time a server, and nothing is lost on the way."""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import runner
from holdfast.jobs.dispatch import Dispatcher, Setup
from holdfast.jobs.scheduled import Kind
from holdfast.jobs.services import Keys, Services
from holdfast.ledger import scheduling
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.scheduling import Key
from holdfast.model.errors import BusyError, LedgerError, SourceError
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


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as made:
        yield made


def target(name: str, server: str | None = None, timetable: Timetable = HOURLY) -> Target:
    return Target(name=name, stores=("disk",), url=f"host={server or name}", backup=timetable)


def test_a_slot_runs_when_its_alarm_rings(stage: Stage) -> None:
    stage.configure(target("shop"))
    assert stage.alarms == {("backup", "shop"): SLOT}
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: stage.runs() == [("shop", SLOT, 1, "succeeded")])
    stage.until(lambda: stage.alarms == {("backup", "shop"): SLOT + timedelta(hours=1)})


def test_an_alarm_that_rings_early_or_twice_does_no_harm(stage: Stage) -> None:
    stage.configure(target("shop"))
    stage.dispatcher.look(("backup", "shop"))
    stage.go_on(timedelta(hours=1))
    for _ in range(5):
        stage.dispatcher.look(("backup", "shop"))
    stage.until(lambda: stage.runs() == [("shop", SLOT, 1, "succeeded")])
    stage.settle()
    assert len(stage.runs()) == 1


def test_500_targets_of_the_same_second_drain_in_order_and_none_is_lost(stage: Stage) -> None:
    names = [f"t{number:03}" for number in range(500)]
    stage.configure(*map(target, names), max_dumps=3)
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: len(stage.began) == 500 and not stage.now)
    assert sorted(stage.began) == names
    assert all(abs(stage.began.index(name) - place) <= 3 for place, name in enumerate(names))
    assert stage.most <= 3
    assert {status for *_, status in stage.runs()} == {"succeeded"}


def test_one_server_is_dumped_once_at_a_time_and_holds_up_no_other(stage: Stage) -> None:
    stage.configure(target("a", "db1"), target("b", "db1"), target("c", "db2"), max_dumps=3)
    stage.gate.clear()
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: stage.now == {"a", "c"})
    stage.gate.set()
    stage.until(lambda: len(stage.runs()) == 3 and not stage.now)
    assert stage.began[-1] == "b"


def test_two_names_of_a_server_are_known_by_its_identifier(stage: Stage) -> None:
    targets = (target("a", "db1"), target("b", "alias-of-db1"))
    stage.configure(*targets)
    for name in "ab":
        scheduling.learn_server(stage.services.ledger, name, "7412345")
    stage.dispatcher.ask(lambda: stage.dispatcher._ended(("backup", "a")))
    stage.gate.clear()
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: stage.now)
    assert stage.now == {"a"}


def test_a_long_dump_holds_up_no_verify(stage: Stage) -> None:
    both = Target(name="shop", stores=("disk",), backup=HOURLY)
    other = Target(name="other", stores=("disk",), verify=HOURLY)
    stage.configure(both, other, max_dumps=1)
    stage.gate.clear()
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: stage.now == {"shop", "other"})


def test_a_job_longer_than_its_interval_is_followed_by_the_newest_slot(stage: Stage) -> None:
    stage.configure(target("shop"))
    stage.gate.clear()
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: stage.now)
    stage.go_on(timedelta(hours=3, minutes=10))
    assert len(stage.runs()) == 1
    stage.gate.set()
    stage.until(lambda: [status for *_, status in stage.runs()].count("succeeded") == 2)
    hours = {slot: status for _, slot, _, status in stage.runs()}
    assert hours == {
        SLOT: "succeeded",
        SLOT + timedelta(hours=1): "missed",
        SLOT + timedelta(hours=2): "missed",
        SLOT + timedelta(hours=3): "succeeded",
    }


def test_a_failed_run_is_tried_again_when_its_pause_is_over(stage: Stage) -> None:
    def fail(_: Target, occasion: Occasion) -> None:
        if occasion.attempt < 3:
            raise SourceError("no connection")

    stage.act = fail
    stage.configure(target("shop"))
    stage.go_on(timedelta(hours=1))
    for attempt, minutes in ((1, 5), (2, 15)):
        expected = ("shop", SLOT, attempt, "failed")
        at = stage.clock.now() + timedelta(minutes=minutes)
        stage.until(functools.partial(lambda found: stage.runs()[-1:] == [found], expected))
        stage.until(functools.partial(lambda found: stage.alarms == {("backup", "shop"): found}, at))
        stage.go_on(timedelta(minutes=minutes))
    stage.until(lambda: stage.runs()[-1] == ("shop", SLOT, 3, "succeeded"))


def test_a_run_that_fails_before_it_is_recorded_is_recorded_all_the_same(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(*_: object) -> None:
        raise BusyError("target shop is locked by process 7")

    monkeypatch.setattr(stage, "_run", busy)
    stage.configure(target("shop"))
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: stage.runs() == [("shop", SLOT, 1, "failed")])
    assert stage.services.ledger.runs()[0].error == "target shop is locked by process 7"


def test_a_bug_in_a_job_stops_no_other_job_and_does_not_race(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def bug(_services: Services, which: Target, *_: object) -> None:
        calls.append(which.name)
        raise RuntimeError("a bug")

    monkeypatch.setattr(stage, "_run", bug)
    stage.configure(target("a"), target("b"))
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: len(stage.alarms) == 2)
    assert sorted(calls) == ["a", "b"]
    assert set(stage.alarms.values()) == {SLOT + timedelta(minutes=1)}


def test_a_ledger_that_cannot_be_written_is_asked_again_in_a_minute(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.configure(target("shop"))
    with monkeypatch.context() as broken:

        def refuse(*_: object) -> None:
            raise LedgerError("the disk is full")

        broken.setattr(scheduling, "plan_next", refuse)
        stage.dispatcher.look(("backup", "shop"))
        stage.settle()
        assert stage.alarms == {("backup", "shop"): NOON + timedelta(minutes=1)}
    stage.go_on(timedelta(minutes=1))
    assert stage.alarms == {("backup", "shop"): SLOT}


def test_a_bug_in_the_planning_ends_the_daemon_aloud(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.configure(target("shop"))

    def bug(*_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(scheduling, "history", bug)
    stage.dispatcher.look(("backup", "shop"))
    deadline = time.monotonic() + 20
    while not stage.stop.requested and time.monotonic() < deadline:
        time.sleep(0.01)
    assert stage.stop.error is not None
    assert (stage.stop.error.code, "a bug" in stage.stop.error.message) == ("internal", True)


def test_a_target_that_the_config_no_longer_has_is_not_run(stage: Stage) -> None:
    stage.configure(target("a"), target("b", "a"), max_dumps=1)
    stage.gate.clear()
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: stage.now == {"a"})
    stage.configure(target("c"))
    stage.gate.set()
    stage.until(lambda: not stage.now)
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: stage.began == ["a", "c"])


def test_a_clock_set_back_and_forward_runs_each_slot_once(stage: Stage) -> None:
    stage.configure(target("shop"))
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: len(stage.runs()) == 1 and not stage.now)
    stage.clock.set(NOON - timedelta(hours=2))
    stage.dispatcher.look_at_all()
    for _ in range(4):
        stage.go_on(timedelta(hours=1))
        stage.until(lambda: not stage.now)
    stage.clock.set(stage.clock.now() + timedelta(hours=5))
    stage.dispatcher.look_at_all()
    stage.settle()
    stage.until(lambda: not stage.now)
    done = [slot for _, slot, _, status in stage.runs() if status == "succeeded"]
    assert len(set(done)) == len(done)
    assert max(str(slot) for slot in done) == "2026-11-22 19:00:00+00:00"
    assert stage.services.ledger.runs(status="missed") != []


def test_an_alarm_after_a_sleep_knows_that_nobody_was_there(stage: Stage) -> None:
    """It may ring before anybody else notices the sleep."""
    stage.configure(target("shop", timetable=Timetable(schedule=HOURLY.schedule, catch_up=0)))
    stage.clock.set(NOON + timedelta(hours=3, minutes=30))
    stage.dispatcher.look(("backup", "shop"))
    stage.settle()
    assert {status for *_, status in stage.runs()} == {"missed"}
    stage.go_on(timedelta(minutes=30))
    stage.until(lambda: stage.runs()[-1] == ("shop", SLOT + timedelta(hours=3), 1, "succeeded"))


def test_what_is_paused_waits_until_it_is_resumed(stage: Stage) -> None:
    stage.configure(target("shop"))
    scheduling.pause(stage.services.ledger, "shop", now=stage.clock.now(), until=None)
    stage.go_on(timedelta(hours=2))
    assert scheduling.resume(stage.services.ledger, "shop", now=stage.clock.now())
    stage.go_on(timedelta(minutes=30))
    assert stage.runs() == []
    stage.go_on(timedelta(minutes=30))
    stage.until(lambda: stage.runs() == [("shop", SLOT + timedelta(hours=2), 1, "succeeded")])
