"""Finds a pooler that lends out backends by the transaction: behind one, no lock or setting of ours is our own."""

from __future__ import annotations

from contextlib import closing
from typing import LiteralString

import psycopg

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.errors import POOLER, PermanentSourceError, translate
from holdfast.postgres.server import Connection, connect

_LABEL = "holdfast pooler check"
_ASKED = 5  # a pooler that lends its backends in turn shows another one soon


def pooled(conn: Connection) -> bool:
    """Whether something stands between us and the backend: it answers with another process than we were told of."""
    return _backend(conn) != conn.info.backend_pid


def transaction_pooling(conninfo: Conninfo) -> bool:
    """Whether sessions share a backend: one moves between them, or two that are open at the same time have the same.

    Raise SourceError, also where transactions are not even allowed.
    """
    try:
        with closing(connect(conninfo, application_name=_LABEL)) as first:
            seen = {_backend(first) for _ in range(_ASKED)}
            with closing(connect(conninfo, application_name=_LABEL)) as second, second.transaction():
                return len(seen) > 1 or _backend(second) in seen
    except psycopg.Error as error:
        raise translate(error, f"looking for a pooler before {conninfo.safe}") from error


def require_own_session(conninfo: Conninfo) -> None:
    """Raise PermanentSourceError when a transaction pooler stands before the server.

    What we and pg_dump set (no limits of time, an empty search_path) would stay on backends that applications use
    next, and our lock would outlive us.
    """
    with closing(connect(conninfo, application_name=_LABEL)) as conn:
        if not pooled(conn):
            return
    if transaction_pooling(conninfo):
        raise PermanentSourceError(
            f"a transaction pooler stands before {conninfo.safe}: this needs a session of its own",
            hint=POOLER,
        )


def _backend(conn: Connection) -> int:
    query: LiteralString = "SELECT pg_backend_pid()"
    try:
        return int(conn.execute(query).fetchall()[0][0])
    except psycopg.Error as error:
        raise translate(error, "asking for the backend") from error
