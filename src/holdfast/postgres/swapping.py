"""Puts one database in another's place: ends the sessions of both and renames both, in one transaction."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import LiteralString

import psycopg
from psycopg import errors, sql

from holdfast.model.errors import BusyError, Error, SourceError
from holdfast.postgres import sessions
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.server import ENDLESS, Connection, connect, pin, translate
from holdfast.postgres.swap_checks import in_the_way, people
from holdfast.system.stop import Stop

LABEL = "holdfast swap"
_ATTEMPTS = 3
_CHARACTER = 4  # bytes at most
_EVERY = 0.02  # seconds between two looks for sessions to end
_SETTINGS = ENDLESS | {
    # New connections queue behind us while we wait for the lock.
    "lock_timeout": "3s",
    "default_transaction_read_only": "off",
    "synchronous_commit": "on",
    # Should we die while it waits: 14 and later notice.
    "client_connection_check_interval": "1s",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """`other` takes the place of `live`, which is called `keep` from then on. The numbers are their OIDs."""

    live: str
    live_oid: int
    other: str
    other_oid: int
    keep: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Swapped:
    """How a swap went: how many sessions were ended, and for how many seconds new connections had to wait at most."""

    ended: int
    blocked_seconds: float


@dataclass(slots=True)
class _Ended:
    """The sessions that were ended, by process number; `error` is why no more could be."""

    pids: set[int] = field(default_factory=set)
    error: psycopg.Error | None = None


def new_name(name: str, word: str, now: datetime, *, longest: int, taken: frozenset[str]) -> str:
    """Give a name that is free: `shop_before_20261122T203015`, with a number behind it where that is taken.

    The first piece is cut so that the whole fits into `longest` bytes.
    """
    number = 1
    while (found := _fitting(name, _end_of_name(word, now, number), longest)) in taken:
        number += 1
    return found


def has_such_name(candidate: str, name: str, word: str, *, longest: int) -> bool:
    """Whether `new_name` may have given this name for the database `name`, at some time."""
    found = re.fullmatch(rf"(.*)_{word}_\d{{8}}T\d{{6}}(_\d+)?", candidate, re.DOTALL)
    if found is None:
        return False
    full = len(candidate.encode("utf-8", "surrogateescape")) > longest - _CHARACTER
    return found[1] == name or (full and name.startswith(found[1]))


def _end_of_name(word: str, now: datetime, number: int) -> str:
    return f"_{word}_{now.astimezone(UTC):%Y%m%dT%H%M%S}" + (f"_{number}" if number > 1 else "")


def _fitting(start: str, end: str, longest: int) -> str:
    while len((start + end).encode("utf-8", "surrogateescape")) > longest:
        start = start[:-1]
    return start + end


def swap(where: Conninfo, pair: Pair, stop: Stop) -> Swapped:
    """Rename `live` to `keep` and `other` to `live`. `where` is a third database of the server.

    The server does both renames or none, whatever becomes of us: they are one message, which it carries out without
    waiting for more. Raise BusyError, naming them, where sessions are not to be got rid of; else SourceError.
    """
    with (
        closing(connect(where, application_name=LABEL)) as conn,
        closing(connect(where, application_name=f"{LABEL} sessions")) as ender,
    ):
        pin(conn, _SETTINGS)
        pin(ender, ENDLESS)
        ended: set[int] = set()
        longest = 0.0
        for left in reversed(range(_ATTEMPTS)):
            stop.check()
            began = time.monotonic()
            with _ending(ender, pair, conn.info.backend_pid) as result:
                trouble = _renamed(conn, pair, stop, where)
            ended |= result.pids
            longest = max(longest, time.monotonic() - began)
            if trouble is None:
                return Swapped(ended=len(ended), blocked_seconds=longest)
            if result.error is not None:
                raise translate(result.error, f"ending the sessions of database {pair.live!r}") from trouble
            if not left:
                raise _busy(ender, pair) from trouble
        raise AssertionError("the last attempt returns or raises")


def _renamed(conn: Connection, pair: Pair, stop: Stop, where: Conninfo) -> psycopg.Error | None:
    """Rename both. Return the error where somebody was in the way; raise any other as SourceError."""
    statement = sql.SQL(
        "ALTER DATABASE {live} RENAME TO {keep}; ALTER DATABASE {other} RENAME TO {live}"
    ).format(live=sql.Identifier(pair.live), keep=sql.Identifier(pair.keep), other=sql.Identifier(pair.other))
    try:
        with stop.calling(lambda: sessions.cancel(conn)):
            conn.execute(statement)
    except (errors.ObjectInUse, errors.LockNotAvailable, errors.DeadlockDetected) as error:
        return error
    except psycopg.Error as error:
        # Without an answer it may have happened all the same.
        if not (conn.closed and _is_done(where, pair)):
            stop.check()
            raise translate(error, f"renaming the databases {pair.live!r} and {pair.other!r}") from error
    return None


def _is_done(where: Conninfo, pair: Pair) -> bool:
    """Whether the swap has taken place. Raise SourceError where the server cannot be asked."""
    query: LiteralString = "SELECT datname::text FROM pg_database WHERE oid = %s"
    try:
        with closing(connect(where, application_name=LABEL)) as conn:
            return conn.execute(query, (pair.other_oid,)).fetchall() == [(pair.live,)]
    except (psycopg.Error, SourceError) as error:
        raise SourceError(
            f"lost the server while {pair.live!r} was swapped: {error}",
            hint=f"Either all of it happened or nothing: it did if there is a database {pair.keep!r} now.",
        ) from error


@contextmanager
def _ending(conn: Connection, pair: Pair, renamer: int) -> Iterator[_Ended]:
    """End the sessions of both databases whenever the session `renamer` keeps new ones out, until the `with` ends."""
    result, done = _Ended(), threading.Event()

    def work() -> None:
        try:
            while not done.is_set():
                result.pids |= _end(conn, pair, renamer)
                done.wait(_EVERY)
        except psycopg.Error as error:
            result.error = error

    thread = threading.Thread(target=work, name="end sessions", daemon=True)
    thread.start()
    try:
        yield result
    finally:
        done.set()
        thread.join()


# By number and name, and under the lock: before that, they would come again, and as soon as the swap is done, they are
# nobody's any more. What is selected is computed for the rows that are left; in the condition, a planner might ask for
# the end of others first.
_END: LiteralString = (
    "SELECT a.pid, pg_terminate_backend(a.pid) FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid,"
    " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) me"
    " WHERE ((a.datid = %s AND a.datname = %s) OR (a.datid = %s AND a.datname = %s))"
    " AND EXISTS (SELECT FROM pg_locks l WHERE l.pid = %s AND l.locktype = 'object' AND l.objid = %s"
    " AND l.classid = 'pg_database'::regclass AND l.mode = 'AccessExclusiveLock' AND l.granted)"
    " AND (me.rolsuper OR (NOT coalesce(r.rolsuper, true)"
    " AND (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE'))))"
)


def _end(conn: Connection, pair: Pair, renamer: int) -> set[int]:
    values = (pair.live_oid, pair.live, pair.other_oid, pair.other, renamer, pair.live_oid)
    return {pid for pid, told in conn.execute(_END, values).fetchall() if told}


def _busy(conn: Connection, pair: Pair) -> Error:
    found = in_the_way(conn, (pair.live_oid, pair.other_oid))
    return BusyError(
        f"sessions of database {pair.live!r} do not end, so it was not swapped: {people(found) or 'gone by now'}",
        hint="It is in place and open. Stop what connects there, then try again; the server's log tells of a process"
        " that does not end.",
    )
