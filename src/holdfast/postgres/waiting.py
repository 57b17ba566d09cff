"""Ends what waits too long for a lock that somebody else holds: a program that restores sets no limit of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import LiteralString

import psycopg

from holdfast.model.errors import Error, SourceError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.server import ENDLESS, Connection, connect, pin, translate
from holdfast.system.stop import Stop

_HOLDERS: LiteralString = (
    "SELECT DISTINCT b.pid, h.usename::text, coalesce(h.application_name, ''), coalesce(h.state, '?')"
    " FROM pg_stat_activity w CROSS JOIN LATERAL pg_catalog.unnest(pg_blocking_pids(w.pid)) AS b(pid)"
    " LEFT JOIN pg_stat_activity h ON h.pid = b.pid"
    " WHERE w.datname = %(database)s AND w.application_name = %(waiter)s"
    " AND coalesce(h.application_name, '') <> %(waiter)s ORDER BY 1"
)
_WITH_NOTICE = 140000
_HINT = "End those sessions, or wait until they are done, and restore again."


# A backend whose client was killed goes on: it waits for its lock, and everybody behind it waits, too.
_NOTICE: dict[str, str] = {"client_connection_check_interval": "1s"}


def noticing_loss(conn: Connection) -> dict[str, str]:
    """Give the settings by which a session ends soon after its client died; none where the server knows none.

    PostgreSQL 14 and later do, on most systems.
    """
    try:
        pin(conn, _NOTICE)
    except Error:
        return {}
    return _NOTICE if conn.info.server_version >= _WITH_NOTICE else {}


@contextmanager
def patient(where: Conninfo, *, waiter: str, seconds: float, stop: Stop) -> Iterator[Stop]:
    """Give a token that is requested when sessions called `waiter` wait longer than so many seconds for others.

    They are looked for in the database of `where`. The reason of the request names who holds them up.
    """
    with closing(connect(where, application_name=f"{waiter} watch")) as conn, stop.derived() as limited:
        pin(conn, ENDLESS)
        done = threading.Event()
        thread = threading.Thread(
            target=_watch, args=(conn, waiter, seconds, limited, done), name="lock patience", daemon=True
        )
        thread.start()
        try:
            yield limited
        finally:
            done.set()
            thread.join()


def _watch(conn: Connection, waiter: str, seconds: float, stop: Stop, done: threading.Event) -> None:
    step, waited = min(seconds / 4, 5.0), 0.0
    while not done.wait(step):
        try:
            holders = _holders(conn, waiter)
        except Error:
            return  # the server is gone, which the program itself will tell
        waited = waited + step if holders else 0.0
        if holders and waited >= seconds:
            stop.request(
                SourceError(
                    f"database {conn.info.dbname!r}: waited {seconds:.0f} s for a lock that others hold:"
                    f" {', '.join(holders)}",
                    hint=_HINT,
                )
            )
            return


def _holders(conn: Connection, waiter: str) -> list[str]:
    try:
        rows = conn.execute(_HOLDERS, {"database": conn.info.dbname, "waiter": waiter}).fetchall()
    except psycopg.Error as error:
        raise translate(error, "looking for who holds a lock") from error
    return [
        f"{user or 'somebody'} with {application or 'no name'} (pid {pid}, {state})"
        if pid
        else "a prepared transaction"  # it has no process
        for pid, user, application, state in rows
    ]
