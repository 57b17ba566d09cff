"""Finds what stands in the way of swapping two databases, or stays behind, before anything is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow

from holdfast.model.errors import BusyError, NotFoundError, SourceError, UsageError
from holdfast.postgres import pooler, unfinished
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.errors import PermanentSourceError, translate
from holdfast.postgres.server import Connection, connect
from holdfast.postgres.statements import quoted_name

_SHOWN = 5
_LABEL = "holdfast swap check"


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A database of the server. `size` is None where the role may not ask; `mine` is whether it may rename it."""

    oid: int
    name: str
    owner: str
    mine: bool
    size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Present:
    """A session. `endable` is whether our role may end it; what the role may not see is None."""

    pid: int
    user: str | None
    application: str | None
    address: str | None
    state: str | None
    endable: bool

    def __str__(self) -> str:
        """Tell who it is on one line; never its query, which may hold data."""
        details = (self.application, self.address, self.state)
        return f"{self.user or 'a server process'} (pid {self.pid}{''.join(f', {text}' for text in details if text)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What a swap meets: the databases, who is connected to the live one, and what stays with it (each a sentence)."""

    live: Found
    other: Found | None
    sessions: tuple[Present, ...]
    notes: tuple[str, ...]


def people(sessions: Sequence[Present]) -> str:
    """Name sessions, the first few; empty for none."""
    more = f" and {len(sessions) - _SHOWN} more" if len(sessions) > _SHOWN else ""
    return ", ".join(map(str, sessions[:_SHOWN])) + more


def by_application(sessions: Sequence[Present]) -> dict[str, int]:
    """Count sessions by user and application, the most numerous first."""
    names = (
        f"{each.user or 'a server process'}{f' ({each.application})' if each.application else ''}"
        for each in sessions
    )
    return dict(Counter(names).most_common())


def elsewhere(where: Conninfo, *names: str) -> Conninfo:
    """Give the way to a database of the server that is none of these. Raise SourceError where there is no such.

    `postgres` is tried first: the url may name the very database that nobody can connect to any more.
    """
    where = where.at_server()
    if "postgres" not in names:
        common = where.with_database("postgres")
        with suppress(SourceError):
            pooler.require_own_session(common)
            return common
    query: LiteralString = (
        "SELECT datname::text FROM pg_database WHERE datallowconn AND datconnlimit <> -2 AND datname <> ALL(%s)"
        " AND has_database_privilege(oid, 'CONNECT') ORDER BY datistemplate, datname LIMIT 1"
    )
    pooler.require_own_session(where)
    with closing(connect(where, application_name=_LABEL)) as conn:
        found = _rows(conn, query, (list(names),))
    if not found:
        raise PermanentSourceError(
            f"the server of {where.safe} has no other database from which {names[0]!r} could be swapped",
            hint="Create one that this role may connect to, such as: CREATE DATABASE postgres;",
        )
    return where.with_database(found[0][0])


def examine(conn: Connection, live: str, other: str | None = None) -> Situation:
    """Look at a swap from a third database. `other` is None where it is yet to be made.

    Raise NotFoundError, UsageError, BusyError or SourceError for whatever would keep it from happening.
    """
    found = _find(conn, live)
    second = None if other is None else _find(conn, other)
    if other in unfinished.half_restored(conn):
        raise UsageError(
            f"{other!r} is only half restored: that is under way, or died",
            hint="Wait for it; or drop it, and restore anew.",
        )
    both = [each for each in (found, second) if each is not None]
    _require_rights(conn, both)
    _require_no_prepared(conn, both)
    _require_no_subscription(conn, both)
    present = in_the_way(conn, [each.oid for each in both])
    if held := [each for each in present if not each.endable]:
        raise PermanentSourceError(
            f"sessions that this role may not end are connected to {live!r}: {people(held)}",
            hint="Let them leave first, or connect as a superuser; GRANT pg_signal_backend lets another role end the"
            " sessions of all but superusers.",
        )
    return Situation(live=found, other=second, sessions=present, notes=tuple(_notes(conn, found)))


def _find(conn: Connection, name: str) -> Found:
    rows = _rows(conn, _DATABASE, (name,))
    if not rows:
        raise NotFoundError(
            f"the server has no database {name!r}", hint="`psql --list` shows those that it has."
        )
    oid, owner, template, mine, size = rows[0]
    if template:
        raise UsageError(
            f"{name!r} is a template: new databases are copies of it, and nobody works in it",
            hint=f"ALTER DATABASE {quoted_name(name)} IS_TEMPLATE false makes it an ordinary one.",
        )
    return Found(oid=oid, name=name, owner=owner, mine=mine, size=size)


_DATABASE: LiteralString = (
    "SELECT d.oid, pg_get_userbyid(datdba)::text, datistemplate, pg_has_role(datdba, 'USAGE'),"
    " CASE WHEN has_database_privilege(d.oid, 'CONNECT') THEN pg_database_size(d.oid) END"
    " FROM pg_database d WHERE datname = %s"
)


def names(conn: Connection) -> frozenset[str]:
    """Give the names of all databases. Raise SourceError."""
    return frozenset(name for (name,) in _rows(conn, "SELECT datname::text FROM pg_database"))


def unused(conn: Connection, candidates: Sequence[str]) -> tuple[str, ...]:
    """Give those of these databases that nobody is connected to. Raise SourceError."""
    query: LiteralString = (
        "SELECT datname::text FROM pg_database d WHERE datname = ANY(%s)"
        " AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid) ORDER BY 1"
    )
    return tuple(name for (name,) in _rows(conn, query, (list(candidates),)))


def _require_rights(conn: Connection, databases: Sequence[Found]) -> None:
    query: LiteralString = "SELECT rolname::text, rolsuper, rolcreatedb, pg_is_in_recovery() FROM pg_roles WHERE rolname = current_user"
    ((role, superuser, creates, recovering),) = _rows(conn, query)
    if recovering:
        raise PermanentSourceError(
            "the server is a standby: it cannot be changed", hint="Restore into the primary."
        )
    if not (superuser or creates):
        raise PermanentSourceError(
            f"the role {role!r} may not rename databases: it lacks CREATEDB",
            hint=f"ALTER ROLE {quoted_name(role)} CREATEDB, or connect as a superuser.",
        )
    for each in databases:
        if not each.mine:
            raise PermanentSourceError(
                f"the role {role!r} may not rename the database {each.name!r}, which belongs to {each.owner!r}",
                hint=f"GRANT {quoted_name(each.owner)} TO {quoted_name(role)}, or connect as a superuser.",
            )


def _require_no_prepared(conn: Connection, databases: Sequence[Found]) -> None:
    query: LiteralString = (
        "SELECT gid, owner::text, database::text, prepared::timestamptz(0)::text FROM pg_prepared_xacts"
        " WHERE database = ANY(%s) ORDER BY prepared"
    )
    rows = _rows(conn, query, ([each.name for each in databases],))
    if rows:
        told = ", ".join(
            f"{gid!r} in {database} by {owner}, {at}" for gid, owner, database, at in rows[:_SHOWN]
        )
        literal = rows[0][0].replace("'", "''")
        raise BusyError(
            f"prepared transactions keep the database from being renamed: {told}",
            hint=f"Finish each as its owner, in its database: ROLLBACK PREPARED '{literal}' (or COMMIT PREPARED).",
        )


def _require_no_subscription(conn: Connection, databases: Sequence[Found]) -> None:
    query: LiteralString = (
        "SELECT s.subname::text, d.datname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
        " WHERE s.subenabled AND d.oid = ANY(%s) ORDER BY 2, 1"
    )
    for subscription, database in _rows(conn, query, ([each.oid for each in databases],)):
        raise PermanentSourceError(
            f"the subscription {subscription!r} would go on to write into what is {database!r} now, whatever its name",
            hint=f"In it, run ALTER SUBSCRIPTION {quoted_name(subscription)} DISABLE, then try again.",
        )


def in_the_way(conn: Connection, oids: Sequence[int]) -> tuple[Present, ...]:
    """Give the sessions of these databases, and those that hold a lock on one. Raise SourceError."""
    return tuple(
        Present(pid=pid, user=user, application=application, address=address, state=state, endable=endable)
        for pid, user, application, address, state, endable in _rows(conn, _PRESENT, (list(oids), list(oids)))
    )


# Processes without a user of their own, such as autovacuum's, leave by themselves when the server asks them to.
_PRESENT: LiteralString = (
    "SELECT a.pid, a.usename::text, nullif(a.application_name, ''), host(a.client_addr), a.state,"
    " a.usesysid IS NULL OR me.rolsuper OR (NOT coalesce(r.rolsuper, true)"
    " AND (pg_has_role(a.usesysid, 'USAGE') OR pg_has_role('pg_signal_backend', 'USAGE')))"
    " FROM pg_stat_activity a LEFT JOIN pg_roles r ON r.oid = a.usesysid,"
    " (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) me"
    " WHERE a.pid <> pg_backend_pid() AND (a.datid = ANY(%s) OR EXISTS (SELECT FROM pg_locks l WHERE l.pid = a.pid"
    " AND l.locktype = 'object' AND l.classid = 'pg_database'::regclass AND l.objid = ANY(%s) AND l.granted))"
    " ORDER BY a.backend_start"
)


def _notes(conn: Connection, live: Found) -> Iterator[str]:
    """Tell of what goes with the live database when it leaves its name."""
    slots: LiteralString = "SELECT slot_name::text FROM pg_replication_slots WHERE database = %s ORDER BY 1"
    for (slot,) in _rows(conn, slots, (live.name,)):
        literal = slot.replace("'", "''")
        yield (
            f"the replication slot {slot} stays with the old database, and keeps WAL for it: its reader has to begin"
            f" anew in the new one; then run: SELECT pg_drop_replication_slot('{literal}');"
        )
    subscriptions: LiteralString = "SELECT subname::text FROM pg_subscription WHERE subdbid = %s ORDER BY 1"
    for (subscription,) in _rows(conn, subscriptions, (live.oid,)):
        yield f"the subscription {subscription}, which is disabled, stays with the old database"


def _rows(conn: Connection, query: LiteralString, values: tuple[object, ...] = ()) -> list[TupleRow]:
    try:
        return conn.execute(query, values or None).fetchall()
    except psycopg.Error as error:
        raise translate(error, "looking at the databases to swap") from error
