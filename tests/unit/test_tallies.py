"""What the ledger keeps counted for the metrics is what counting anew gives, whatever happened."""

from __future__ import annotations

import dataclasses
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.ledger import CopyState, Ledger, database, facts, scheduling
from holdfast.ledger.ledger import GONE
from holdfast.model import manifest
from holdfast.model.errors import NotFoundError
from holdfast.model.overview import RunTally
from holdfast.model.planning import Timetable
from holdfast.model.proof import Level, Proof
from holdfast.model.run import Run, Status
from holdfast.model.schedule import parse
from support.model_values import NOW, sample_backup

IDS = [f"2026112{day}T020000Z-7f3a" for day in range(1, 5)]
STORES = ["disk", "offsite"]
ids, stores = st.sampled_from(IDS), st.sampled_from(STORES)
steps = st.one_of(
    st.tuples(st.just("backup"), ids, st.integers(min_value=1, max_value=2)),
    st.tuples(st.just("copy"), ids, stores, st.sampled_from(["copying", "complete", "missing", "damaged"])),
    st.tuples(st.just("proof"), ids, st.sampled_from(["stored", "verified", "proven"]), st.booleans()),
    st.tuples(st.just("forget copy"), ids, stores),
    st.tuples(st.just("forget"), ids),
)
WHOLE = [("backup", 1), ("copy", "disk", "complete")]
RECOUNTS = {
    "backup_tallies": "SELECT target, proof, count(*) FROM backups WHERE EXISTS (SELECT 1 FROM copies"
    " WHERE backup_id = id AND state = 'complete') GROUP BY 1, 2",
    "copy_tallies": "SELECT target, store, count(*), total(stored_size), sum(objects), max(id)"
    " FROM copies JOIN backups ON id = backup_id WHERE state = 'complete' GROUP BY 1, 2",
}


@contextmanager
def fresh() -> Iterator[Ledger]:
    with (
        tempfile.TemporaryDirectory() as folder,
        Ledger.open(Path(folder) / "ledger.sqlite", now=NOW) as ledger,
    ):
        yield ledger


def record(ledger: Ledger, backup_id: str, version: int = 1) -> None:
    """Record a backup; another version of it has another manifest, of another target."""
    backup = dataclasses.replace(sample_backup(backup_id, f"target{version}"), labels=(str(version),))
    ledger.record_backup(backup, manifest=manifest.dump(backup), signature=b"s", coverage=None)


def take(ledger: Ledger, step: tuple[object, ...]) -> None:
    match step:
        case ("backup", str(backup_id), int(version)):
            record(ledger, backup_id, version)
        case ("copy", str(backup_id), str(store), state):
            copied: CopyState = state  # type: ignore[assignment] # one of those sampled above
            ledger.record_copy(backup_id, store, copied, NOW)
        case ("proof", str(backup_id), level, bool(damaged)):
            proven: Level = level  # type: ignore[assignment] # as above
            ledger.record_proof(
                Proof(backup_id=backup_id, target="t", level=proven, method="opened", at=NOW, store="disk"),
                damaged=damaged,
            )
        case ("forget copy", str(backup_id), str(store)):
            ledger.forget_copy(backup_id, store)
        case ("forget", str(backup_id)):
            ledger.forget_backup(backup_id)


def counted(ledger: Ledger, query: str) -> set[tuple[object, ...]]:
    """The rows, but for those that count nothing."""
    found = {tuple(row.values()) for row in ledger.read(query, [])}
    return {row for row in found if row[2] != 0}


@settings(deadline=None, max_examples=25)
@given(st.lists(steps, max_size=25))
@example([*((step, IDS[day], *more) for day in (2, 1) for step, *more in WHOLE)])  # the older one comes later
@example([*((step, IDS[day], *more) for day in (1, 2, 3) for step, *more in WHOLE), ("forget", IDS[3])])
def test_backups_and_copies_are_counted_right(history: list[tuple[object, ...]]) -> None:
    with fresh() as ledger:
        for step in history:
            try:
                take(ledger, step)
            except NotFoundError:
                continue
        for table, query in RECOUNTS.items():
            assert counted(ledger, f"SELECT * FROM {table}") == counted(ledger, query), table
        complete = "SELECT id, target, complete FROM backups"
        recount = (
            "SELECT id, target, sum(state = 'complete') FROM backups JOIN copies ON backup_id = id GROUP BY 1"
        )
        assert counted(ledger, complete) == counted(ledger, recount)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.sampled_from(["failed", "succeeded", "lost"]), st.booleans()), max_size=8))
def test_each_run_is_counted_once_when_it_ends(ends: list[tuple[Status, bool]]) -> None:
    with fresh() as ledger:
        for status, twice in ends:
            run = ledger.begin(Run(job="backup", target="shop", started_at=NOW))
            ledger.heartbeat(run.id, now=NOW, bytes_done=1)
            ledger.finish(
                run.id, status=status, now=NOW, error_code=None if status == "succeeded" else "source"
            )
            if twice:  # it was taken for lost, and ended all the same
                ledger.finish(run.id, status="succeeded", now=NOW)
        ledger.begin(Run(job="backup", target="shop", started_at=NOW))
        found = facts.overview(ledger.path, NOW)
        assert {(tally.status, tally.runs) for tally in found.tallies} == {
            (status, sum(each == status for each, _ in ends)) for status, _ in ends
        }
        assert [run.status for run in found.running] == ["running"]


def test_a_missed_slot_is_counted_once_however_often_it_is_recorded() -> None:
    with fresh() as ledger:
        for _ in range(2):
            slots = [NOW - timedelta(hours=hours) for hours in (1, 2)]
            scheduling.record_missed(
                ledger, ("backup", "shop"), slots, now=NOW, host="db1", reason="nobody was there"
            )
        assert facts.overview(ledger.path, NOW).tallies == (
            RunTally("backup", "shop", "missed", "missed", 2),
        )


def test_counts_outlive_the_runs() -> None:
    with fresh() as ledger:
        ledger.begin(Run(job="backup", target="shop", started_at=NOW, status="skipped"))
        with ledger.writing() as connection:
            connection.execute("DELETE FROM runs")
        assert [tally.runs for tally in facts.overview(ledger.path, NOW).tallies] == [1]


def test_what_an_older_ledger_holds_is_counted_when_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path, now=NOW) as ledger:
        for number, backup_id in enumerate(IDS):
            record(ledger, backup_id)
            ledger.record_copy(backup_id, "disk", "complete" if number % 2 else "missing", NOW)
        ledger.begin(Run(job="backup", target="shop", started_at=NOW, status="skipped"))
        before = facts.overview(path, NOW)
    [script] = [script for version, script in database.migrations() if version == 3]
    with closing(sqlite3.connect(path)) as connection:
        _undo(connection)
        connection.executescript(script)
        connection.executescript(
            next(text for _, text in database.migrations() if "DROP TABLE retention;" in text)
        )
        for (backup_id,) in connection.execute("SELECT id FROM backups").fetchall():
            assert connection.execute("SELECT objects FROM backups WHERE id = ?", [backup_id]).fetchone() == (
                3,
            )
    after = facts.overview(path, NOW)
    assert (after.tallies, after.backups, after.holdings) == (before.tallies, before.backups, before.holdings)
    assert after.newest == before.newest


def _undo(connection: sqlite3.Connection) -> None:
    """Take back what the migration made."""
    connection.executescript(
        """
        DROP TRIGGER runs_recorded; DROP TRIGGER runs_ended; DROP TRIGGER backups_proven;
        DROP TRIGGER copies_recorded; DROP TRIGGER copies_completed; DROP TRIGGER copies_spoilt;
        DROP TRIGGER copies_forgotten; DROP TRIGGER backups_forgotten;
        DROP INDEX runs_running; DROP INDEX backups_good;
        DROP TABLE run_tallies; DROP TABLE backup_tallies; DROP TABLE copy_tallies;
        DROP TABLE measures; DROP TABLE stores; DROP TABLE retention; DROP TABLE retention_refusals;
        ALTER TABLE backups DROP COLUMN objects; ALTER TABLE backups DROP COLUMN complete;
        """
    )


def test_a_damaged_copy_is_told_until_it_is_mended_whatever_is_read_after_it() -> None:
    with fresh() as ledger:
        record(ledger, IDS[0])
        for state, error, damaged in (
            ("damaged", "a byte differs", {("target1", "disk"): 1}),
            ("complete", None, {}),
            ("missing", GONE, {("target1", "disk"): 1}),
            ("missing", "no room", {}),  # it never came to be
        ):
            ledger.record_copy(IDS[0], "disk", state, NOW, error)  # type: ignore[arg-type] # a state
            assert facts.overview(ledger.path, NOW).damaged == damaged
        key: scheduling.Key = ("verify", "target1")
        run = Run(job="verify", target="target1", started_at=NOW, status="failed")
        for by_plan in (False, True):
            if by_plan:
                scheduling.configure(ledger, ["target1"], {key: Timetable(schedule=parse("@daily"))}, NOW)
            ledger.begin(dataclasses.replace(run, slot=NOW if by_plan else None))
            ledger.begin(run)
            ledger.begin(dataclasses.replace(run, status="succeeded"))  # the other copy
            assert facts.overview(ledger.path, NOW).in_a_row.get(key, 0) == int(by_plan)
