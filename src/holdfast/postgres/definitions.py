"""Reads how the things of a database are made: a text for each, by which two databases can be compared."""

# ruff: noqa: S608 - every piece is a constant of this file

from __future__ import annotations

import re
from typing import LiteralString

from holdfast.postgres.server import Connection


def _owned(owner: LiteralString, acl: LiteralString, kind: LiteralString) -> LiteralString:
    """Write the expression for an owner and the privileges, in one order and with the default ones spelled out."""
    return (
        f"concat_ws(' ', 'owner', pg_get_userbyid({owner}), (SELECT string_agg(a::text, ',' ORDER BY a::text"
        f' COLLATE "C") FROM pg_catalog.unnest(coalesce({acl}, acldefault({kind}, {owner}))) AS a))'
    )


_COLUMNS: LiteralString = (
    "(SELECT string_agg(concat_ws(' ', quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),"
    " (SELECT collname FROM pg_collation l WHERE l.oid = a.attcollation), CASE WHEN a.attnotnull THEN 'not null' END,"
    " a.attidentity, a.attgenerated, pg_get_expr(v.adbin, v.adrelid)), ', ' ORDER BY a.attnum) FROM pg_attribute a"
    " LEFT JOIN pg_attrdef v ON v.adrelid = a.attrelid AND v.adnum = a.attnum"
    " WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)"
)
_SCHEMA_OWNED = _owned("nspowner", "nspacl", "'n'")
_FUNCTION_OWNED = _owned("proowner", "proacl", "'f'")
_RELATION_OWNED = _owned("relowner", "relacl", "CASE relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END")
_RELATIONS: LiteralString = (
    "SELECT oid, concat_ws(' ', relkind, relpersistence, relrowsecurity, relforcerowsecurity, reloptions::text,"
    f" {_RELATION_OWNED}, CASE WHEN relkind IN ('v', 'm') THEN pg_get_viewdef(oid)"
    f" WHEN relkind <> 'S' THEN {_COLUMNS} END,"
    " CASE WHEN relkind = 'p' THEN pg_get_partkeydef(oid) END, pg_get_expr(relpartbound, oid))"
    " FROM pg_class c WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c')"
)
# That of a constraint is told by the constraint.
_INDEXES: LiteralString = (
    "SELECT indexrelid, pg_get_indexdef(indexrelid) FROM pg_index"
    " WHERE NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = indexrelid"
    " AND d.refclassid = 'pg_constraint'::regclass AND d.deptype = 'i')"
)
_POLICIES: LiteralString = (
    "SELECT oid, concat_ws(' ', polcmd, polpermissive, pg_get_expr(polqual, polrelid),"
    " pg_get_expr(polwithcheck, polrelid)) FROM pg_policy"
)
_FUNCTIONS: LiteralString = (
    f"SELECT oid, concat_ws(' ', {_FUNCTION_OWNED}, CASE WHEN prokind <> 'a' THEN pg_get_functiondef(oid) END)"
    " FROM pg_proc WHERE oid >= 16384"
)
_TYPES: LiteralString = (
    "SELECT oid, concat_ws(' ', typtype, format_type(typbasetype, typtypmod), typdefault,"
    " (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))"
    " FROM pg_type t WHERE typtype IN ('e', 'd', 'r')"
)
# Each catalog, with a query for the numbers of its objects and their definitions.
_KINDS: tuple[tuple[LiteralString, LiteralString], ...] = (
    ("pg_namespace", f"SELECT oid, {_SCHEMA_OWNED} FROM pg_namespace"),
    ("pg_extension", "SELECT oid, extversion FROM pg_extension"),
    ("pg_class", _RELATIONS),
    ("pg_class", _INDEXES),
    ("pg_constraint", "SELECT oid, pg_get_constraintdef(oid) FROM pg_constraint"),
    (
        "pg_trigger",
        "SELECT oid, tgenabled::text || pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal",
    ),
    (
        "pg_rewrite",
        "SELECT oid, ev_enabled::text || pg_get_ruledef(oid) FROM pg_rewrite WHERE rulename <> '_RETURN'",
    ),
    ("pg_policy", _POLICIES),
    ("pg_proc", _FUNCTIONS),
    ("pg_type", _TYPES),
)
_PUBLIC = 2200  # the schema; whatever else has a number below 16384 is PostgreSQL's own


def read_definitions(conn: Connection) -> dict[str, str]:
    """Give the definition of everything but what extensions made, by names such as `index public.orders_pkey`.

    The texts are the server's own, and have to be read with the same search_path to be compared. Raise psycopg.Error.
    """
    union = " UNION ALL ".join(
        f"SELECT '{catalog}'::regclass, k.* FROM ({query}) k(id, definition)" for catalog, query in _KINDS
    )
    query = (
        f"SELECT i.type || ' ' || i.identity, o.definition FROM ({union}) o(class, id, definition)"
        " CROSS JOIN LATERAL pg_identify_object(o.class, o.id, 0) i"
        f" WHERE (o.id >= 16384 OR o.class = 'pg_namespace'::regclass AND o.id = {_PUBLIC})"
        " AND coalesce(i.schema, '') !~ '^pg_' AND i.identity !~ '^pg_(temp|toast)'"
        " AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = o.class AND d.objid = o.id AND d.deptype = 'e')"
    )
    return {
        name: _spelled(text) for name, text in conn.execute(query.encode()).fetchall() if text is not None
    }


def _spelled(text: str) -> str:
    """Bring a list of values, as in `x IN ('a', 'b')`, to one spelling: a restore moves its casts into the list."""
    return _CASTS.sub(lambda found: found[1] or "", text) if "ARRAY[" in text else text


# What stands in quotes stays.
_CASTS = re.compile(r"('(?:[^']|'')*')|::[a-z][a-z ]*(?:\[\])?|[()]")
