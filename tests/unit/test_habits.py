"""How often a target that has no schedule is backed up, and that a scrape tells it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from holdfast.ledger import Ledger, facts, habits, scheduling
from holdfast.metrics import collector
from holdfast.metrics.host import Surroundings
from holdfast.model import layout, manifest
from holdfast.model.overview import Configured
from holdfast.model.planning import Timetable
from holdfast.model.run import Run, Status
from holdfast.model.schedule import parse
from support.model_values import NOW, sample_backup

HOUR = timedelta(hours=1)
SERIES = 'holdfast_backup_usual_interval_seconds{target="shop"}'


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", now=NOW) as opened:
        yield opened


def ended(ledger: Ledger, at: datetime, how: Status = "succeeded") -> None:
    begun = ledger.begin(Run(job="backup", target="shop", started_at=at))
    ledger.finish(begun.id, status=how, now=at)


def came_to_light(ledger: Ledger, at: datetime, *, imported: bool = False) -> None:
    made = dataclasses.replace(sample_backup(layout.new_backup_id(at, "0000")), imported=imported)
    ledger.record_backup(made, manifest=manifest.dump(made), signature=b"", coverage=None)
    ledger.record_copy(made.id, "a", "complete", at)


def told(ledger: Ledger) -> str:
    """What a scrape has for the target."""
    text = collector.scrape(
        lambda: facts.overview(ledger.path, NOW),
        Configured(targets={"shop": ("a",)}, stores=("a",)),
        Surroundings(version="1", state_dir=ledger.path.parent),
        NOW.timestamp(),
    ).decode()
    return next(line.split()[1] for line in text.splitlines() if line.startswith(SERIES))


def test_the_median_of_the_last_runs_that_succeeded_is_usual(ledger: Ledger) -> None:
    for number in range(4):
        assert told(ledger) == "NaN"
        ended(ledger, NOW + number**2 * HOUR)
    ended(ledger, NOW + 99 * HOUR, "failed")
    assert told(ledger) == "10800.0"


def test_what_was_usual_long_ago_counts_no_more(ledger: Ledger) -> None:
    for number in range(8):
        ended(ledger, NOW + number * HOUR)
    for number in range(8):
        ended(ledger, NOW + (1 + number) * 24 * HOUR)
    assert habits.interval(ledger, "shop") == 24 * HOUR


def test_with_a_schedule_nothing_is_usual(ledger: Ledger) -> None:
    for number in range(5):
        ended(ledger, NOW + number * HOUR)
    assert told(ledger) == "3600.0"
    scheduling.configure(ledger, ["shop"], {("backup", "shop"): Timetable(schedule=parse("@daily"))}, NOW)
    assert told(ledger) == "NaN"


def test_where_another_host_takes_them_what_lies_in_the_stores_is_usual(ledger: Ledger) -> None:
    for number in range(6):
        assert told(ledger) == ("NaN" if number < 4 else "21600.0")
        came_to_light(ledger, NOW + number * 6 * HOUR)
    for row in ledger.backups()[1:]:  # retention took them away
        ledger.forget_backup(row.backup.id)
    assert habits.interval(ledger, "shop") == 6 * HOUR


def test_what_was_imported_makes_no_habit(ledger: Ledger) -> None:
    for number in range(6):
        came_to_light(ledger, NOW + number * HOUR, imported=True)
    assert told(ledger) == "NaN"
