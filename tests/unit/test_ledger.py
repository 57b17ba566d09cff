"""What is recorded in the ledger is read back, and stays consistent whatever order it comes in."""

from __future__ import annotations

import dataclasses
import stat
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.ledger import Copy, Ledger, facts
from holdfast.model import manifest
from holdfast.model.backup import Backup
from holdfast.model.catalog import Coverage, LeftOut
from holdfast.model.errors import LedgerError, NotFoundError
from holdfast.model.proof import LEVELS, Level, Outcome, Proof
from holdfast.model.run import Run, Status
from support.model_values import NOW, backups, coverages, names, restore_test, runs, sample_backup, times

COVERAGE = Coverage(
    tables=3, tables_covered=2, rows=12, left_out=(LeftOut(kind="table", name="a: b.c", reason="excluded"),)
)
SHARED = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger.open(tmp_path / "state" / "ledger.sqlite", now=NOW) as opened:
        yield opened


def record(ledger: Ledger, backup: Backup, coverage: Coverage | None = None) -> bytes:
    data = manifest.dump(backup)
    ledger.record_backup(backup, manifest=data, signature=b"signed", coverage=coverage)
    return data


def proof(level: Level, at: datetime, backup_id: str) -> Proof:
    return Proof(backup_id=backup_id, target="shop", level=level, method="restored", at=at, store="main")


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def test_a_new_ledger_says_so_and_is_private(tmp_path: Path) -> None:
    path = tmp_path / "state" / "ledger.sqlite"
    with Ledger.open(path, now=NOW) as ledger:
        ledger.meta_set("rebuilt_at", "later")
        assert (ledger.opened, ledger.set_aside) == ("created", None)
        assert ledger.meta_get("created_at") == "2026-11-22T02:00:00Z"
        files = list(path.parent.iterdir())
        assert {f"{path.name}{suffix}" for suffix in ("", "-wal", "-shm")} <= {entry.name for entry in files}
        assert all(stat.S_IMODE(entry.stat().st_mode) == 0o600 for entry in files)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_ledger_opens_again_with_what_it_held(tmp_path: Path) -> None:
    with Ledger.open(tmp_path / "l", now=NOW) as ledger:
        run = ledger.begin(Run(job="backup", target="shop", started_at=NOW))
    with Ledger.open(tmp_path / "l", now=after(9)) as ledger:
        assert ledger.opened == "existing"
        assert ledger.runs() == [run]
        assert ledger.meta_get("created_at") == "2026-11-22T02:00:00Z"


def test_a_file_name_with_uri_characters_is_just_a_name(tmp_path: Path) -> None:
    path = tmp_path / "50% of? a#name, no UTF-8: \udcff" / "ledger?mode=memory"
    with Ledger.open(path, now=NOW):
        assert facts.overview(path, NOW).daemon is None
    assert path.stat().st_size > 0


@SHARED
@given(run=runs)
def test_a_run_is_read_as_it_was_recorded(ledger: Ledger, run: Run) -> None:
    with ledger.writing() as connection:
        connection.execute("DELETE FROM runs")  # the same slot may come again
    recorded = ledger.begin(dataclasses.replace(run, target=run.target.encode("utf-8", "replace").decode()))
    assert recorded.id > 0
    assert ledger.runs(limit=1) == [recorded]


@SHARED
@given(error=names)
def test_an_error_with_stray_bytes_is_kept_readable(ledger: Ledger, error: str) -> None:
    run = ledger.begin(Run(job="backup", target="shop", started_at=NOW))
    ledger.finish(run.id, status="failed", now=NOW, error=error)
    assert ledger.runs(limit=1)[0].error == error.encode("utf-8", "backslashreplace").decode()


@SHARED
@given(backup=backups(), coverage=st.none() | coverages, signature=st.binary(max_size=300))
def test_a_backup_is_read_as_it_was_recorded(
    ledger: Ledger, backup: Backup, coverage: Coverage | None, signature: bytes
) -> None:
    ledger.forget_backup(backup.id)
    data = manifest.dump(backup)
    ledger.record_backup(backup, manifest=data, signature=signature, coverage=coverage)
    row = ledger.backup(backup.id)
    assert row is not None
    assert (row.backup, row.coverage, row.manifest, row.signature) == (backup, coverage, data, signature)
    assert (row.proof, row.proof_at, row.copies) == ("stored", None, ())


@SHARED
@given(levels=st.lists(st.tuples(st.sampled_from(LEVELS), times), min_size=1, max_size=6))
def test_the_proof_is_the_newest_of_the_highest_level(
    ledger: Ledger, levels: list[tuple[Level, datetime]]
) -> None:
    backup = sample_backup()
    ledger.forget_backup(backup.id)
    record(ledger, backup)
    for level, at in levels:
        ledger.record_proof(proof(level, at, backup.id))
    highest = max(LEVELS.index(level) for level, _ in levels)
    row = ledger.backup(backup.id)
    assert row is not None
    assert row.proof == LEVELS[highest]
    assert row.proof_at == max(at for level, at in levels if level == LEVELS[highest])


def test_a_damaged_backup_loses_its_level(ledger: Ledger) -> None:
    backup = sample_backup()
    record(ledger, backup)
    ledger.record_proof(proof("proven", NOW, backup.id))
    ledger.record_proof(proof("stored", after(1), backup.id), damaged=True)
    row = ledger.backup(backup.id)
    assert row is not None
    assert (row.proof, row.proof_at) == ("stored", after(1))


def test_recording_a_backup_again_keeps_what_became_known(ledger: Ledger) -> None:
    backup = sample_backup()
    record(ledger, backup, COVERAGE)
    ledger.record_copy(backup.id, "main", "complete", NOW)
    ledger.record_proof(proof("verified", after(5), backup.id))
    before = ledger.backups()
    record(ledger, backup)
    assert ledger.backups() == before


def test_another_manifest_under_the_same_id_inherits_no_proof(ledger: Ledger) -> None:
    backup = sample_backup()
    record(ledger, backup, COVERAGE)
    ledger.record_proof(proof("proven", NOW, backup.id))
    record(ledger, dataclasses.replace(backup, host="elsewhere"))
    row = ledger.backup(backup.id)
    assert row is not None
    assert (row.backup.host, row.proof, row.proof_at, row.coverage) == ("elsewhere", "stored", None, None)


def test_a_manifest_of_another_backup_is_refused(ledger: Ledger) -> None:
    other = sample_backup("20261122T030000Z-7f3a")
    with pytest.raises(ValueError, match="not that of backup"):
        ledger.record_backup(sample_backup(), manifest=manifest.dump(other), signature=b"", coverage=None)
    assert ledger.backups() == []


def test_the_parts_of_a_backup_are_recorded_once(ledger: Ledger) -> None:
    backup = sample_backup()
    for _ in range(2):
        record(ledger, backup)
    rows = ledger.read("SELECT backup_id, number, name, size, stored_size FROM parts", [])
    assert [tuple(row.values()) for row in rows] == [(backup.id, 1, "app.dump.zst.age", 1000, 700)]


def test_forgetting_a_backup_takes_its_parts_and_copies_but_not_its_run(ledger: Ledger) -> None:
    backup = sample_backup()
    record(ledger, backup)
    ledger.record_copy(backup.id, "main", "complete", NOW)
    ledger.begin(Run(job="backup", target="shop", started_at=NOW, backup_id=backup.id))
    ledger.forget_backup(backup.id)
    ledger.forget_backup(backup.id)
    assert ledger.backups() == []
    assert ledger.read("SELECT 1 FROM parts UNION ALL SELECT 1 FROM copies", []) == []
    assert [run.backup_id for run in ledger.runs()] == [backup.id]


def test_copies_are_one_per_store_with_their_latest_state(ledger: Ledger) -> None:
    backup = sample_backup()
    record(ledger, backup)
    ledger.record_copy(backup.id, "offsite", "copying", NOW)
    ledger.record_copy(backup.id, "main", "complete", NOW)
    ledger.record_copy(backup.id, "offsite", "damaged", after(1.5), error='digest of "app" differs')
    ledger.record_copy(backup.id, "gone", "missing", NOW)
    ledger.forget_copy(backup.id, "gone")
    row = ledger.backup(backup.id)
    assert row is not None
    assert row.copies == (
        Copy(store="main", state="complete", at=NOW),
        Copy(store="offsite", state="damaged", at=after(1.5), error='digest of "app" differs'),
    )


def test_backups_come_newest_first_and_by_target_and_prefix(ledger: Ledger) -> None:
    ids = ["20261121T020000Z-aaaa", "20261122T020000Z-7f3a", "20261122T020000Z-7f3b"]
    for backup_id in (ids[1], ids[0]):
        record(ledger, sample_backup(backup_id))
    record(ledger, sample_backup(ids[2], target="other"))
    assert [row.backup.id for row in ledger.backups()] == ids[::-1]
    assert [row.backup.id for row in ledger.backups("shop")] == [ids[1], ids[0]]
    assert [row.backup.id for row in ledger.find("20261122T020000Z-7f3")] == [ids[2], ids[1]]
    assert [row.backup.id for row in ledger.find(ids[0])] == [ids[0]]
    assert ledger.find("2026112_") == ledger.find("*") == ledger.find("%") == []
    assert ledger.backup("20261122T020000Z-7f3") is None


def test_what_belongs_to_an_unknown_backup_or_run_is_not_found(ledger: Ledger) -> None:
    with pytest.raises(NotFoundError, match="not in the ledger"):
        ledger.record_copy("20261122T020000Z-7f3a", "main", "complete", NOW)
    with pytest.raises(NotFoundError, match="not in the ledger"):
        ledger.record_proof(proof("proven", NOW, "20261122T020000Z-7f3a"))
    with pytest.raises(NotFoundError, match="run 7 is not"):
        ledger.finish(7, status="failed", now=NOW)


def test_a_run_lives_from_begin_to_finish(ledger: Ledger) -> None:
    run = ledger.begin(Run(job="backup", target="shop", started_at=NOW, host="db1", pid=42))
    ledger.heartbeat(run.id, now=after(10), bytes_done=1 << 40)
    assert ledger.unfinished("shop", "backup") == [
        dataclasses.replace(run, heartbeat_at=after(10), bytes_done=1 << 40)
    ]
    ledger.finish(run.id, status="succeeded", now=after(20), backup_id="20261122T020000Z-7f3a")
    ledger.heartbeat(run.id, now=after(30), bytes_done=0)  # a late one
    assert ledger.unfinished("shop", "backup") == []
    assert ledger.runs() == [
        dataclasses.replace(
            run,
            status="succeeded",
            heartbeat_at=after(10),
            finished_at=after(20),
            bytes_done=1 << 40,
            backup_id="20261122T020000Z-7f3a",
        )
    ]


def test_a_finished_run_keeps_its_error(ledger: Ledger) -> None:
    run = ledger.begin(Run(job="backup", target="shop", started_at=NOW))
    ledger.finish(run.id, status="failed", now=NOW, bytes_done=5, error_code="source", error="pg_dump exited")
    found = ledger.runs()[0]
    assert (found.status, found.bytes_done, found.error_code, found.error) == (
        "failed",
        5,
        "source",
        "pg_dump exited",
    )


def test_runs_are_filtered_newest_first_and_limited(ledger: Ledger) -> None:
    statuses = get_args(Status)
    for number, status in enumerate(statuses):
        for target in ("shop", "blog"):
            ledger.begin(
                Run(
                    job="backup" if number % 2 else "verify",
                    target=target,
                    status=status,
                    started_at=after(-number),
                )
            )
    assert [run.id for run in ledger.runs()] == list(range(2 * len(statuses), 0, -1))
    assert [run.id for run in ledger.runs(limit=3)] == [14, 13, 12]
    assert {run.target for run in ledger.runs("blog")} == {"blog"}
    assert {(run.target, run.job) for run in ledger.runs("shop", "verify")} == {("shop", "verify")}
    assert [run.status for run in ledger.runs("shop", status="lost")] == ["lost"]
    last = ledger.last_run("shop", "backup", ["succeeded", "failed", "missed"])
    assert last is not None
    assert last.status == "missed"
    assert ledger.last_run("shop", "backup", ["lost"]) is None
    assert ledger.last_run("shop", "backup", []) is None


def test_a_write_that_fails_leaves_nothing(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_backup: Backup) -> list[dict[str, str]]:
        raise RuntimeError("in the middle")

    monkeypatch.setattr("holdfast.ledger.rows.part_values", broken)
    with pytest.raises(RuntimeError):
        record(ledger, sample_backup())
    assert ledger.backups() == []
    ledger.meta_set("still", "works")


def test_meta_keeps_the_last_value(ledger: Ledger) -> None:
    assert ledger.meta_get("rebuilt_at") is None
    ledger.meta_set("rebuilt_at", "a")
    ledger.meta_set("rebuilt_at", "b")
    assert ledger.meta_get("rebuilt_at") == "b"


def test_threads_write_side_by_side(ledger: Ledger) -> None:
    run = ledger.begin(Run(job="backup", target="shop", started_at=NOW))
    errors: list[BaseException] = []

    def beat() -> None:
        try:
            for number in range(50):
                ledger.heartbeat(run.id, now=after(number), bytes_done=number)
        except BaseException as error:  # noqa: BLE001 - shown by the main thread
            errors.append(error)

    threads = [threading.Thread(target=beat) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(50):
        ledger.begin(Run(job="verify", target=f"t{number}", started_at=NOW))
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(ledger.runs()) == 51
    assert ledger.unfinished("shop")[0].bytes_done == 49


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path / "l", now=NOW)
    ledger.close()
    ledger.close()
    with pytest.raises(LedgerError, match="closed"):
        ledger.meta_get("created_at")


def test_a_row_that_makes_no_sense_is_named(ledger: Ledger) -> None:
    run = ledger.begin(Run(job="backup", target="shop", started_at=NOW))
    ledger._connection.execute("UPDATE runs SET job = 'of the future'")
    with pytest.raises(LedgerError, match=rf"run {run.id}.*of the future"):
        ledger.runs()


def test_a_restore_test_that_failed_takes_the_proof_away_until_a_later_one_passes(ledger: Ledger) -> None:
    backup = sample_backup()
    ledger.record_backup(backup, manifest=manifest.dump(backup), signature=b"s", coverage=None)

    def test(outcome: Outcome, seconds: float) -> Level:
        ledger.record_proof(
            restore_test(at=after(seconds), outcome=outcome, seconds=1, restore_seconds=1, size=1)
        )
        row = ledger.backup(backup.id)
        assert row is not None
        return row.proof

    assert test("passed", 10) == "proven"
    assert test("failed", 20) == "verified"
    assert test("passed", 10) == "verified"  # the same once more, as a rebuild from another store reads it
    assert test("failed", 5) == "verified"
    assert test("passed", 30) == "proven"
    assert test("failed", 20) == "proven"
