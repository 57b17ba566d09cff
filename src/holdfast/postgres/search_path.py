"""Pins a session's search_path, so that the names in its statements mean PostgreSQL's own things."""

from __future__ import annotations

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow

# In one message, and without a limit first: the owner's may be a millisecond.
_OWN = sql.SQL(
    "BEGIN; SET LOCAL statement_timeout = 0; SELECT pg_catalog.set_config('search_path', 'pg_catalog', false),"
    " pg_catalog.set_config('statement_timeout', '0', false),"
    " pg_catalog.set_config('idle_in_transaction_session_timeout', '0', false)"
    " WHERE pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) {}; COMMIT"
)


def pin(conn: psycopg.Connection[TupleRow]) -> None:
    """Set the search_path to pg_catalog, as pg_dump does: a function planted in `public` might run as us.

    Not behind a pooler, which would lend the setting out to others. Raise psycopg.Error.
    """
    statement = _OWN.format(conn.info.backend_pid)
    try:
        conn.execute(statement)
    except errors.QueryCanceled:  # a backend's first statement is its slowest
        conn.rollback()
        conn.execute(statement)
