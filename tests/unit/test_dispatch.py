"""Who runs when: in order, within the limits, one at a time a server, and nothing is lost on the way."""

from __future__ import annotations

import dataclasses
import functools
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs.dispatch import Dispatcher
from holdfast.jobs.services import Services
from holdfast.ledger import scheduling
from holdfast.model.errors import BusyError, LedgerError, SourceError
from holdfast.model.planning import Timetable
from holdfast.model.run import Occasion, Run
from holdfast.model.target import Target
from support.stage import HOURLY, NOON, SLOT, Stage, staged, target


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with staged(tmp_path) as made:
        yield made


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


@pytest.mark.extended
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


@pytest.mark.fault("clock.long")
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
            raise SourceError("no connection", hint="Look whether it is up.")

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
    told = [facts for event, facts in stage.recorder.warnings if event == "run failed"]
    assert [(facts["error"], facts["hint"]) for facts in told] == [
        ("no connection", "Look whether it is up.")
    ] * 2


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


def test_runs_that_died_are_closed_later_where_the_ledger_cannot_be_written_at_the_start(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.settle()
    ledger = stage.services.ledger
    dead = ledger.begin(Run(job="verify", target="shop", started_at=NOON, host="here", pid=2**22 + 1))
    again = Dispatcher(
        setup=stage.setup(target("shop")),
        stop=stage.stop,
        alarm=stage.alarms.__setitem__,
        watched_since=NOON,
    )

    def refuse(*_: object, **__: object) -> None:
        raise LedgerError("the disk is full")

    monkeypatch.setattr(ledger, "finish", refuse)
    again.ask(lambda: found.append((ledger.unfinished(), dict(stage.alarms))))
    again.ask(monkeypatch.undo)
    again.look(("backup", "shop"))
    again.close()
    found: list[object] = []
    again.run()
    assert found == [([dead], {("backup", "shop"): NOON + timedelta(minutes=1)})]
    assert ledger.unfinished() == []


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


def test_what_runs_with_an_earlier_config_is_in_use_until_it_ends(stage: Stage) -> None:
    stage.configure(target("shop"))
    stage.gate.clear()
    stage.go_on(timedelta(hours=1))
    stage.until(lambda: stage.began)
    before = stage.services
    stage.services = dataclasses.replace(before, stores={})
    stage.configure(target("shop"))
    assert list(map(id, stage.dispatcher.in_use())) == [id(stage.services), id(before)]
    stage.gate.set()
    stage.until(lambda: len(stage.dispatcher.in_use()) == 1)


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


@pytest.mark.fault("clock.jump")
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


def test_a_target_that_no_schedule_backs_up_is_told_at_the_start(stage: Stage) -> None:
    """A daemon that has nothing to do looks well, and takes no backup."""
    stage.configure(target("shop"), *(Target(name=f"t{number}", stores=("disk",)) for number in range(7)))
    (told,) = [facts for event, facts in stage.recorder.warnings if event.startswith("without a schedule")]
    assert told == {"targets": "t0, t1, t2, t3, t4 and 2 more"}
