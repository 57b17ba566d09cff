"""The daemon's main thread notices that the clock was set or that the machine slept, and has everything decided anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast import app, daemon
from holdfast.ledger import facts, scheduling
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.probes import Tried
from holdfast.model.errors import CancelledError
from holdfast.system.stop import Stop
from support.clock import FakeClock
from support.world import Recorder, write_config

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
DAY = timedelta(days=1)


@dataclass(slots=True, kw_only=True)
class Seen:
    """A daemon within this process, by a fake clock; its one target cannot be reached."""

    daemon: daemon._Daemon
    clock: FakeClock
    ledger: Ledger
    recorder: Recorder

    def runs(self) -> list[tuple[object, ...]]:
        return sorted((str(run.slot)[:10], run.status, run.trigger) for run in self.ledger.runs(job="backup"))

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + 20
        while not condition():
            assert time.monotonic() < deadline, (self.runs(), self.recorder.warnings)
            time.sleep(0.02)

    def told(self) -> scheduling.Daemon:
        found = scheduling.daemon(self.ledger)
        assert found is not None
        return found


@pytest.fixture
def seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Seen]:
    clock, recorder, stop = FakeClock(NOON), Recorder(), Stop()
    for module in (app, daemon):
        monkeypatch.setattr(module, "SystemClock", lambda: clock)
    keys = 'schedule = "0 2 * * *"\nattempts = 1'
    config = write_config(tmp_path, f"host={tmp_path}/nowhere", target=keys)
    monkeypatch.chdir(tmp_path)
    loaded = app.read_config(config, ["daemon.listen=127.0.0.1:0"])
    with Ledger.open(loaded.ledger_file, now=NOON) as ledger:
        made = daemon._Daemon(loaded, ledger, stop, recorder)
        with made.running():
            found = Seen(daemon=made, clock=clock, ledger=ledger, recorder=recorder)
            found.until(lambda: scheduling.since(ledger, ("backup", "shop")))
            yield found
            stop.request(CancelledError())
        assert made.left == []


@pytest.mark.fault("clock.missed")
def test_after_a_sleep_the_newest_slot_runs_and_the_others_were_missed(seen: Seen) -> None:
    seen.daemon.look()
    seen.clock.set(NOON + 3 * DAY)
    seen.daemon.look()
    seen.until(lambda: len(seen.runs()) == 3)
    seen.until(lambda: not seen.ledger.unfinished())
    assert seen.runs() == [
        ("2026-11-23", "missed", "schedule"),
        ("2026-11-24", "missed", "schedule"),
        ("2026-11-25", "failed", "catch_up"),
    ]
    assert ("the clock jumped, or the machine slept", {"seconds": 3 * 86400}) in seen.recorder.warnings
    seen.until(lambda: seen.told().tick_at == NOON + 3 * DAY)
    assert not seen.told().clock_suspect


@pytest.mark.fault("clock.jump")
def test_a_clock_that_is_set_back_is_told_until_it_has_made_up_for_it(seen: Seen) -> None:
    seen.clock.set(NOON - DAY)
    seen.daemon.look()
    seen.until(lambda: seen.told().clock_suspect)
    assert scheduling.since(seen.ledger, ("backup", "shop")) == NOON - DAY
    seen.clock.sleep(DAY + timedelta(minutes=1))
    seen.daemon._tick()
    seen.daemon.look()
    seen.until(lambda: not seen.told().clock_suspect)


def test_a_scheduler_that_does_not_tick_is_not_said_to_live(seen: Seen) -> None:
    seen.daemon._scheduler.pause()
    seen.clock.sleep(timedelta(minutes=5))
    seen.daemon.look()
    time.sleep(0.1)
    assert seen.told().tick_at == NOON


def test_how_the_stores_are_is_written_with_the_tick_unless_it_is_new(seen: Seen) -> None:
    def probed() -> list[tuple[datetime, bool]]:
        found = facts.overview(seen.ledger.path, NOON).probes
        return [(datetime.fromtimestamp(probe.at, UTC), probe.up) for probe in found.values()]

    seen.until(probed)
    assert probed() == [(NOON, True)]
    seen.clock.sleep(timedelta(seconds=10))
    seen.daemon._tried((Tried(store="disk", at=seen.clock.now(), error=None),))
    seen.clock.sleep(timedelta(seconds=10))
    seen.daemon._tried((Tried(store="disk", at=seen.clock.now(), error="no answer"),))
    seen.until(lambda: probed() != [(NOON, True)])
    assert probed() == [(NOON + timedelta(seconds=20), False)]
    seen.clock.sleep(timedelta(seconds=10))
    seen.daemon._tried((Tried(store="disk", at=seen.clock.now(), error="no answer still"),))
    seen.clock.sleep(timedelta(seconds=30))
    seen.daemon._tick()
    seen.daemon.look()
    seen.until(lambda: probed() == [(NOON + timedelta(seconds=30), False)])


def test_what_a_reload_replaced_is_not_kept(seen: Seen, tmp_path: Path) -> None:
    before = len(seen.daemon._stop._callbacks)
    for _ in range(3):
        seen.daemon.reload(tmp_path / "holdfast.toml", ["daemon.listen=127.0.0.1:0"], quiet=False)
    assert len(seen.daemon._stop._callbacks) == before
    seen.until(lambda: len(seen.daemon._dispatcher.in_use()) == 1)
