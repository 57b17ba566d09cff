"""Small things that jobs do with open sessions: execute a statement, and watch that a lock's session lives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import LiteralString

import psycopg
from psycopg import errors, sql

from holdfast.model.errors import Error
from holdfast.postgres import encoding
from holdfast.postgres.errors import PermanentSourceError, translate
from holdfast.postgres.server import Connection, LockSession
from holdfast.system.stop import Stop

_MAY = (
    "Restore as a superuser; another role needs CREATEDB, and membership of the roles that own what is restored."
    " Roles it may not restore: make them yourself, then restore each database with --database."
)


def execute(connection: Connection, statement: str | sql.Composed, *, what: str) -> None:
    """Execute one statement. Raise SourceError, saying `what` was tried."""
    try:
        # A text comes from a backup that was authenticated, and holds no values of ours.
        connection.execute(statement.encode() if isinstance(statement, str) else statement)
    except errors.InsufficientPrivilege as error:
        raise PermanentSourceError(translate(error, what).message, hint=_MAY) from error
    except psycopg.Error as error:
        raise translate(error, what) from error


def telling_warnings(connection: Connection, warn: Callable[[str], None]) -> None:
    """Let somebody be told of what the server warns of in this session."""

    def tell(notice: psycopg.errors.Diagnostic) -> None:
        if notice.severity_nonlocalized == "WARNING":
            warn(notice.message_primary or "")

    connection.add_notice_handler(tell)


def cancel(connection: Connection) -> None:
    """End what the session is doing, if it can be: one that is gone already does nothing any more."""
    with suppress(psycopg.Error):
        connection.cancel()


def names(connection: Connection, query: LiteralString, *, what: str) -> frozenset[str]:
    """Give the first column of a query's rows. Raise SourceError, saying `what` was asked."""
    try:
        return frozenset(str(row[0]) for row in connection.execute(query).fetchall())
    except psycopg.Error as error:
        raise translate(error, what) from error


def can_read_role_passwords(connection: Connection) -> bool:
    """Whether pg_dumpall may read the passwords of roles here."""
    query: LiteralString = "SELECT 1 WHERE has_table_privilege('pg_catalog.pg_authid', 'SELECT')"
    return bool(names(connection, query, what="ask for privileges on pg_authid"))


_ROLE_SETTINGS: LiteralString = (
    "SELECT pg_catalog.pg_get_userbyid(setrole)::text, c FROM pg_db_role_setting, pg_catalog.unnest(setconfig) AS u(c)"
    " WHERE setdatabase = 0 AND setrole <> 0 ORDER BY 1, 2"
)


def garbled_settings(connection: Connection) -> tuple[str, ...]:
    """Name the settings of roles, for all databases, that are no UTF-8 in a database that is: pg_dumpall spoils them there."""
    if connection.info.parameter_status("server_encoding") != "UTF8":
        return ()
    try:
        found = encoding.raw_texts(connection, _ROLE_SETTINGS, ())
    except psycopg.Error as error:
        raise translate(error, "read the settings of roles") from error
    told = ((role.decode("utf-8", "replace"), setting.decode("utf-8", "replace")) for role, setting in found)
    return tuple(f"{setting.partition('=')[0]} of {role}" for role, setting in told if "\ufffd" in setting)


@contextmanager
def watched(session: LockSession, stop: Stop, *, seconds: float) -> Iterator[None]:
    """Look every so many seconds whether the lock's session lives, and at the end; request the stop when not."""
    done = threading.Event()

    def watch() -> None:
        while not done.wait(seconds):
            try:
                session.check()
            except Error as error:
                stop.request(error)
                return

    thread = threading.Thread(target=watch, name="lock watch", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
