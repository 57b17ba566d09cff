"""Checks that what was restored makes sense: every index valid, constraints validated, heaps and indexes sound (amcheck)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import LiteralString

import psycopg
from psycopg import errors, sql
from psycopg.rows import TupleRow

from holdfast.model.comparison import Validity
from holdfast.postgres import sessions
from holdfast.postgres.relation_names import shown
from holdfast.postgres.server import Connection, translate
from holdfast.system.stop import Stop

_SCHEMA = "holdfast_amcheck"
_WITH_HEAPS = 140000
_NAMED = 20

# Of an index on a partitioned table validity says only whether each partition has its own; a dump keeps it as it was.
_INDEXES: LiteralString = (
    "SELECT n.nspname::text, c.relname::text, indisvalid AND indisready AND indislive FROM pg_index"
    " JOIN pg_class c ON c.oid = indexrelid JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE c.relkind = 'i' AND n.nspname !~ '^pg_' ORDER BY 1, 2"
)
_CONSTRAINTS: LiteralString = (
    "SELECT n.nspname::text, coalesce(r.relname, t.typname)::text, conname::text, convalidated FROM pg_constraint"
    " LEFT JOIN pg_class r ON r.oid = conrelid LEFT JOIN pg_type t ON t.oid = contypid"
    " JOIN pg_namespace n ON n.oid = coalesce(r.relnamespace, t.typnamespace)"
    " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2, 3"
)
_HEAPS: LiteralString = (
    "SELECT c.oid, n.nspname::text, c.relname::text, true FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " JOIN pg_am a ON a.oid = relam WHERE relkind IN ('r', 'm') AND amname = 'heap' AND n.nspname !~ '^pg_'"
    " AND n.nspname <> 'information_schema' ORDER BY 2, 3"
)
# A plain index was built from its heap a moment ago. Whether one upon an expression or a condition holds what they give
# now is another question: a function that says it is immutable may not be.
_BTREES: LiteralString = (
    "SELECT c.oid, n.nspname::text, c.relname::text, indexprs IS NOT NULL OR indpred IS NOT NULL FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " JOIN pg_am a ON a.oid = relam JOIN pg_index ON indexrelid = c.oid WHERE c.relkind = 'i' AND amname = 'btree'"
    " AND indisvalid AND c.relpersistence <> 't' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " ORDER BY 2, 3"
)
_AVAILABLE: LiteralString = "SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'amcheck')"
_THERE: LiteralString = "SELECT n.nspname::text FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'amcheck'"


def indexes(conn: Connection) -> Validity:
    """Look whether every index can be used. Raise SourceError."""
    rows = _rows(conn, _INDEXES)
    return Validity(
        name="indexes",
        checked=len(rows),
        problems=tuple(
            f"index {shown(schema, name)} is not valid" for schema, name, valid in rows if not valid
        ),
    )


def constraints(conn: Connection) -> tuple[Validity, tuple[str, ...]]:
    """Count the constraints that the server has checked on all rows, and name those that were never validated.

    Such a one is no problem by itself: NOT VALID comes out of the archive, whose definitions are compared.
    """
    rows = _rows(conn, _CONSTRAINTS)
    unchecked = [f"{name} on {shown(schema, on)}" for schema, on, name, validated in rows if not validated]
    return Validity(name="constraints", checked=len(rows) - len(unchecked)), tuple(unchecked)


def amcheck(conn: Connection, stop: Stop) -> tuple[Validity, ...]:
    """Let amcheck look at every heap and B-tree, and whether all rows are in those B-trees whose expressions may lie.

    Whatever it takes for that is rolled back. Raise SourceError.
    `conn` is a superuser's, outside a transaction.
    """
    with _installed(conn) as (functions, refusal):
        if functions is None:
            return tuple(Validity(name=name, checked=0, skipped=refusal) for name in ("heaps", "B-trees"))
        with stop.calling(lambda: sessions.cancel(conn)):
            trees = sql.SQL("SELECT NULL FROM {} AS x(found)").format(
                sql.SQL("{}(%s::oid::regclass, heapallindexed => %s)").format(
                    sql.Identifier(functions, "bt_index_check")
                )
            )
            btrees = _each(conn, "B-trees", _BTREES, trees, stop)
            if conn.info.server_version < _WITH_HEAPS:
                reason = "amcheck looks at heaps since PostgreSQL 14"
                return Validity(name="heaps", checked=0, skipped=reason), btrees
            heaps = sql.SQL("SELECT msg FROM {}(%s::oid::regclass, on_error_stop => %s)").format(
                sql.Identifier(functions, "verify_heapam")
            )
            return _each(conn, "heaps", _HEAPS, heaps, stop), btrees


def _each(conn: Connection, name: str, which: LiteralString, query: sql.Composed, stop: Stop) -> Validity:
    problems: list[str] = []
    found = _rows(conn, which)
    for oid, schema, relation, option in found:
        stop.check()
        try:
            with conn.transaction():
                said = [text for (text,) in conn.execute(query, (oid, option)).fetchall() if text]
        except (errors.IndexCorrupted, errors.DataCorrupted) as error:
            said = [error.diag.message_primary or "it is damaged"]
        except psycopg.Error as error:
            stop.check()
            raise translate(error, f"checking {shown(schema, relation)} with amcheck") from error
        problems += [f"{shown(schema, relation)}: {text}" for text in said]
    return Validity(name=name, checked=len(found), problems=tuple(problems[:_NAMED]))


@contextmanager
def _installed(conn: Connection) -> Iterator[tuple[str | None, str | None]]:
    """Give the schema that amcheck's functions are in, made for the length of a transaction that is rolled back.

    Where it cannot be had, give None, and why.
    """
    there = [schema for (schema,) in _rows(conn, _THERE)]
    ((available,),) = _rows(conn, _AVAILABLE)
    with conn.transaction(force_rollback=True):
        if there:
            yield there[0], None
        elif not available:
            yield None, "the extension amcheck is not installed on this server"
        else:
            refusal = _made(conn)
            yield None if refusal else _SCHEMA, refusal


def _made(conn: Connection) -> str | None:
    try:
        with conn.transaction():
            conn.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(_SCHEMA)))
            conn.execute(sql.SQL("CREATE EXTENSION amcheck SCHEMA {}").format(sql.Identifier(_SCHEMA)))
    except psycopg.Error as error:
        return f"the extension amcheck cannot be made here: {error.diag.message_primary or error}"
    return None


def _rows(conn: Connection, query: LiteralString) -> list[TupleRow]:
    try:
        return conn.execute(query).fetchall()
    except psycopg.Error as error:
        raise translate(error, "looking whether what was restored is valid") from error
