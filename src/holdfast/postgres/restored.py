"""Looks after tables that were just restored into a database in use, and marks the scratch databases of that."""

from __future__ import annotations

from collections.abc import Collection
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from holdfast.postgres.relation_names import Name, shown
from holdfast.postgres.server import Connection, translate
from holdfast.postgres.sessions import execute

SCRATCH = "holdfast_scratch_"
_MARK = "holdfast: a scratch database of a restore, dropped at its end"

_OIDS: LiteralString = (
    "SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = attrelid JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE nspname = %s AND relname = %s AND attnum > 0 AND NOT attisdropped"
    " AND (atttypid = 'oid'::regtype OR atttypid IN (SELECT oid FROM pg_type WHERE typbasetype = 'oid'::regtype))"
)
_DEFAULT_GRANTS: LiteralString = (
    "SELECT DISTINCT pg_get_userbyid(defaclrole)::text FROM pg_default_acl"
    " LEFT JOIN pg_namespace n ON n.oid = defaclnamespace"
    " WHERE defaclobjtype IN ('r', 'S') AND (nspname IS NULL OR nspname = ANY(%s))"
    " AND (pg_get_userbyid(defaclrole) = current_user OR pg_get_userbyid(defaclrole) = ANY(%s)) ORDER BY 1"
)
_TABLES: LiteralString = (
    "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE relkind = 'r' AND relpersistence <> 't'"
)
# A session of ours is in it for as long as it is needed: one without sessions was left behind.
_LEFT: LiteralString = (
    "SELECT datname::text FROM pg_database d WHERE starts_with(datname::text, %s)"
    " AND shobj_description(d.oid, 'pg_database') = %s"
    " AND NOT EXISTS (SELECT FROM pg_stat_activity a WHERE a.datid = d.oid)"
)


def analyze(conn: Connection, name: Name) -> None:
    """Gather the statistics of a table. Raise SourceError."""
    execute(
        conn,
        sql.SQL("ANALYZE {}").format(sql.Identifier(*name)),
        what=f"gathering statistics of {shown(*name)}",
    )


def oid_columns(conn: Connection, name: Name) -> list[str]:
    """Name the columns of a table that may hold the numbers of large objects. Raise SourceError."""
    return _names(conn, _OIDS, name)


def default_grants(conn: Connection, schemas: Collection[str], owners: Collection[str]) -> list[str]:
    """Name the roles, of owners and our own, that have default privileges for tables there. Raise SourceError."""
    return _names(conn, _DEFAULT_GRANTS, (sorted(schemas), sorted(owners)))


def tables(conn: Connection) -> set[Name]:
    """Name the tables that hold rows themselves. Raise SourceError."""
    return {(schema, name) for schema, name in _rows(conn, _TABLES, ())}


def grants_note(role: str, database: str) -> str:
    """Tell of such a role."""
    return (
        f"the default privileges of {shown(None, role)} in {database} may have added to the backup's grants"
    )


def mark_scratch(conn: Connection, name: str) -> None:
    """Comment on a scratch database that it is one. Raise SourceError."""
    words = sql.SQL("COMMENT ON DATABASE {} IS {}").format(sql.Identifier(name), sql.Literal(_MARK))
    execute(conn, words, what="mark the scratch database")


def left_scratches(conn: Connection) -> list[str]:
    """Name the scratch databases that killed runs left behind. Raise SourceError."""
    return _names(conn, _LEFT, (SCRATCH, _MARK))


def _names(conn: Connection, query: LiteralString, values: tuple[object, ...]) -> list[str]:
    return [str(name) for (name,) in _rows(conn, query, values)]


def _rows(conn: Connection, query: LiteralString, values: tuple[object, ...]) -> list[TupleRow]:
    try:
        return conn.execute(query, values).fetchall()
    except psycopg.Error as error:
        raise translate(error, "looking at what was restored") from error
