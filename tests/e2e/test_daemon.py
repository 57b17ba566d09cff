"""The daemon as a user runs it: it takes backups by itself, and survives what befalls a process."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing

import pytest

from support.daemon import all_runs, cpu_seconds, daemon, resident_bytes, wait_until
from support.home import Home


def scheduled(home: Home, *keys: str) -> None:
    """Add keys to the target."""
    text = home.config.read_text()
    home.config.write_text(
        text.replace("[targets.shop]\n", "[targets.shop]\n" + "".join(f"{key}\n" for key in keys))
    )


def test_a_scheduled_backup_happens_once_a_slot(home: Home) -> None:
    scheduled(home, 'every = "1s"')
    with daemon(home.config, "--set", 'daemon.log_format="json"') as running:
        wait_until(lambda: len(all_runs(home.state, status="succeeded")) >= 2, running)
        assert running.end() < 10
    runs = all_runs(home.state)
    assert {run.status for run in runs} <= {"succeeded", "cancelled", "missed"}
    slots = [run.slot for run in runs if run.status == "succeeded"]
    assert len(set(slots)) == len(slots)
    assert {row["slot"] for row in home.facts("list")} == {
        slot.strftime("%Y-%m-%dT%H:%M:%SZ") for slot in slots if slot
    }
    assert {run.trigger for run in runs} == {"schedule"}
    told = [json.loads(line) for line in running.said().splitlines()]
    for event in ("run begins", "stored", "run succeeded"):
        about = [(line["run_id"], line["job"], line["target"]) for line in told if line["event"] == event]
        good = [(run.id, "backup", "shop") for run in reversed(runs) if run.status == "succeeded"]
        assert list(dict.fromkeys(about))[: len(good)] == good, event
    home.run("verify", "--all")


def test_it_is_small_and_ready_at_once(home: Home) -> None:
    with daemon(home.config) as running:
        assert cpu_seconds(running.process.pid) < 1.5  # on a busy machine the clock on the wall tells nothing
        time.sleep(0.5)
        assert resident_bytes(running.process.pid) < 80_000_000
        running.end()
    assert "Traceback" not in running.said()


def test_the_schedule_is_shown_in_local_time_and_in_utc(home: Home) -> None:
    scheduled(home, 'schedule = "30 2 * * *"', 'timezone = "Asia/Tokyo"', 'verify_schedule = "@weekly"')
    runs = home.facts("schedule", "--count", "20")
    assert len(runs) == 20
    assert [run["at"] for run in runs] == sorted(run["at"] for run in runs)
    backups = [run for run in runs if run["job"] == "backup"]
    assert {(run["at"][11:], run["local"][11:]) for run in backups} == {("17:30:00Z", "02:30:00+09:00")}
    assert {run["job"] for run in runs} == {"backup", "verify", "prune"}
    said = home.run("schedule").stdout.splitlines()
    assert len(said) == 11
    assert any("17:30:00Z" in line and "02:30:00" in line and "Asia/Tokyo" in line for line in said)


def test_without_schedules_it_says_how_to_get_one(home: Home) -> None:
    assert home.run("schedule").stdout == "nothing is scheduled: set `schedule` or `every` of a target\n"


@pytest.mark.extended
def test_a_paused_target_is_left_alone_until_it_is_resumed(home: Home) -> None:
    scheduled(home, 'every = "1s"')
    assert "paused until it is resumed" in home.run("pause", "shop").stdout
    assert {run["paused"] for run in home.facts("schedule")} == {True}
    with daemon(home.config) as running:
        time.sleep(2.5)
        assert all_runs(home.state) == []
        assert home.run("resume", "shop").stdout == "shop: resumed\n"
        wait_until(lambda: all_runs(home.state, status="succeeded"), running)
        running.end()
    assert home.run("resume", "shop").stdout == "shop: was not paused\n"


def test_a_pause_has_an_end_that_is_to_come_and_a_target_that_is_there(home: Home) -> None:
    scheduled(home, "every = 60")
    home.run("pause", "shop", "--until", "2999-01-01")
    assert "is in the past" in home.run("pause", "shop", "--until", "2020-01-01", code=2).stderr
    assert "no target 'shpo'" in home.run("pause", "shpo", code=12).stderr
    assert home.facts("schedule", "shop", "-n", "1")[0]["paused"] is True


@pytest.mark.extended
def test_the_latest_backup_is_verified_by_itself(home: Home) -> None:
    home.run("backup", "--quiet")
    scheduled(home, 'verify_schedule = "* * * * *"')
    with daemon(home.config) as running:
        running.end()
    with closing(sqlite3.connect(home.state / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE schedules SET since = '2026-01-01T00:00:00Z'")
    with daemon(home.config) as running:
        wait_until(lambda: all_runs(home.state, "verify", "succeeded"), running)
        running.end()
    assert {row["proof"] for row in home.facts("list")} == {"verified"}
    [run] = [run for run in all_runs(home.state, "verify", "succeeded") if run.slot is not None]
    assert (run.backup_id, run.trigger) == (home.ids()[0], "catch_up")
