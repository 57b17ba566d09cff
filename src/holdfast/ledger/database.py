"""Opens the ledger's SQLite file: checks it, migrates it, and sets a damaged one aside.

A new ledger is built under another name and renamed, so that a file under its own name is always a whole one.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from holdfast.model.codec import time_text
from holdfast.model.errors import LedgerError
from holdfast.system import lock, owner

APPLICATION_ID = 0x484F4C44  # "HOLD": tells our file from another program's database
OLDEST_SQLITE = (3, 38, 0)  # strict tables (3.37), JSON functions always built in (3.38)
HEADER_BYTES = 100
REPLACED_AT, SET_ASIDE = "replaced_at", "set_aside"  # in meta, of a ledger that took a damaged one's place
_COMPANIONS = ("-wal", "-shm")

How = Literal["existing", "created", "replaced"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open, checked, current database; how it came about; and where a damaged one was put."""

    connection: sqlite3.Connection
    how: How
    set_aside: Path | None


class _UnusableError(Exception):
    """There is no file, or what is there is no database any more."""


def open_database(path: Path, *, now: datetime, busy_timeout: float) -> Opened:
    """Open the ledger at `path`, making it where there is none or a damaged one.

    Raise LedgerError for a file of a newer Holdfast or of another program, and for what the disk refuses;
    BusyError when another process makes the same ledger and takes longer than `busy_timeout` seconds.
    """
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        raise LedgerError(
            f"SQLite {sqlite3.sqlite_version} is too old for the ledger",
            hint="Use a Python that is built with SQLite 3.38 or newer.",
        )
    with translated(path):
        owner.make_folder(path.parent)
        try:
            return Opened(connection=_connect(path, busy_timeout), how="existing", set_aside=None)
        except _UnusableError:
            pass
        holder = f"process {os.getpid()}"
        with lock.exclusive(
            _beside(path, ".lock"), what=f"the ledger {path}", holder=holder, wait=busy_timeout
        ):
            return _replace(path, now, busy_timeout)


def _replace(path: Path, now: datetime, busy_timeout: float) -> Opened:
    try:
        return Opened(connection=_connect(path, busy_timeout), how="existing", set_aside=None)
    except _UnusableError:
        aside = _set_aside(path, now)
    _create(path, now, aside)
    how: How = "created" if aside is None else "replaced"
    return Opened(connection=_connect(path, busy_timeout), how=how, set_aside=aside)


def _connect(path: Path, busy_timeout: float) -> sqlite3.Connection:
    if not path.exists():
        raise _UnusableError
    if path.is_file() and path.stat().st_size < HEADER_BYTES:
        raise _UnusableError  # before SQLite sees it: it would throw away what the -wal still holds
    connection = _raw(path, busy_timeout)
    try:
        _check(connection, path)
        _configure(connection)
        migrate(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        if is_damage(error):
            raise _UnusableError from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


def _raw(path: Path, busy_timeout: float) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode=rw",  # rw: never makes a file by itself
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,  # we say BEGIN ourselves
        check_same_thread=False,  # Ledger serialises with a lock
    )
    connection.row_factory = sqlite3.Row
    return connection


def _configure(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL")
    # FULL, not NORMAL: failed and missed runs are in no store, and a commit a few seconds apart is cheap to sync.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    application = _number(connection, "PRAGMA application_id")
    version = _number(connection, "PRAGMA user_version")
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _UnusableError
    if application == 0 and _number(connection, "SELECT count(*) FROM sqlite_schema") == 0:
        raise _UnusableError  # SQLite takes some ruins for an empty database
    if application != APPLICATION_ID:
        raise LedgerError(
            f"{path} is a database of another program, not a ledger",
            hint="Point daemon.state_dir at a directory of Holdfast's own.",
        )
    newest = migrations()[-1][0]
    if version > newest:
        raise LedgerError(
            f"the ledger {path} has schema version {version}, newer than this program knows ({newest})",
            hint="Use the Holdfast release that wrote it, or a later one.",
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the migrations that are missing, each in a transaction of its own with its version number."""
    for version, script in migrations():
        if _number(connection, "PRAGMA user_version") >= version:
            continue
        with transaction(connection):
            if _number(connection, "PRAGMA user_version") < version:  # another process may have been first
                for statement in _statements(script):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {version:d}")


@lru_cache(maxsize=1)
def migrations() -> tuple[tuple[int, str], ...]:
    """The numbered scripts in order: version and SQL."""
    folder = resources.files("holdfast.ledger") / "migrations"
    scripts = [entry for entry in folder.iterdir() if entry.name.endswith(".sql")]
    return tuple(sorted((int(entry.name[:4]), entry.read_text("utf-8")) for entry in scripts))


def _statements(script: str) -> Iterator[str]:
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Write all of it or nothing. IMMEDIATE, because a read that turns into a write can fail in its middle."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        connection.rollback()
        raise


def _create(path: Path, now: datetime, aside: Path | None) -> None:
    fresh = _beside(path, ".new")
    for name in (fresh, *(_beside(fresh, suffix) for suffix in _COMPANIONS)):
        name.unlink(missing_ok=True)
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    owner.inherit(handle, path.parent)
    os.close(handle)  # SQLite gives -wal the same mode and owner
    connection = _raw(fresh, 0)
    try:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID:d}")
        _configure(connection)
        migrate(connection)
        with transaction(connection):
            kept = {"created_at": time_text(now)}
            if (
                aside is not None
            ):  # said from the first moment on: the warning of this start may be read by nobody
                kept |= {REPLACED_AT: time_text(now), SET_ASIDE: aside.name}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", list(kept.items()))
    finally:
        connection.close()
    fresh.rename(path)


def _set_aside(path: Path, now: datetime) -> Path | None:
    """Rename the file and its companions; None when there was no file.

    The companions go first, and without the file too: a -wal that is left alone would be replayed into the next.
    """
    stem = f"{path.name}.corrupt-{now.astimezone(UTC):%Y%m%dT%H%M%SZ}"
    aside, number = path.with_name(stem), 1
    while any(_beside(aside, suffix).exists() for suffix in ("", *_COMPANIONS)):
        number += 1
        aside = path.with_name(f"{stem}-{number}")
    for suffix in _COMPANIONS:
        if _beside(path, suffix).exists():
            _beside(path, suffix).rename(_beside(aside, suffix))
    if not path.exists():
        return None
    return path.rename(aside)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _number(connection: sqlite3.Connection, query: str) -> int:
    return int(connection.execute(query).fetchone()[0])


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite says that the file is no database, or a broken one."""
    return _name(error).startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _name(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", ""))


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn the errors of SQLite and of the disk into LedgerError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explained(path, error) from error
    except OSError as error:
        raise LedgerError(f"the ledger {path}: {error.strerror or error}", hint=_WRITABLE) from error


_WRITABLE = (
    "Give this user write access to the directory, or point daemon.state_dir at one that it can write."
)


def _explained(path: Path, error: sqlite3.Error) -> LedgerError:
    name = _name(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        hint = f"Find the process that holds it (`fuser {path}`), let it end, then try again."
        return LedgerError(f"the ledger {path} is locked by another process", hint=hint)
    if name.startswith("SQLITE_FULL"):
        return LedgerError(
            f"the ledger {path}: the disk is full", hint="Free some space there, then try again."
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return LedgerError(f"the ledger {path} cannot be written: {error}", hint=_WRITABLE)
    if is_damage(error):
        hint = "Start Holdfast again: it sets the damaged file aside and makes a new one from the stores."
        return LedgerError(f"the ledger {path} is damaged: {error}", hint=hint)
    if name.startswith("SQLITE_IOERR"):
        hint = "Look at the disk's health and free space, then try again."
        return LedgerError(f"the ledger {path}: the disk failed: {error}", hint=hint)
    return LedgerError(f"the ledger {path}: {error}")
