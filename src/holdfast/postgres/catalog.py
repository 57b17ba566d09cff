"""Reads what exists in a server, for the catalog of a backup: what a dump will hold, and what it will not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow

from holdfast.model.catalog import Collation, Database, Extension, LeftOut, Named, Subscription, Table
from holdfast.model.errors import SourceError
from holdfast.model.target import Selection
from holdfast.postgres import queries, undumped
from holdfast.postgres.migrations import read_migrations
from holdfast.postgres.patterns import LeftOutBy, left_out_by
from holdfast.postgres.properties import read_properties
from holdfast.postgres.server import Connection, PermanentSourceError, translate
from holdfast.system.stop import Stop

_BATCH = 50
_SECONDS_FOR_ONE = 1.0
_NAMED = 5
_HELP = "GRANT SELECT to the role (on 14 and later: GRANT pg_read_all_data), or exclude the table."
_HELP_ROWS = "Give the role BYPASSRLS, or exclude the table: a dump must not hold only some of the rows."


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterFacts:
    """What belongs to the whole server: roles (PostgreSQL's own aside), and the directory of each tablespace."""

    roles: tuple[str, ...]
    tablespaces: Mapping[str, str]


def read_cluster(conn: Connection) -> ClusterFacts:
    """Read the roles and tablespaces. Raise SourceError."""
    roles = tuple(name for (name,) in _rows(conn, queries.ROLES))
    return ClusterFacts(roles=roles, tablespaces=dict(_rows(conn, queries.TABLESPACES)))


def read_database(
    conn: Connection, selection: Selection, *, name: str, version_num: int, options: Sequence[str] = ()
) -> Database:
    """Read the catalog of the database that `conn`, a session in an exported snapshot, is connected to.

    Tables come without exact counts: see `count_rows`. `options` are the further options of pg_dump, as far as they
    change what it holds; the role among them is the session's until its transaction ends. Raise ConfigError for
    patterns that pg_dump refuses, else SourceError.
    """
    _take_role(conn, options)
    left_out = left_out_by(conn, selection)
    superuser, recovering = _rows(conn, queries.STANDING)[0]
    unlogged = _unlogged_reason(options, recovering=recovering)
    tables = tuple(_table(row, left_out, unlogged) for row in _rows(conn, queries.TABLES))
    sequences = _rows(conn, queries.SEQUENCES)
    large_objects = _rows(conn, queries.LARGE_OBJECTS)[0][0]
    return Database(
        name=name,
        properties=read_properties(conn, name),
        schemas=tuple(row[0] for row in _rows(conn, queries.SCHEMAS)),
        tables=tables,
        sequences=tuple(Named(schema=s, name=n) for _, s, n in sequences),
        large_objects=large_objects,
        extensions=tuple(
            Extension(name=n, version=v, schema=s) for n, v, s in _rows(conn, queries.EXTENSIONS)
        ),
        collations=_collations(conn, version_num),
        subscriptions=tuple(
            Subscription(name=n, enabled=enabled) for n, enabled in _rows(conn, queries.SUBSCRIPTIONS)
        ),
        left_out=(
            *_foreign(tables),
            *undumped.of_database(conn, selection, left_out.tables),
            *(
                LeftOut.value_of(schema, sequence, left_out.data[oid])  # a pattern for rows takes it, too
                for oid, schema, sequence in sequences
                if oid in left_out.data and oid not in left_out.tables
            ),
            *_without_large_objects(selection, options, large_objects),
            *_without_extensions(conn, selection),
            *(() if superuser else _superusers_only(conn)),
        ),
        migrations=read_migrations(conn),
    )


def _take_role(conn: Connection, options: Sequence[str]) -> None:
    """Become, for the transaction, the role that pg_dump reads as."""
    roles = [option.partition("=")[2] for option in options if option.startswith("--role=")]
    for role in roles[-1:]:
        try:
            conn.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        except psycopg.Error as error:
            raise translate(error, f"taking on the role {role!r} of pg_dump_options") from error


def _table(row: TupleRow, left_out: LeftOutBy, unlogged: str | None) -> Table:
    oid, schema, name, kind, persistence, estimate, size, extension, configured = row
    data_left_out = left_out.data.get(oid)
    if extension is not None and not configured:
        data_left_out = f"belongs to the extension {extension}, which makes it anew"
    elif kind == "f":
        data_left_out = "a foreign table's rows stay on their own server"
    elif persistence == "u" and unlogged:
        data_left_out = unlogged
    return Table(
        oid=oid,
        schema=schema,
        name=name,
        kind=kind,
        rows_estimate=estimate,
        bytes=size,
        persistence=persistence,
        extension=extension,
        left_out=left_out.tables.get(oid),
        data_left_out=data_left_out,
    )


def _unlogged_reason(options: Sequence[str], *, recovering: bool) -> str | None:
    if "--no-unlogged-table-data" in options:
        return "rows of unlogged tables are left out by --no-unlogged-table-data"
    return "a standby cannot read the rows of unlogged tables" if recovering else None


def _collations(conn: Connection, version_num: int) -> tuple[Collation, ...]:
    rows = _rows(conn, queries.COLLATIONS_15 if version_num >= queries.V15 else queries.COLLATIONS)
    return tuple(Collation(schema=s, name=n, provider=p, version=v) for s, n, p, v in rows)


def _foreign(tables: Iterable[Table]) -> list[LeftOut]:
    return [
        LeftOut(kind="rows", name=f"{table.schema}.{table.name}", reason=table.data_left_out or "")
        for table in tables
        if table.kind == "f" and table.extension is None and table.left_out is None
    ]


def _without_large_objects(selection: Selection, options: Sequence[str], count: int) -> list[LeftOut]:
    """Tell of large objects that pg_dump skips: with -n or -t it takes them only when asked to."""
    narrowed = selection.include_schemas or selection.include_tables
    wanted = {"-b", "--blobs", "--large-objects"}.intersection(options)
    unwanted = {"-B", "--no-blobs", "--no-large-objects"}.intersection(options)
    if not count or not (unwanted or (narrowed and not wanted)):
        return []
    reason = "left out by " + (
        min(unwanted) if unwanted else "include_schemas or include_tables; the option --blobs adds them"
    )
    return [LeftOut(kind="large objects", name=f"all {count}", reason=reason)]


def _without_extensions(conn: Connection, selection: Selection) -> list[LeftOut]:
    """Tell of extensions that pg_dump skips: with -n or -t it takes none."""
    if not (selection.include_schemas or selection.include_tables):
        return []
    reason = "include_schemas and include_tables leave extensions out"
    names = [name for name, _, _ in _rows(conn, queries.EXTENSIONS) if name != "plpgsql"]
    return [LeftOut(kind="extension", name=name, reason=reason) for name in names]


def _superusers_only(conn: Connection) -> list[LeftOut]:
    """Tell of what pg_dump skips without an error when the role is no superuser."""
    subscriptions = [
        LeftOut(kind="subscription", name=name, reason="pg_dump needs a superuser for subscriptions")
        for name, _ in _rows(conn, queries.SUBSCRIPTIONS)
    ]
    hidden = "its options, such as a password, are hidden from this role"
    mappings = [
        LeftOut(kind="user mapping", name=f"{user} on {server}", reason=hidden)
        for server, user in _rows(conn, queries.HIDDEN_MAPPINGS)
    ]
    return subscriptions + mappings


class _NotToBeHadError(SourceError):
    """A table's lock is not to be had in time, or the table is not there any more."""


def count_rows(
    conn: Connection,
    database: Database,
    *,
    stop: Stop,
    foreign_code: bool = False,
    leave_out: Callable[[str], None] | None = None,
) -> Database:
    """Add exact row counts, in the session's own snapshot: ordinary tables, partitions and filled matviews.

    What the dump leaves out, or leaves the rows out of, is not counted; nor, unless `foreign_code` may run, is a
    table where planning the query would run a function of another role as us. Each batch lets go of its locks. With
    `leave_out` a table that somebody changes or wants to change meanwhile is not counted, and it is told so. Raise
    SourceError, naming the tables, where the role may not read all rows.
    """
    skipped = {oid for (oid,) in _rows(conn, queries.UNCOUNTABLE_MATVIEWS)}
    if not foreign_code:
        skipped |= {oid for (oid,) in _rows(conn, queries.FOREIGN_CODE)}
    wanted = [
        table
        for table in database.tables
        if table.kind in "rm" and not table.left_out and not table.data_left_out and table.oid not in skipped
    ]
    require_readable(conn, database.name, wanted)
    counts: dict[int, int] = {}
    for start in range(0, len(wanted), _BATCH):
        stop.check()
        batch = wanted[start : start + _BATCH]
        counted = _counted(conn, database.name, batch, stop, patient=leave_out is None)
        if leave_out is not None and (missing := [t for t in batch if t.oid not in counted]):
            leave_out(
                f"{database.name}: {_few(missing)}: rows are not counted: others change the table meanwhile"
            )
        counts |= counted
    return replace(
        database,
        tables=tuple(replace(t, rows=counts[t.oid]) if t.oid in counts else t for t in database.tables),
    )


def _counted(
    conn: Connection, database: str, tables: Sequence[Table], stop: Stop, *, patient: bool
) -> dict[int, int]:
    """Count a batch; unless `patient`, leave out the tables that keep the others waiting."""
    try:
        return _count(conn, database, tables, stop)
    except _NotToBeHadError:
        if patient:
            raise
    counts: dict[int, int] = {}
    for table in tables:
        stop.check()
        with suppress(_NotToBeHadError):
            counts |= _count(conn, database, [table], stop, seconds=_SECONDS_FOR_ONE)
    return counts


def _count(
    conn: Connection, database: str, tables: Sequence[Table], stop: Stop, *, seconds: float | None = None
) -> dict[int, int]:
    """Count the tables' rows, without those that were rewritten since the snapshot: to it they look empty."""
    query = sql.SQL(" UNION ALL ").join(
        sql.SQL("SELECT {}::oid, count(*) FROM ONLY {}").format(
            sql.Literal(table.oid), sql.Identifier(table.schema, table.name)
        )
        for table in tables
    )
    try:
        with stop.calling(conn.cancel), conn.transaction(force_rollback=True):
            if seconds is not None:
                conn.execute(
                    sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{seconds * 1000:.0f}ms"))
                )
            counts: dict[int, int] = dict(conn.execute(query).fetchall())
            for (oid,) in conn.execute(queries.REWRITTEN, ([table.oid for table in tables],)).fetchall():
                del counts[oid]
            return counts
    except (errors.LockNotAvailable, errors.UndefinedTable, errors.InvalidSchemaName) as error:
        told = translate(error, f"counting the rows of {database}")
        raise _NotToBeHadError(told.message, hint=told.hint) from error
    except psycopg.Error as error:
        stop.check()
        raise translate(error, f"counting the rows of {database}") from error


def require_readable(conn: Connection, database: str, tables: Sequence[Table]) -> None:
    """Raise SourceError, naming them, when the role may not read some of the tables, or not all of their rows."""
    rows = _rows(conn, queries.READABLE, ([table.oid for table in tables],))
    for column, reason, hint in (
        (1, "permission denied for", _HELP),
        (2, "row-level security hides rows of", _HELP_ROWS),
    ):
        if bad := {row[0] for row in rows if row[column]}:
            named = _few([table for table in tables if table.oid in bad])
            raise PermanentSourceError(f"{database}: {reason} {named}", hint=hint)


def _few(tables: Sequence[Table]) -> str:
    more = f" and {len(tables) - _NAMED} more" if len(tables) > _NAMED else ""
    return ", ".join(f"{table.schema}.{table.name}" for table in tables[:_NAMED]) + more


def unreadable(conn: Connection, selection: Selection, options: Sequence[str] = ()) -> tuple[LeftOut, ...]:
    """Find what the role cannot dump: schemas, tables, sequences, large objects, tables with row-level security.

    pg_dump fails on each of them. What the selection leaves out stands in nobody's way. Raise as `read_database`.
    """
    with conn.transaction():
        _take_role(conn, options)
        return _unreadable(conn, selection, options)


def _unreadable(conn: Connection, selection: Selection, options: Sequence[str]) -> tuple[LeftOut, ...]:
    left_out = list(left_out_by(conn, selection).tables)
    found = [
        LeftOut(kind=kind, name=name, reason=reason)
        for kind, name, reason in _rows(conn, queries.UNREADABLE, (left_out, left_out))
    ]
    count, some = _rows(conn, queries.UNREADABLE_LARGE_OBJECTS)[0]
    if count and not _without_large_objects(selection, options, count):
        more = f" and {count - len(some)} more" if count > len(some) else ""
        name = ", ".join(str(oid) for oid in some) + more
        found.append(LeftOut(kind="large object", name=name, reason="no SELECT privilege"))
    return tuple(found)


def _rows(conn: Connection, query: LiteralString, values: tuple[object, ...] = ()) -> list[TupleRow]:
    try:
        return conn.execute(query, values or None).fetchall()
    except psycopg.Error as error:
        raise translate(error, f"reading the catalog of {conn.info.dbname}") from error
