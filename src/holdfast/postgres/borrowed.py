"""Databases that restore tests make on a server of the owner's: holds the server alone, marks them, finds forgotten ones."""

from __future__ import annotations

import hashlib
import secrets
from typing import LiteralString

import psycopg
from psycopg import sql

from holdfast.postgres.server import Connection, translate
from holdfast.postgres.sessions import execute

HOME = "postgres"  # where the server is held: a lock is of one database
MARK = "holdfast: a database of a restore test, dropped at its end"
_PREFIX = "holdfast_test_"
_KEY = int.from_bytes(hashlib.sha256(b"holdfast: restore test").digest()[:8], signed=True)
# Whoever holds the server finds none in use: those that were marked by others were left behind.
_FOUND: LiteralString = (
    "SELECT datname::text FROM pg_database d WHERE starts_with(datname::text, %s)"
    " AND (coalesce(shobj_description(d.oid, 'pg_database'), '') = %s) = %s ORDER BY 1"
)


def hold(conn: Connection) -> bool:
    """Take the lock of restore tests, for as long as the session lives; False where another has it. Raise SourceError."""
    return bool(_first(conn, "SELECT pg_try_advisory_lock(%s)", (_KEY,))[0])


def new_name() -> str:
    """Give a name that no other database has."""
    return _PREFIX + secrets.token_hex(8)


def mark(conn: Connection, name: str) -> None:
    """Comment on a database that it is one of ours. Raise SourceError."""
    words = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(MARK))
    execute(conn, words, what="mark the database of the restore test")


def left_behind(conn: Connection) -> list[str]:
    """Name the databases that killed tests left: the name and the mark are ours. Raise SourceError."""
    return _first(conn, _FOUND, (_PREFIX, MARK, True))


def alike(conn: Connection) -> list[str]:
    """Name those that are called like ours, and have no mark. Raise SourceError."""
    return _first(conn, _FOUND, (_PREFIX, MARK, False))


def _first(conn: Connection, query: LiteralString, values: tuple[object, ...]) -> list[str]:
    try:
        return [value for (value,) in conn.execute(query, values).fetchall()]
    except psycopg.Error as error:
        raise translate(error, "looking after the databases of restore tests") from error
