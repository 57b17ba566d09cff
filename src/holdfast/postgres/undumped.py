"""Finds what a server holds and no dump does, nor says that it is missing: pg_dump and pg_dumpall pass it over in silence."""

# ruff: noqa: S608 - every piece is a constant of this file

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import LiteralString

import psycopg
from psycopg.rows import TupleRow

from holdfast.model.catalog import LeftOut
from holdfast.model.target import Selection
from holdfast.postgres import queries
from holdfast.postgres.errors import translate
from holdfast.postgres.server import Connection

_FIRST_OWN: LiteralString = "16384"  # FirstNormalObjectId: what has a lower number came with the server
_MOST = 20
_NOT_MARKED = "belongs to the extension {}, which does not mark it for dumps"
_SYSTEMS = "pg_dump leaves out whatever is in a schema of the system's"
_SWITCHED_OFF = (
    "its triggers are switched off (DISABLE TRIGGER ALL), which pg_dump does not write: a restore enforces it"
)
_OF_ALL = "pg_dumpall does not write what ALTER ROLE ALL sets: keep the statement elsewhere"

# Catalogs, the columns that tell the schema, and which of their rows are things of their own.
_KINDS: tuple[tuple[LiteralString, LiteralString, LiteralString], ...] = (
    ("pg_class", "relnamespace", "relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')"),
    ("pg_proc", "pronamespace", "true"),
    ("pg_type", "typnamespace", "typtype IN ('b', 'd', 'e', 'r') AND typcategory <> 'A'"),
    ("pg_operator", "oprnamespace", "true"),
    ("pg_opclass", "opcnamespace", "true"),
    ("pg_collation", "collnamespace", "true"),
    ("pg_conversion", "connamespace", "true"),
    ("pg_ts_config", "cfgnamespace", "true"),
    ("pg_ts_dict", "dictnamespace", "true"),
    ("pg_ts_parser", "prsnamespace", "true"),
    ("pg_ts_template", "tmplnamespace", "true"),
)
_IN_SYSTEM_SCHEMAS: LiteralString = (
    "SELECT i.type, i.identity FROM ("
    + " UNION ALL ".join(
        f"SELECT '{table}'::regclass::oid, oid FROM {table} WHERE oid >= {_FIRST_OWN} AND {condition}"
        f" AND {schema} IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)"
        for table, schema, condition in _KINDS
    )
    + ") o(class, id) CROSS JOIN LATERAL pg_identify_object(o.class, o.id, 0) i WHERE NOT EXISTS (SELECT FROM pg_depend d"
    " WHERE d.classid = o.class AND d.objid = o.id AND d.deptype = 'e') ORDER BY 1, 2"
)
# That of a partition says the same of each.
_SWITCHED_OFF_KEYS: LiteralString = (
    "SELECT DISTINCT c.conrelid, n.nspname || '.' || r.relname || ' ' || c.conname FROM pg_trigger t"
    " JOIN pg_constraint c ON c.oid = t.tgconstraint JOIN pg_class r ON r.oid = c.conrelid"
    " JOIN pg_namespace n ON n.oid = r.relnamespace WHERE t.tgisinternal AND t.tgenabled <> 'O' AND c.contype = 'f' ORDER BY 2"
)
_SETTINGS_OF_ALL: LiteralString = (
    "SELECT split_part(c, '=', 1) FROM pg_db_role_setting CROSS JOIN LATERAL pg_catalog.unnest(setconfig) AS u(c)"
    " WHERE setrole = 0 AND setdatabase = 0 ORDER BY 1"
)
_GENERATED: LiteralString = (
    "SELECT n.nspname::text, c.relname::text, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum)"
    " FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE a.attgenerated = 's' AND c.relkind = 'r' AND NOT a.attisdropped AND n.nspname !~ '^pg_'"
    " AND n.nspname <> 'information_schema' GROUP BY 1, 2 ORDER BY 1, 2"
)


def of_database(conn: Connection, selection: Selection, without: Container[int]) -> Iterator[LeftOut]:
    """Tell of the database that `conn` is in; `without` are the tables (oid) that are left out anyway. Raise SourceError."""
    if not (selection.include_schemas or selection.include_tables):
        found = _asked(conn, _IN_SYSTEM_SCHEMAS)
        for kind, name in found[:_MOST]:
            yield LeftOut(kind=kind, name=name, reason=_SYSTEMS)
        if len(found) > _MOST:
            yield LeftOut(kind="objects", name=f"{len(found) - _MOST} more", reason=_SYSTEMS)
    for name, extension in _asked(conn, queries.OF_EXTENSIONS):
        yield LeftOut(kind="rows", name=name, reason=_NOT_MARKED.format(extension))
    for table, name in _asked(conn, _SWITCHED_OFF_KEYS):
        if table not in without:
            yield LeftOut(kind="state of a foreign key", name=name, reason=_SWITCHED_OFF)


def of_server(conn: Connection) -> Iterator[LeftOut]:
    """Tell of what belongs to the whole server. Values of settings may be secrets, and are not told. Raise SourceError."""
    for (name,) in _asked(conn, _SETTINGS_OF_ALL):
        yield LeftOut(kind="setting of all roles", name=name, reason=_OF_ALL)


def generated(conn: Connection) -> list[TupleRow]:
    """Give the tables with stored generated columns: schema, name, and the columns, quoted. Raise SourceError."""
    return _asked(conn, _GENERATED)


def _asked(conn: Connection, query: LiteralString) -> list[TupleRow]:
    try:
        return conn.execute(query).fetchall()
    except psycopg.Error as error:
        raise translate(error, f"looking in {conn.info.dbname} for what no dump holds") from error
