"""The ledger: what happened and what is known, each fact written in one transaction.

It is a memory, not the truth: all but the history of runs can be rebuilt from the manifests in the stores.
"""

from __future__ import annotations

import dataclasses
import sqlite3
import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from holdfast.ledger import database, known, measures, restore_tests, rows
from holdfast.ledger.rows import GONE, BackupRow, Copy, CopyState, Value
from holdfast.model import manifest as manifests
from holdfast.model.backup import Backup
from holdfast.model.catalog import Coverage
from holdfast.model.codec import parse_time, time_text
from holdfast.model.errors import LedgerError, NotFoundError
from holdfast.model.proof import LEVELS, Level, Proof
from holdfast.model.run import Job, Run, Status

__all__ = ["BUSY_SECONDS", "GONE", "BackupRow", "Copy", "CopyState", "Ledger", "LedgerGoneError"]

BUSY_SECONDS = 30.0


class LedgerGoneError(LedgerError):
    """The file is not there any more, or another in its place: only a new start helps."""


class Ledger:
    """An open ledger; one connection behind a lock, so that any thread may use it.

    `opened` says how it came about: `existing`, `created`, or `replaced`, when the file was damaged; then
    `set_aside` is where the damaged one lies. A ledger that was not `existing` knows nothing: rebuild it from the
    stores. `needed` says by target in how many stores a backup has to be to be good, where that is more than one, and
    `among` which stores those are: it is what the config has now. Every method raises LedgerError when the file cannot be read or written.
    """

    def __init__(self, path: Path, opened: database.Opened) -> None:
        self.path = path
        self.opened = opened.how
        self.set_aside = opened.set_aside
        self.needed: Mapping[str, int] = {}
        self.among: Mapping[str, Collection[str]] = {}
        self._connection = opened.connection
        self._lock = threading.RLock()
        self._inode = path.stat().st_ino

    @classmethod
    def open(cls, path: Path, *, now: datetime, busy_timeout: float = BUSY_SECONDS) -> Self:
        """Open the ledger at `path` (its directory is made, too), setting a damaged file aside.

        `busy_timeout` is how many seconds a write waits for other processes. Raise LedgerError, with a hint, for
        a ledger of a newer Holdfast, a file of another program, or a disk that refuses.
        """
        opened = database.open_database(path, now=now, busy_timeout=busy_timeout)
        try:
            with database.translated(path):
                return cls(path, opened)
        except BaseException:
            opened.connection.close()
            raise

    def close(self) -> None:
        """Close the file; twice is no error."""
        with self._lock, database.translated(self.path):
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Runs

    def begin(self, run: Run) -> Run:
        """Record a run, of any status, and return it with the id it got."""
        with self.writing() as connection:
            cursor = connection.execute(_insert("runs", values := rows.run_values(run)), values)
            return dataclasses.replace(run, id=cursor.lastrowid or 0)

    def heartbeat(self, run_id: int, *, now: datetime, bytes_done: int) -> None:
        """Say that a run is alive. One that is not running any more stays as it is."""
        with self.writing() as connection:
            connection.execute(
                "UPDATE runs SET heartbeat_at = ?, bytes_done = ? WHERE id = ? AND status = 'running'",
                [time_text(now), bytes_done, run_id],
            )

    def finish(
        self,
        run_id: int,
        *,
        status: Status,
        now: datetime,
        bytes_done: int | None = None,
        backup_id: str | None = None,
        error_code: str | None = None,
        error: str | None = None,
    ) -> None:
        """Close a run; `bytes_done` and `backup_id` stay as they were when None. Raise NotFoundError for no run."""
        with self.writing() as connection:
            cursor = connection.execute(
                "UPDATE runs SET status = :status, finished_at = :now, error_code = :code, error = :error,"
                " bytes_done = coalesce(:bytes, bytes_done), backup_id = coalesce(:backup, backup_id)"
                " WHERE id = :id",
                {
                    "status": status,
                    "now": time_text(now),
                    "code": error_code,
                    "error": None if error is None else rows.text(error),
                    "bytes": bytes_done,
                    "backup": backup_id,
                    "id": run_id,
                },
            )
            if cursor.rowcount == 0:
                raise NotFoundError(f"run {run_id} is not in the ledger {self.path}")

    def runs(
        self,
        target: str | None = None,
        job: Job | None = None,
        status: Status | Collection[Status] | None = None,
        *,
        limit: int = 100,
    ) -> list[Run]:
        """The runs that fit all that is given, the one begun last first, at most `limit`."""
        statuses = (status,) if isinstance(status, str) else status
        where, values = _where({"target": target, "job": job}, statuses)
        found = self.read(f"SELECT * FROM runs {where} ORDER BY id DESC LIMIT ?", [*values, limit])  # noqa: S608 - placeholders
        return [rows.run_of(row) for row in found]

    def unfinished(self, target: str | None = None, job: Job | None = None) -> list[Run]:
        """The runs that are recorded as running, dead ones too, the one begun last first."""
        return self.runs(target, job, "running", limit=-1)

    def last_run(self, target: str, job: Job, statuses: Collection[Status]) -> Run | None:
        """The run begun last that has one of the statuses, or None."""
        return next(iter(self.runs(target, job, statuses, limit=1)), None)

    # Backups

    def record_backup(
        self, backup: Backup, *, manifest: bytes, signature: bytes, coverage: Coverage | None
    ) -> None:
        """Record a committed backup, or the same once more. `manifest` and `signature` are the stored bytes.

        What is known of it stays: its copies, and, as long as the manifest is the same, its proof and (for a
        `coverage` of None) its coverage. Raise ValueError when the manifest is not that of `backup`.
        """
        if manifests.parse(manifest, where=backup.id) != backup:
            raise ValueError(f"the manifest given is not that of backup {backup.id}")
        values = {
            **rows.backup_values(backup),
            "manifest": manifest,
            "signature": signature,
            "coverage": rows.coverage_text(coverage),
        }
        with self.writing() as connection:
            connection.execute(
                "DELETE FROM backups WHERE id = ? AND (manifest <> ? OR target <> ?)",
                [backup.id, manifest, backup.target],
            )
            connection.execute(
                _insert("backups", values) + " ON CONFLICT (id) DO UPDATE SET signature = excluded.signature,"
                " coverage = coalesce(excluded.coverage, coverage)",
                values,
            )
            connection.execute("DELETE FROM parts WHERE backup_id = ?", [backup.id])
            for part in rows.part_values(backup):
                connection.execute(_insert("parts", part), part)
            measures.record(connection, backup, coverage)

    def forget_backup(self, backup_id: str) -> None:
        """Remove a backup with its parts and copies; one that is not there is no error."""
        with self.writing() as connection:
            connection.execute("DELETE FROM backups WHERE id = ?", [backup_id])

    def backups(self, target: str | None = None) -> list[BackupRow]:
        """All backups (of the target), newest first."""
        where, values = _where({"target": target}, None)
        return known.backups(self, where, values)

    def backup(self, backup_id: str) -> BackupRow | None:
        """The backup with that id, or None."""
        return next(iter(known.backups(self, "WHERE id = ?", [backup_id])), None)

    def find(self, prefix: str) -> list[BackupRow]:
        """The backups whose ids begin with `prefix`, newest first."""
        return known.backups(self, "WHERE substr(id, 1, length(?1)) = ?1", [prefix])

    def record_copy(
        self, backup_id: str, store: str, state: CopyState, now: datetime, error: str | None = None
    ) -> None:
        """Say how the backup's copy in a store is, since `now`. Raise NotFoundError for an unknown backup."""
        values: dict[str, Value] = {
            "backup_id": backup_id,
            "store": store,
            "state": state,
            "at": time_text(now),
            "error": None if error is None else rows.text(error),
        }
        with self.writing() as connection:
            self._proof_of(connection, backup_id)
            connection.execute(
                _insert("copies", values) + " ON CONFLICT (backup_id, store) DO UPDATE"
                " SET state = excluded.state, at = excluded.at, error = excluded.error",
                values,
            )

    def forget_copy(self, backup_id: str, store: str) -> None:
        """Forget the backup's copy in a store; one that is not there is no error."""
        with self.writing() as connection:
            connection.execute("DELETE FROM copies WHERE backup_id = ? AND store = ?", [backup_id, store])

    def record_proof(self, proof: Proof, *, damaged: bool = False) -> None:
        """Record how far a backup is proven. A lower level than the known one changes nothing.

        Unless `damaged`: then what was known is wrong, and the proof's level takes its place. So does that of a restore
        test that failed, until a later one passes. Raise NotFoundError for an unknown backup.
        """
        with self.writing() as connection:
            level, at = self._proof_of(connection, proof.backup_id)
            restore_tests.record(connection, proof)
            if restore_tests.refuted(connection, proof):
                return
            failed = proof.tested is not None and proof.tested.outcome == "failed"
            damaged = damaged or (failed and (at is None or proof.at >= at))
            higher = LEVELS.index(proof.level) - LEVELS.index(level)
            newer = at is None or proof.at > at
            if damaged or higher > 0 or (higher == 0 and newer):
                connection.execute(
                    "UPDATE backups SET proof = ?, proof_at = ? WHERE id = ?",
                    [proof.level, time_text(proof.at), proof.backup_id],
                )

    # Meta

    def meta_get(self, key: str) -> str | None:
        """The value kept under a key, such as `created_at`, or None."""
        found = self.read("SELECT value FROM meta WHERE key = ?", [key])
        return str(found[0]["value"]) if found else None

    def meta_set(self, key: str, value: str) -> None:
        """Keep a value under a key."""
        with self.writing() as connection:
            connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", [key, value])

    def _proof_of(self, connection: sqlite3.Connection, backup_id: str) -> tuple[Level, datetime | None]:
        row = connection.execute("SELECT proof, proof_at FROM backups WHERE id = ?", [backup_id]).fetchone()
        if row is None:
            raise NotFoundError(
                f"backup {backup_id} is not in the ledger {self.path}",
                hint="If it is in a store, `holdfast catalog rebuild` finds it.",
            )
        return row["proof"], None if row["proof_at"] is None else parse_time(row["proof_at"])

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Write all of it or nothing; for the modules of this package."""
        with self._using() as connection, database.transaction(connection):
            yield connection

    def read(self, query: str, values: list[Value] | dict[str, Value]) -> list[dict[str, object]]:
        """The rows that a query finds; for the modules of this package."""
        with self._using() as connection:
            return [dict(row) for row in connection.execute(query, values)]

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        with self._lock, database.translated(self.path):
            self._check_file()
            yield self._connection

    def _check_file(self) -> None:
        """SQLite goes on with a file that was deleted under it, and what it writes is lost: say so instead."""
        try:
            same = self.path.stat().st_ino == self._inode
        except FileNotFoundError:
            same = False
        if not same:
            raise LedgerGoneError(
                f"the ledger {self.path} was deleted or replaced while it was in use",
                hint="Start Holdfast again: it makes a new one from the stores.",
            )


def _insert(table: str, values: Mapping[str, Value]) -> str:
    names = ", ".join(f'"{name}"' for name in values)
    marks = ", ".join(f":{name}" for name in values)
    return f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 - names of our own columns


def _where(wanted: Mapping[str, str | None], statuses: Collection[str] | None) -> tuple[str, list[Value]]:
    values: list[Value] = [value for value in wanted.values() if value is not None]
    terms = [f"{column} = ?" for column, value in wanted.items() if value is not None]
    if statuses is not None:
        terms.append(f"status IN ({', '.join('?' * len(statuses))})")
        values += statuses
    return (f"WHERE {' AND '.join(terms)}" if terms else ""), values
