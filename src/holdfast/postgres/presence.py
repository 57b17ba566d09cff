"""Asks a database which of an archive's entries it has already, by name."""

# ruff: noqa: S608 - every piece is a constant of this file

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import LiteralString

import psycopg

from holdfast.postgres.belonging import INDEXES, Belonging
from holdfast.postgres.entries import Entry
from holdfast.postgres.relation_names import Name
from holdfast.postgres.server import Connection, translate

_BATCH = 10_000
_RELATION, _TYPE, _ROUTINE = "relation", "type", "routine"
_KINDS: Mapping[str, str] = {
    **dict.fromkeys(
        ("TABLE", "PARTITIONED TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW", "SEQUENCE"), _RELATION
    ),
    **dict.fromkeys(("TYPE", "DOMAIN", "SHELL TYPE"), _TYPE),
    **dict.fromkeys(("FUNCTION", "PROCEDURE"), _ROUTINE),
    **dict.fromkeys(("LANGUAGE", "PROCEDURAL LANGUAGE"), "language"),
    **dict.fromkeys(
        (
            "ACCESS METHOD",
            "AGGREGATE",
            "CAST",
            "COLLATION",
            "CONVERSION",
            "EXTENSION",
            "FK CONSTRAINT",
            "FOREIGN DATA WRAPPER",
            "OPERATOR",
            "OPERATOR CLASS",
            "OPERATOR FAMILY",
            "SCHEMA",
            "SERVER",
            "TEXT SEARCH CONFIGURATION",
            "TEXT SEARCH DICTIONARY",
            "TEXT SEARCH PARSER",
            "TEXT SEARCH TEMPLATE",
        ),
        "",
    ),
}

# Names as pg_dump writes them into a tag: a routine's without quotes, its types with their schemas.
_ARGUMENTS: LiteralString = (
    "(SELECT coalesce(string_agg(format_type(t, NULL), ', ' ORDER BY n), '')"
    " FROM pg_catalog.unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a(t, n))"
)
# What is in a schema: kind, schema and name. An aggregate goes without its arguments, an index with its table.
_INSIDE: tuple[LiteralString, ...] = (
    "SELECT 'relation', relnamespace, relname FROM pg_class",
    "SELECT 'type', typnamespace, typname FROM pg_type",
    f"SELECT 'routine', pronamespace, proname || '(' || {_ARGUMENTS} || ')' FROM pg_proc p WHERE oid >= 16384",
    "SELECT 'aggregate', pronamespace, proname FROM pg_proc WHERE prokind = 'a'",
    "SELECT 'fk constraint', relnamespace, relname || ' ' || conname FROM pg_constraint JOIN pg_class c ON c.oid = conrelid",
    "SELECT 'collation', collnamespace, collname FROM pg_collation",
    "SELECT 'conversion', connamespace, conname FROM pg_conversion",
    "SELECT 'operator', oprnamespace, oprname FROM pg_operator",
    "SELECT 'operator class', opcnamespace, opcname FROM pg_opclass",
    "SELECT 'operator family', opfnamespace, opfname FROM pg_opfamily",
    "SELECT 'text search configuration', cfgnamespace, cfgname FROM pg_ts_config",
    "SELECT 'text search dictionary', dictnamespace, dictname FROM pg_ts_dict",
    "SELECT 'text search parser', prsnamespace, prsname FROM pg_ts_parser",
    "SELECT 'text search template', tmplnamespace, tmplname FROM pg_ts_template",
)
_OUTSIDE: tuple[LiteralString, ...] = (
    "SELECT 'schema', nspname FROM pg_namespace",
    "SELECT 'extension', extname FROM pg_extension",
    "SELECT 'server', srvname FROM pg_foreign_server",
    "SELECT 'foreign data wrapper', fdwname FROM pg_foreign_data_wrapper",
    "SELECT 'language', lanname FROM pg_language",
    "SELECT 'access method', amname FROM pg_am",
    "SELECT 'cast', format('CAST (%%s AS %%s)', format_type(castsource, NULL), format_type(casttarget, NULL)) FROM pg_cast",
)
_ASKED: LiteralString = (
    "WITH asked AS (SELECT * FROM ROWS FROM (pg_catalog.unnest(%s::int[]), pg_catalog.unnest(%s::text[]),"
    " pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) AS a(id, kind, space, name))"
)
_QUERY: LiteralString = (
    f"{_ASKED} SELECT id FROM asked JOIN pg_namespace n ON nspname = space"
    f" JOIN ({' UNION ALL '.join(_INSIDE)}) o(kind, space, name)"
    " ON (o.kind, o.space, o.name::text) = (asked.kind, n.oid, asked.name)"
    f" UNION ALL SELECT id FROM asked JOIN ({' UNION ALL '.join(_OUTSIDE)}) o(kind, name)"
    " ON (o.kind, o.name::text) = (asked.kind, asked.name)"
)
# The names of indexes that something else than an index of the same table has.
_TAKEN: LiteralString = (
    f"{_ASKED} SELECT id FROM asked JOIN pg_namespace n ON nspname = space"
    " JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = asked.name"
    " LEFT JOIN pg_index i ON i.indexrelid = c.oid LEFT JOIN pg_class t ON t.oid = i.indrelid"
    " WHERE t.relname IS DISTINCT FROM asked.kind::name"
)


# A partitioned table is dropped with all its partitions, unasked.
_PARTITIONS: LiteralString = (
    "WITH RECURSIVE below AS (SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " JOIN ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) a(space, name)"
    " ON nspname = space AND relname = name WHERE relkind = 'p'"
    " UNION SELECT inhrelid FROM pg_inherits JOIN below ON oid = inhparent)"
    " SELECT nspname::text, relname::text FROM below JOIN pg_class c USING (oid)"
    " JOIN pg_namespace n ON n.oid = relnamespace ORDER BY 1, 2"
)


def partitions(conn: Connection, relations: Sequence[Entry]) -> list[Name]:
    """Name the partitioned tables among relations, and all their partitions that the database has. Raise SourceError."""
    names = [entry.namespace or "" for entry in relations], [entry.tag or "" for entry in relations]
    try:
        return [(str(space), str(name)) for space, name in conn.execute(_PARTITIONS, names).fetchall()]
    except psycopg.Error as error:
        raise translate(error, f"looking for partitions in {conn.info.dbname}") from error


def present(conn: Connection, index: Belonging, entries: Sequence[Entry]) -> frozenset[int]:
    """Give the dump ids of those that the database has: an object of the kind and name, whatever it is made of.

    An aggregate or operator counts by its name alone. An index, or a constraint that has one, counts where its name
    is taken by anything but an index of the same table. Kinds without names of their own are never present. Raise
    SourceError.
    """
    asked = [entry for entry in entries if entry.desc in _KINDS]
    indexes = [entry for entry in entries if entry.desc in INDEXES]
    found: set[int] = set()
    for query, some, kind in ((_QUERY, asked, _kind), (_TAKEN, indexes, index.name_of_owner)):
        for start in range(0, len(some), _BATCH):
            found |= _ask(conn, query, index, some[start : start + _BATCH], kind)
    return frozenset(found)


def _ask(
    conn: Connection,
    query: LiteralString,
    index: Belonging,
    entries: Sequence[Entry],
    kind: Callable[[Entry], str],
) -> set[int]:
    values = (
        [entry.dump_id for entry in entries],
        [kind(entry) for entry in entries],
        [entry.namespace or "" for entry in entries],
        [_name(index, entry) for entry in entries],
    )
    try:
        return {int(number) for (number,) in conn.execute(query, values).fetchall()}
    except psycopg.Error as error:
        raise translate(error, f"looking for what {conn.info.dbname} has already") from error


def _kind(entry: Entry) -> str:
    return _KINDS[entry.desc] or entry.desc.lower()


def _name(index: Belonging, entry: Entry) -> str:
    tag = entry.tag or ""
    if entry.desc == "CONSTRAINT":
        return tag[len(index.name_of_owner(entry)) + 1 :]
    return tag.partition("(")[0] if entry.desc == "AGGREGATE" else tag
