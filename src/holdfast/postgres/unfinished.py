"""Marks a database while it is being restored, so that one which a killed run left behind is known for what it is."""

from __future__ import annotations

from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from holdfast.postgres.server import Connection, translate

_PREFIX = "holdfast: half restored from backup "
_MARKED: LiteralString = (
    "SELECT d.datname::text, substring(c.text FROM 'session (\\d+)$')::int FROM pg_database d"
    " CROSS JOIN LATERAL shobj_description(d.oid, 'pg_database') AS c(text)"
    " WHERE starts_with(c.text, %s) ORDER BY 1"
)
_SESSIONS: LiteralString = (
    "SELECT pid FROM pg_stat_activity WHERE application_name = current_setting('application_name')"
)


def mark(conn: Connection, name: str, backup_id: str) -> None:
    """Comment on a database that this session restores it. Raise SourceError."""
    _comment(conn, name, f"{_PREFIX}{backup_id} by session {conn.info.backend_pid}")


def clear(conn: Connection, name: str) -> None:
    """Take the mark away, and no other comment. Raise SourceError."""
    if name in _marked(conn):
        _comment(conn, name, None)


def half_restored(conn: Connection) -> frozenset[str]:
    """Name the databases that are being restored, or whose restore died. Raise SourceError."""
    return frozenset(_marked(conn))


def left_behind(conn: Connection) -> tuple[str, ...]:
    """Name the databases whose restore died: they are marked, and the session that did it is gone. Raise SourceError."""
    found = _marked(conn)
    alive = {int(pid) for (pid,) in _rows(conn, _SESSIONS)} if found else set()
    return tuple(name for name, pid in found.items() if pid not in alive)


def _marked(conn: Connection) -> dict[str, int | None]:
    return {str(name): pid for name, pid in _rows(conn, _MARKED, (_PREFIX,))}


def _rows(conn: Connection, query: LiteralString, values: tuple[str, ...] = ()) -> list[TupleRow]:
    try:
        return conn.execute(query, values or None).fetchall()
    except psycopg.Error as error:
        raise translate(error, "looking for databases left half restored") from error


def _comment(conn: Connection, name: str, text: str | None) -> None:
    statement = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(text))
    try:
        conn.execute(statement)
    except psycopg.Error as error:
        raise translate(error, f"marking the database {name!r}") from error
