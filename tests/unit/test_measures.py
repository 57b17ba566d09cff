"""The ledger keeps the measures of each database in each backup, and judges them when they come."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from holdfast.ledger import Ledger, facts, marks, retention
from holdfast.ledger.marks import Kept
from holdfast.model import layout, manifest
from holdfast.model.anomaly import SETTLED
from holdfast.model.backup import Backup, Part
from holdfast.model.catalog import Coverage, DatabaseCoverage
from holdfast.model.mark import Mark, dump
from support.model_values import NOW, sample_backup

MB = 1_000_000
LATER = NOW + timedelta(days=999)  # than all backups here
Databases = dict[str, tuple[int, int, int | None]]  # name: size, tables, rows
USUAL: Databases = {"app": (50 * MB, 20, 10_000), "log": (70 * MB, 3, None)}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "ledger.sqlite", now=NOW) as opened:
        yield opened


def backup_of(day: int, databases: Databases, *, imported: bool = False) -> Backup:
    at = NOW + timedelta(days=day)
    [part] = sample_backup().parts
    parts: list[Part] = [
        dataclasses.replace(
            part,
            name=f"{name}.dump",
            database=name,
            size=size,
            segments=(dataclasses.replace(part.segments[0], name=f"{name}.dump"),),
        )
        for name, (size, _, _) in databases.items()
    ]
    return dataclasses.replace(
        sample_backup(layout.new_backup_id(at, "00")),
        slot=at,
        parts=tuple(parts),
        databases=tuple(databases),
        imported=imported,
    )


def coverage_of(databases: Databases) -> Coverage:
    return Coverage(
        tables=0,
        tables_covered=0,
        rows=None,
        left_out=(),
        databases=tuple(
            DatabaseCoverage(name=name, tables=tables, rows=rows)
            for name, (_, tables, rows) in databases.items()
        ),
    )


def record(ledger: Ledger, backup: Backup, coverage: Coverage | None) -> None:
    ledger.record_backup(backup, manifest=manifest.dump(backup), signature=b"s", coverage=coverage)
    ledger.record_copy(backup.id, "disk", "complete", NOW)


def take(ledger: Ledger, day: int, databases: Databases) -> Backup:
    backup = backup_of(day, databases)
    record(ledger, backup, coverage_of(databases))
    return backup


def anomalies(ledger: Ledger) -> set[tuple[str, str]]:
    """The measures of the newest backup that are anomalies, small ones and large ones."""
    found = facts.overview(ledger.path, LATER).measures
    return {(each.database, each.measure) for each in found if abs(each.score or 0) > 1}


def test_each_measure_is_kept_with_what_was_expected(ledger: Ledger) -> None:
    for day in range(6):
        take(ledger, day, USUAL)
    found = facts.overview(ledger.path, LATER).measures
    values = {(each.database, each.measure): each.value for each in found}
    assert values == {
        ("app", "size"): 50 * MB,
        ("app", "tables"): 20,
        ("app", "rows"): 10_000,
        ("log", "size"): 70 * MB,
        ("log", "tables"): 3,
    }
    assert [each.expected for each in found] == [pytest.approx(each.value) for each in found]
    assert {each.score for each in found} == {0}


def test_nothing_is_expected_of_the_first_backups(ledger: Ledger) -> None:
    take(ledger, 0, USUAL)
    found = facts.overview(ledger.path, LATER).measures
    assert {(each.expected, each.score) for each in found} == {(None, None)}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        pytest.param(USUAL, set(), id="as always"),
        pytest.param(USUAL | {"app": (49 * MB, 20, 1_000)}, {("app", "rows")}, id="a truncated table"),
        pytest.param(USUAL | {"app": (49 * MB, 19, 10_000)}, {("app", "tables")}, id="a lost table"),
        pytest.param(
            USUAL | {"app": (900, 0, 0)}, {("app", "size"), ("app", "tables"), ("app", "rows")}, id="empty"
        ),
        pytest.param(
            {"app": USUAL["app"]}, {("log", "size"), ("log", "tables")}, id="a database that is not there"
        ),
        pytest.param({}, {(n, m) for n in USUAL for m in ("size", "tables")} | {("app", "rows")}, id="none"),
        pytest.param(USUAL | {"new": (5, 5, 5)}, set(), id="a database more"),
        pytest.param(USUAL | {"log": (700 * MB, 3, None)}, {("log", "size")}, id="ten times as large"),
    ],
)
def test_what_is_not_as_before_is_found(
    ledger: Ledger, now: Databases, expected: set[tuple[str, str]]
) -> None:
    for day in range(10):
        take(ledger, day, USUAL)
    take(ledger, 10, now)
    assert anomalies(ledger) == expected


def test_a_database_that_stays_away_is_forgotten_after_a_while(ledger: Ledger) -> None:
    for day in range(10):
        take(ledger, day, USUAL)
    left = {"app": USUAL["app"]}
    for day in range(10, 10 + SETTLED):
        take(ledger, day, left)
        assert ("log", "size") in anomalies(ledger)
    for day in range(10 + SETTLED, 12 + SETTLED):
        take(ledger, day, left)
    assert {each.database for each in facts.overview(ledger.path, LATER).measures} == {"app"}


def test_the_newest_good_backup_is_the_one_that_is_told_of(ledger: Ledger) -> None:
    for day in range(10):
        take(ledger, day, USUAL)
    small = take(ledger, 10, USUAL | {"app": (50 * MB, 20, 3)})
    assert anomalies(ledger)
    ledger.record_copy(small.id, "disk", "damaged", NOW)
    assert anomalies(ledger) == set()


def test_what_is_usual_outlives_the_backups(ledger: Ledger) -> None:
    for day in range(10):
        ledger.forget_backup(take(ledger, day, USUAL).id)
    take(ledger, 10, USUAL | {"app": (50 * MB, 20, 3)})
    assert anomalies(ledger) == {("app", "rows")}


def test_a_backup_that_is_found_again_keeps_what_was_counted(ledger: Ledger) -> None:
    for day in range(10):
        take(ledger, day, USUAL)
    truncated = USUAL | {"app": (50 * MB, 20, 3)}
    take(ledger, 10, truncated)
    record(ledger, backup_of(10, truncated), None)
    assert anomalies(ledger) == {("app", "rows")}


def test_imported_backups_tell_nothing_of_what_is_usual(ledger: Ledger) -> None:
    record(ledger, backup_of(0, USUAL, imported=True), None)
    assert facts.overview(ledger.path, LATER).measures == ()


def test_measures_do_not_grow_without_end(ledger: Ledger) -> None:
    for day in range(100):
        take(ledger, day, {"app": USUAL["app"]})
    [row] = ledger.read(
        "SELECT count(*) AS kept, min(backup_id) AS oldest FROM measures WHERE measure = 'size'", []
    )
    assert row["kept"] == 90
    assert layout.backup_time(str(row["oldest"])) == datetime.fromisoformat("2026-12-02T02:00:00Z")


def test_targets_do_not_mix(ledger: Ledger) -> None:
    for day in range(10):
        take(ledger, day, USUAL)
        other = dataclasses.replace(
            backup_of(day, {"app": (5, 1, 1)}),
            target="other",
            id=f"{NOW + timedelta(days=day):%Y%m%dT%H%M%SZ}-ffff",
        )
        record(ledger, other, coverage_of({"app": (5, 1, 1)}))
    assert anomalies(ledger) == set()


def acknowledge(ledger: Ledger, backup: Backup, at: datetime) -> None:
    value = Mark(
        kind="ack", backup_id=backup.id, target="shop", at=at, host="", signer="", content={"why": "x"}
    )
    marks.record(ledger, Kept(store="disk", name="ack", mark=value, document=dump(value), signature=b""))


def test_what_somebody_acknowledged_is_the_new_normal(ledger: Ledger) -> None:
    small: Databases = {"app": (1 * MB, 20, 100)}
    for day in range(8):
        take(ledger, day, {"app": (50 * MB, 20, 10_000)})
    shrunk = take(ledger, 8, small)
    assert {each.measure for each in retention.unusual(ledger, "shop")} == {"size", "rows"}
    acknowledge(ledger, shrunk, NOW + timedelta(days=8, hours=1))
    assert retention.unusual(ledger, "shop") == []
    for day in range(9, 16):
        take(ledger, day, small)
        assert anomalies(ledger) == set()
    take(ledger, 16, {"app": (50 * MB, 20, 10_000)})  # as it was before is unusual now
    assert anomalies(ledger) == {("app", "size"), ("app", "rows")}


def test_an_acknowledgement_of_a_date_to_come_silences_nothing(ledger: Ledger) -> None:
    for day in range(8):
        take(ledger, day, USUAL)
    acknowledge(ledger, backup_of(900, USUAL), NOW + timedelta(days=8))
    take(ledger, 9, {"app": (1 * MB, 20, 100), "log": (70 * MB, 3, None)})
    assert anomalies(ledger) == {("app", "size"), ("app", "rows")}
    assert len(retention.unusual(ledger, "shop")) == 2
