"""Looks at a database that a Supabase project is restored into: whether the platform is there, and what it has."""

from __future__ import annotations

from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow

from holdfast.postgres import supabase_names as names
from holdfast.postgres.relation_names import Name
from holdfast.postgres.server import Connection, translate
from holdfast.postgres.supabase_entries import There

_IS_PLATFORM: LiteralString = (
    "SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = 'supabase_admin') AND to_regclass('auth.users') IS NOT NULL"
    " AND to_regclass('storage.objects') IS NOT NULL"
)
_COLUMNS: LiteralString = (
    "SELECT n.nspname::text, c.relname::text,"
    " coalesce(array_agg(a.attname::text) FILTER (WHERE a.attgenerated = ''), '{}')"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
    " WHERE c.relkind IN ('r', 'p') GROUP BY 1, 2"
)
# Who may be made the owner of something: since 16 a membership may be without SET.
_ROLES: LiteralString = "SELECT rolname::text FROM pg_roles WHERE pg_has_role(oid, 'MEMBER')"
_ROLES_16: LiteralString = "SELECT rolname::text FROM pg_roles WHERE pg_has_role(oid, 'SET')"
_V16 = 160000
_OBJECTS: LiteralString = (
    "SELECT kind, n.nspname::text, name::text FROM ("
    " SELECT 'relation' AS kind, 'pg_class'::regclass AS class, oid, relnamespace AS space, relname AS name FROM pg_class"
    " WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"
    " UNION ALL SELECT 'function', 'pg_proc'::regclass, oid, pronamespace, proname FROM pg_proc"
    " UNION ALL SELECT 'type', 'pg_type'::regclass, oid, typnamespace, typname FROM pg_type WHERE typtype IN ('e', 'd', 'r')"
    ") o JOIN pg_namespace n ON n.oid = o.space WHERE o.oid >= 16384"
    " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.oid AND d.deptype = 'e')"
    " ORDER BY 2, 3"
)
_TABLES: LiteralString = (
    "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'r' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1, 2"
)
_SCHEMAS: LiteralString = "SELECT nspname::text FROM pg_namespace"
_EXTENSIONS: LiteralString = "SELECT extname::text FROM pg_extension"
_PUBLICATIONS: LiteralString = "SELECT pubname::text FROM pg_publication"


def is_platform(connection: Connection) -> bool:
    """Whether the database is a Supabase project's. Raise SourceError."""
    return bool(_rows(connection, _IS_PLATFORM)[0][0])


def look(connection: Connection) -> There:
    """Tell what is there. Raise SourceError."""
    roles = _ROLES_16 if connection.info.server_version >= _V16 else _ROLES
    return There(
        schemas=_names(connection, _SCHEMAS),
        tables={
            (schema, table): frozenset(columns) for schema, table, columns in _rows(connection, _COLUMNS)
        },
        roles=_names(connection, roles),
        extensions=_names(connection, _EXTENSIONS),
        publications=_names(connection, _PUBLICATIONS),
    )


def tables(connection: Connection) -> tuple[Name, ...]:
    """Name all tables that hold rows themselves, PostgreSQL's own aside. Raise SourceError."""
    return tuple((schema, name) for schema, name in _rows(connection, _TABLES))


def made_by_owner(connection: Connection) -> tuple[str, ...]:
    """Name what the owner of the project has made there already. Raise SourceError."""
    return tuple(
        f"{kind} {schema}.{name}"
        for kind, schema, name in _rows(connection, _OBJECTS)
        if not names.is_platform(schema)
    )


def _names(connection: Connection, query: LiteralString) -> frozenset[str]:
    return frozenset(str(row[0]) for row in _rows(connection, query))


def _rows(connection: Connection, query: LiteralString) -> list[TupleRow]:
    try:
        return connection.execute(query).fetchall()
    except psycopg.Error as error:
        raise translate(error, f"looking at what is in {connection.info.dbname}") from error
