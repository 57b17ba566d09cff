"""What the ledger keeps for the daemon: what is configured and since when, pauses, slots, and that it lives."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.ledger import scheduling
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.scheduling import Key
from holdfast.model import manifest
from holdfast.model.errors import LedgerError
from holdfast.model.planning import History, Pause, Timetable
from holdfast.model.run import Run
from holdfast.model.schedule import Schedule, parse
from support.model_values import NOW, sample_backup

SHOP: Key = ("backup", "shop")
HOUR = timedelta(hours=1)
DAILY = Timetable(schedule=parse("@daily"))


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", now=NOW) as opened:
        yield opened


def targets(ledger: Ledger) -> dict[str, str]:
    found = ledger.read("SELECT target, configured_at FROM targets", [])
    return {str(row["target"]): str(row["configured_at"]) for row in found}


def run(**keys: object) -> Run:
    return dataclasses.replace(Run(job="backup", target="shop", slot=NOW, started_at=NOW), **keys)  # type: ignore[arg-type]


def test_what_stays_in_the_config_stays_as_old_as_it_is(ledger: Ledger) -> None:
    scheduling.configure(ledger, ("shop", "gone"), {SHOP: DAILY, ("backup", "gone"): DAILY}, NOW)
    scheduling.configure(ledger, ("shop", "new"), {SHOP: DAILY}, NOW + HOUR)
    assert targets(ledger) == {"shop": "2026-11-22T02:00:00Z", "new": "2026-11-22T03:00:00Z"}
    assert scheduling.since(ledger, SHOP) == NOW
    assert scheduling.since(ledger, ("backup", "gone")) is None


@pytest.mark.parametrize("other", [parse("@hourly"), parse("@daily", zone="Europe/Berlin")])
def test_another_rule_owes_nothing_of_the_past(ledger: Ledger, other: Schedule) -> None:
    scheduling.configure(ledger, ("shop",), {SHOP: DAILY}, NOW)
    changed = {SHOP: dataclasses.replace(DAILY, schedule=other)}
    scheduling.configure(ledger, ("shop",), changed, NOW + HOUR)
    assert scheduling.since(ledger, SHOP) == NOW + HOUR
    assert targets(ledger) == {"shop": "2026-11-22T02:00:00Z"}


def test_a_time_from_a_clock_that_was_ahead_is_corrected(ledger: Ledger) -> None:
    scheduling.configure(ledger, ("shop",), {SHOP: DAILY}, NOW + 9999 * HOUR)
    scheduling.configure(ledger, ("shop",), {SHOP: DAILY}, NOW)
    assert scheduling.since(ledger, SHOP) == NOW
    assert targets(ledger) == {"shop": "2026-11-22T02:00:00Z"}


def test_the_newest_slot_up_to_now_tells_its_attempts_in_order(ledger: Ledger) -> None:
    assert scheduling.history(ledger, SHOP, NOW) is None
    for attempt in (2, 1):
        ledger.begin(run(attempt=attempt, status="failed"))
    ledger.begin(run(slot=NOW - HOUR, status="succeeded"))
    ledger.begin(run(slot=NOW + HOUR, status="succeeded"))
    ledger.begin(run(target="other", slot=NOW))
    for now in (NOW, NOW + timedelta(milliseconds=1)):
        found = scheduling.history(ledger, SHOP, now)
        assert found is not None
        assert (found.slot, [each.attempt for each in found.attempts], found.done) == (NOW, [1, 2], False)
    assert scheduling.attempts(ledger, SHOP, NOW) == 2
    assert scheduling.attempts(ledger, SHOP, NOW + 5 * HOUR) == 0


def test_a_backup_of_the_slot_counts_though_its_run_is_forgotten(ledger: Ledger) -> None:
    backup = dataclasses.replace(sample_backup(), target="shop", slot=NOW)
    ledger.record_backup(backup, manifest=manifest.dump(backup), signature=b"", coverage=None)
    assert scheduling.history(ledger, SHOP, NOW + HOUR) == History(slot=NOW, done=True)
    assert scheduling.backup_of_slot(ledger, "shop", NOW) is None
    ledger.record_copy(backup.id, "disk", "complete", NOW)
    assert scheduling.backup_of_slot(ledger, "shop", NOW) == backup.id


def test_a_slot_succeeds_once_whatever_a_program_does(ledger: Ledger) -> None:
    ledger.begin(run(status="succeeded"))
    with pytest.raises(LedgerError, match="UNIQUE"):
        ledger.begin(run(attempt=2, status="succeeded"))
    with pytest.raises(LedgerError, match="UNIQUE"):
        ledger.begin(run(status="failed"))
    for _ in range(2):
        ledger.begin(run(slot=None, status="succeeded"))


def test_a_missed_slot_is_recorded_once_and_over_nothing_that_is_known(ledger: Ledger) -> None:
    ledger.begin(run(status="failed"))
    for _ in range(2):
        scheduling.record_missed(
            ledger, SHOP, (NOW - HOUR, NOW), now=NOW, host="here", reason="nobody was there"
        )
    assert [(each.slot, each.status) for each in ledger.runs()] == [(NOW - HOUR, "missed"), (NOW, "failed")]


def test_a_pause_is_kept_until_it_is_over(ledger: Ledger) -> None:
    assert not scheduling.resume(ledger, "shop", now=NOW)
    scheduling.pause(ledger, "shop", now=NOW, until=None)
    scheduling.pause(ledger, "shop", now=NOW + HOUR, until=NOW + 3 * HOUR)
    assert scheduling.pauses(ledger) == {"shop": Pause(since=NOW, until=NOW + 3 * HOUR)}
    assert scheduling.resume(ledger, "shop", now=NOW + 2 * HOUR)
    assert scheduling.pauses(ledger) == {"shop": Pause(since=NOW, until=NOW + 2 * HOUR)}
    assert not scheduling.resume(ledger, "shop", now=NOW + 2 * HOUR)
    scheduling.pause(ledger, "shop", now=NOW + 9 * HOUR, until=None)
    assert scheduling.pauses(ledger) == {"shop": Pause(since=NOW + 9 * HOUR)}


def test_the_daemon_tells_how_it_is(ledger: Ledger) -> None:
    assert scheduling.daemon(ledger) is None
    for pid in (7, 8):
        scheduling.started(ledger, now=NOW, version="0.1.0", host="here", pid=pid)
    scheduling.ticked(ledger, NOW + HOUR, clock_suspect=True)
    scheduling.reloaded(ledger, NOW + 2 * HOUR, "no stores")
    scheduling.stopped(ledger, NOW + 3 * HOUR)
    expected = scheduling.Daemon(
        version="0.1.0",
        host="here",
        pid=8,
        started_at=NOW,
        stopped_at=NOW + 3 * HOUR,
        tick_at=NOW + HOUR,
        reloaded_at=NOW,
        reload_error="no stores",
        clock_suspect=True,
    )
    assert scheduling.daemon(ledger) == expected
    scheduling.reloaded(ledger, NOW + 4 * HOUR)
    assert scheduling.daemon(ledger) == dataclasses.replace(
        expected, reloaded_at=NOW + 4 * HOUR, reload_error=None
    )
