"""A scrape stays quick and small when the ledger is old and large."""

from __future__ import annotations

import dataclasses
import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs.monitoring import Monitoring
from holdfast.ledger import Ledger
from holdfast.ledger.rows import run_values
from holdfast.metrics.host import Surroundings
from holdfast.model import layout, manifest
from holdfast.model.backup import Backup
from holdfast.model.catalog import Coverage, DatabaseCoverage
from holdfast.model.codec import time_text
from holdfast.model.overview import Configured
from holdfast.model.run import Run
from holdfast.system.clock import SystemClock
from support.model_values import NOW, sample_backup

TARGETS = [f"target{number:03d}" for number in range(200)]
DAYS = 10 * 365
KEPT = 12  # backups of each target
FIRST = NOW - timedelta(days=DAYS)


def backup_of(target: str, day: int) -> Backup:
    at = FIRST + timedelta(days=day)
    number = TARGETS.index(target)
    return dataclasses.replace(
        sample_backup(layout.new_backup_id(at, f"{number:04x}"), target),
        finished_at=at + timedelta(minutes=5),
    )


def fill(ledger: Ledger) -> None:
    """Ten years of daily runs, one in fifty of which failed; and the backups that retention would keep."""
    ledger._connection.execute("PRAGMA synchronous = OFF")
    columns = run_values(Run(job="backup", target="", started_at=FIRST))
    insert = f"INSERT INTO runs ({', '.join(map(_quoted, columns))}) VALUES ({', '.join('?' * len(columns))})"
    for day in range(DAYS):
        at = FIRST + timedelta(days=day)
        columns |= {"slot": time_text(at), "started_at": time_text(at)}
        columns |= {"finished_at": time_text(at + timedelta(minutes=5))}
        values = []
        for number, target in enumerate(TARGETS):
            failed = (day + number) % 50 == 0
            columns |= {
                "status": "failed" if failed else "succeeded",
                "error_code": "source" if failed else None,
            }
            values.append((*(columns | {"target": target}).values(),))
        with ledger.writing() as connection:
            connection.executemany(insert, values)
    held = (DatabaseCoverage(name="app", tables=20, rows=5000),)
    coverage = Coverage(tables=20, tables_covered=20, rows=5000, left_out=(), databases=held)
    for target in TARGETS:
        for day in range(DAYS - KEPT, DAYS):
            made = backup_of(target, day)
            ledger.record_backup(made, manifest=manifest.dump(made), signature=b"s" * 200, coverage=coverage)
            for store in ("disk", "offsite"):
                ledger.record_copy(made.id, store, "complete", NOW)


def _quoted(name: str) -> str:
    return f'"{name}"'


@pytest.mark.extended
@pytest.mark.timeout(900)
def test_ten_years_of_two_hundred_targets_are_scraped_at_once(tmp_path: Path) -> None:
    configured = Configured(
        targets=dict.fromkeys(TARGETS, ("disk", "offsite")), stores=("disk", "offsite"), channels=()
    )
    with Ledger.open(tmp_path / "ledger.sqlite", now=datetime.now(UTC)) as ledger:
        fill(ledger)
        watched = Monitoring(
            ledger_file=ledger.path,
            surroundings=Surroundings(version="1", state_dir=tmp_path),
            configured=lambda: configured,
            clock=SystemClock(),
        )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seconds = []
        for _ in range(5):
            begun = time.thread_time()
            text = watched.metrics()
            seconds.append(time.thread_time() - begun)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    lines = text.count(b"\n")
    print(
        f"first {seconds[0] * 1000:.0f} ms, then {min(seconds) * 1000:.0f} ms, {lines} lines, {grown:.0f} MB more"
    )
    assert text.count(b'holdfast_runs_total{job="backup",target="target199",result="succeeded"} 3577') == 1
    assert min(seconds) < 0.25  # the goal is 0.05; this machine may have other things to do
    assert grown < 50
