"""Asks a server whether it has what a restore needs: roles, extensions, tables without rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from holdfast.model.catalog import Table
from holdfast.postgres.server import Connection, translate

_BATCH = 200  # tables in one query, which holds a lock on each until it ends
_ROLES: LiteralString = "SELECT rolname::text FROM pg_roles"
_EXTENSIONS: LiteralString = "SELECT name::text FROM pg_available_extensions"
_SLOTS = sql.SQL(
    "SELECT s.subname::text, s.subslotname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid"
    " WHERE d.datname = {} AND s.subslotname IS NOT NULL ORDER BY 1"
)
_TABLES: LiteralString = (
    "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
)


def missing_roles(conn: Connection, names: Iterable[str]) -> tuple[str, ...]:
    """Name those of the roles that the server lacks. Raise SourceError."""
    return _missing(names, _rows(conn, _ROLES, "listing the roles"))


def missing_extensions(conn: Connection, names: Iterable[str]) -> tuple[str, ...]:
    """Name those of the extensions whose files the server lacks. Raise SourceError."""
    return _missing(names, _rows(conn, _EXTENSIONS, "listing the extensions"))


def slots(conn: Connection, database: str) -> dict[str, str]:
    """The subscriptions of a database that have a replication slot at their publisher, and what it is called. Raise SourceError."""
    rows = _rows(conn, _SLOTS.format(sql.Literal(database)), f"listing the subscriptions of {database}")
    return {str(name): str(slot) for name, slot in rows}


def _missing(names: Iterable[str], rows: list[TupleRow]) -> tuple[str, ...]:
    there = {str(row[0]) for row in rows}
    return tuple(sorted(set(names) - there))


def not_ready_for_rows(conn: Connection, tables: Sequence[Table]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Name those of the tables that are not in the database, and those that hold a row. Raise SourceError."""
    what = f"looking into the tables of {conn.info.dbname}"
    there = {(str(schema), str(name)) for schema, name in _rows(conn, _TABLES, what)}
    present = [table for table in tables if (table.schema, table.name) in there]
    filled: list[str] = []
    for start in range(0, len(present), _BATCH):
        batch = present[start : start + _BATCH]
        query = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {}::int WHERE EXISTS (SELECT FROM ONLY {})").format(
                sql.Literal(place), sql.Identifier(table.schema, table.name)
            )
            for place, table in enumerate(batch)
        )
        filled += [_name(batch[place]) for (place,) in _rows(conn, query, what)]
    absent = tuple(_name(table) for table in tables if (table.schema, table.name) not in there)
    return absent, tuple(filled)


def _name(table: Table) -> str:
    return f"{table.schema}.{table.name}"


def _rows(conn: Connection, query: LiteralString | sql.Composed, what: str) -> list[TupleRow]:
    try:
        return conn.execute(query).fetchall()
    except psycopg.Error as error:
        raise translate(error, what) from error
