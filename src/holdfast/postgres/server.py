"""Connects to a server, tells what it is, holds the backup lock, and finds who waits behind our locks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import LiteralString

import psycopg
from psycopg import errors
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from holdfast.model.errors import BusyError, SourceError
from holdfast.postgres import encoding, search_path
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.errors import PermanentSourceError, connection_error, translate

__all__ = [
    "Blocked",
    "Connection",
    "DatabaseInfo",
    "LockSession",
    "PermanentSourceError",
    "ServerFacts",
    "backup_lock",
    "blocked_sessions",
    "connect",
    "databases",
    "facts",
    "has_database",
    "pin",
    "translate",
]

Connection = psycopg.Connection[TupleRow]

_KEEPALIVE = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "6",
    "tcp_user_timeout": "90000",
}
# Settings of the owner that would end or change a long, quiet session.
ENDLESS = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "transaction_timeout": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerFacts:
    """What a server is and what our role may do there.

    `version_num` is PostgreSQL's own (150018). `system_identifier` and `data_directory` are None where the role may
    not see them. `pooler` means that something stands between us and the backend.
    """

    version_text: str
    version_num: int
    system_identifier: str | None
    in_recovery: bool
    user: str
    is_superuser: bool
    encoding: str
    data_directory: str | None
    pooler: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseInfo:
    """A database of the server. `size_bytes` is None where the role may not connect to it."""

    name: str
    allow_connections: bool
    is_template: bool
    size_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """A session that waits for a lock that we hold. `waited` in seconds; `relation` None where it is no table."""

    pid: int
    user: str
    database: str
    mode: str
    relation: str | None
    waited: float

    def __str__(self) -> str:
        """Tell of it on one line; never its query, which may hold data."""
        on = f" on {self.relation}" if self.relation else ""
        return f"{self.user}@{self.database} (pid {self.pid}) waits {self.waited:.0f} s for {self.mode}{on}"


def connect(conninfo: Conninfo, *, application_name: str, timeout: float = 30) -> Connection:
    """Connect, in autocommit mode and with UTF-8 as the client's encoding (see `encoding`). Raise SourceError with a hint.

    The search_path is pg_catalog, unless a pooler stands before the server. `timeout` is in seconds and per address;
    a connect_timeout in the url beats it. Statements are never prepared, as some poolers forbid it.
    """
    defaults = _KEEPALIVE | {"connect_timeout": str(max(2, round(timeout)))}
    try:
        conn = psycopg.connect(
            make_conninfo(
                conninfo.dsn(),
                application_name=application_name,
                client_encoding="UTF8",
                **{key: value for key, value in defaults.items() if key not in conninfo.params},
            ),
            autocommit=True,
            prepare_threshold=None,
        )
    except psycopg.Error as error:
        raise connection_error(error, conninfo.safe) from error
    try:
        search_path.pin(conn)
        encoding.settle(conn)
    except psycopg.Error as error:
        conn.close()
        raise translate(error, f"preparing the session with {conninfo.safe}") from error
    return conn


def facts(conn: Connection) -> ServerFacts:
    """Ask the server what it is. Raise SourceError."""
    version = conn.info.server_version
    row = _row(
        conn,
        "SELECT current_setting('server_version'), pg_is_in_recovery(), r.rolname::text, r.rolsuper,"
        " current_setting('server_encoding'), pg_backend_pid() FROM pg_roles r WHERE r.rolname = current_user",
    )
    return ServerFacts(
        version_text=row[0],
        version_num=version,
        system_identifier=_allowed(conn, "SELECT system_identifier::text FROM pg_control_system()"),
        in_recovery=row[1],
        user=row[2],
        is_superuser=row[3],
        encoding=row[4],
        data_directory=_allowed(conn, "SELECT current_setting('data_directory', true)"),
        pooler=row[5] != conn.info.backend_pid,
    )


def databases(conn: Connection) -> tuple[DatabaseInfo, ...]:
    """List the databases in order of their names. Half-dropped ones (16 and later) do not allow connections."""
    query: LiteralString = (
        "SELECT datname::text, datallowconn AND datconnlimit <> -2, datistemplate,"
        " CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END"
        " FROM pg_database ORDER BY datname"
    )
    try:
        rows = conn.execute(query).fetchall()
    except psycopg.Error as error:
        raise translate(error, "listing the databases") from error
    return tuple(
        DatabaseInfo(
            name=name,
            allow_connections=allowed,
            is_template=template,
            size_bytes=size,
        )
        for name, allowed, template, size in rows
    )


def has_database(conn: Connection, name: str) -> bool:
    """Whether the server has a database of this name. Raise SourceError."""
    return bool(_row(conn, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = %s)", (name,))[0])


def pin(conn: Connection, settings: dict[str, str], *, local: bool = False) -> None:
    """Set those of `settings` (named in lower case) that this server knows, for the session or the transaction."""
    try:
        # First and alone, because the owner's limit may be short.
        conn.execute("SET LOCAL statement_timeout = 0" if local else "SET statement_timeout = 0")
        conn.execute(
            "SELECT set_config(s.name, %(new)s::jsonb ->> lower(s.name), %(local)s)"
            " FROM pg_settings s WHERE %(new)s::jsonb ? lower(s.name)",
            {"new": Jsonb(settings), "local": local},
        )
    except psycopg.Error as error:
        raise translate(error, "preparing the session") from error


class LockSession:
    """The session that holds the backup lock; when it is lost, so is the lock."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._pid = self._backend()

    def _backend(self) -> object:
        return self._conn.execute("SELECT pg_backend_pid()").fetchall()[0][0]

    def alive(self) -> bool:
        """Whether the session still answers, from the same backend. May wait for the network, up to 90 s."""
        try:
            return self._backend() == self._pid
        except psycopg.Error:
            return False

    def check(self) -> None:
        """Raise SourceError when the lock is lost."""
        if not self.alive():
            raise SourceError(
                "lost the session that holds the backup lock",
                hint="The server ended it, or the network broke; another host may have started a backup since.",
            )


@contextmanager
def backup_lock(conninfo: Conninfo, key_text: str, application_name: str) -> Iterator[LockSession]:
    """Hold the advisory lock named `key_text` in the conninfo's database. Raise BusyError, naming the holder."""
    key = int.from_bytes(hashlib.sha256(f"holdfast:{key_text}".encode()).digest()[:8], signed=True)
    with connect(conninfo, application_name=application_name) as conn:
        pin(conn, ENDLESS)
        if not _row(conn, "SELECT pg_try_advisory_lock(%s)", (key,))[0]:
            raise BusyError(
                f"{key_text} is being backed up by {_holder(conn, key)}",
                hint="Wait for it to end, then try again.",
            )
        yield LockSession(conn)


def _holder(conn: Connection, key: int) -> str:
    query: LiteralString = (
        "SELECT a.application_name, a.pid, host(a.client_addr), a.backend_start"
        " FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
        " WHERE l.locktype = 'advisory' AND l.objsubid = 1 AND l.granted"
        " AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        " AND l.classid::bigint = %s AND l.objid::bigint = %s"
    )
    try:
        rows = conn.execute(query, ((key >> 32) & 0xFFFFFFFF, key & 0xFFFFFFFF)).fetchall()
    except psycopg.Error as error:
        raise translate(error, "asking who holds the backup lock") from error
    if not rows:
        return "a session that has just ended"
    name, pid, address, since = rows[0]
    started = f" since {since:%Y-%m-%d %H:%M:%S%z}" if isinstance(since, datetime) else ""
    return f"{name or 'a session'} (pid {pid}, from {address or 'a local socket'}{started})"


def blocked_sessions(conn: Connection, application_name: str) -> tuple[Blocked, ...]:
    """Find the sessions that wait for locks of sessions named `application_name`, the longest wait first.

    Tables are named where `conn` is in their database. The time is the server's: since the wait began (14 and
    later), else since the statement did.
    """
    query: LiteralString = (
        "SELECT w.pid, coalesce(w.usename::text, ''), coalesce(w.datname::text, ''), l.mode,"
        " CASE WHEN l.database = d.oid THEN l.relation::regclass::text END,"
        " greatest(extract(epoch FROM clock_timestamp()"
        " - coalesce((pg_catalog.to_jsonb(l) ->> 'waitstart')::timestamptz, w.query_start)), 0)::float8"
        " FROM pg_stat_activity w JOIN pg_locks l ON l.pid = w.pid AND NOT l.granted"
        " JOIN pg_database d ON d.datname = current_database()"
        # Not by wait_event_type: a role without pg_monitor sees none of another role's session.
        " WHERE w.application_name <> %(name)s::name::text"
        " AND EXISTS (SELECT FROM pg_catalog.unnest(pg_blocking_pids(w.pid)) AS b(pid) JOIN pg_stat_activity o USING (pid)"
        " WHERE o.application_name = %(name)s::name::text) ORDER BY 6 DESC"
    )
    try:
        rows = conn.execute(query, {"name": application_name}).fetchall()
    except psycopg.Error as error:
        raise translate(error, "looking for blocked sessions") from error
    return tuple(
        Blocked(
            pid=pid,
            user=user,
            database=database,
            mode=mode,
            relation=relation,
            waited=waited or 0.0,
        )
        for pid, user, database, mode, relation, waited in rows
    )


def _row(conn: Connection, query: LiteralString, values: tuple[object, ...] = ()) -> TupleRow:
    try:
        return conn.execute(query, values or None).fetchall()[0]
    except psycopg.Error as error:
        raise translate(error, "asking the server") from error


def _allowed(conn: Connection, query: LiteralString) -> str | None:
    """Give the one text of a query, or None where the role may not ask. A transaction goes on either way."""
    try:
        with conn.transaction():
            value = conn.execute(query).fetchall()[0][0]
    except errors.InsufficientPrivilege:
        return None
    except psycopg.Error as error:
        raise translate(error, "asking the server") from error
    return None if value is None else str(value)
