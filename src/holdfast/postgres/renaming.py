"""Gives relations of a database other names or another schema, and with them their indexes, keys and sequences."""

# ruff: noqa: S608 - every piece is a constant of this file

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from typing import LiteralString

import psycopg
from psycopg import sql

from holdfast.postgres import encoding
from holdfast.postgres.relation_names import Name, shown
from holdfast.postgres.server import Connection, translate

LONGEST = 63  # bytes of a name; NAMEDATALEN of PostgreSQL less one

# Relations share their names with types; statistics have a space of their own, and are kept apart from both here.
_TAKEN: LiteralString = (
    "SELECT nspname::text, name::text FROM (SELECT relnamespace, relname FROM pg_class"
    " UNION ALL SELECT typnamespace, typname FROM pg_type"
    " UNION ALL SELECT stxnamespace, stxname FROM pg_statistic_ext) o(space, name)"
    " JOIN pg_namespace n ON n.oid = space WHERE nspname = ANY(%s)"
)
_OF: LiteralString = (
    "WITH RECURSIVE named AS (SELECT c.oid, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " JOIN ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) a(space, name)"
    " ON nspname = space AND relname = name)"
)
# With a NOT NULL those of all children get the new name, too (18): where one has another name, that cannot be.
_PARTS: LiteralString = (
    f"{_OF}, below(top, oid) AS (SELECT oid, oid FROM named UNION SELECT top, inhrelid FROM below JOIN pg_inherits"
    " ON inhparent = below.oid) SELECT named.nspname::text, relname::text, kind, s.nspname::text, name::text FROM named JOIN ("
    " SELECT 'INDEX', indrelid, relnamespace, c.relname FROM pg_index JOIN pg_class c ON c.oid = indexrelid"
    " UNION ALL SELECT 'SEQUENCE', refobjid, relnamespace, c.relname FROM pg_depend JOIN pg_class c ON c.oid = objid"
    " AND relkind = 'S' WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i')"
    " UNION ALL SELECT 'STATISTICS', stxrelid, stxnamespace, stxname FROM pg_statistic_ext"
    " UNION ALL SELECT 'CONSTRAINT', conrelid, connamespace, conname FROM pg_constraint"
    " k WHERE contype IN ('c', 'f', 'n') AND coninhcount = 0 AND (contype <> 'n' OR connoinherit OR NOT EXISTS (SELECT FROM below b"
    " WHERE b.top = k.conrelid AND NOT EXISTS (SELECT FROM pg_constraint o WHERE o.conrelid = b.oid AND o.contype = 'n'"
    " AND o.conname = k.conname)))"
    ") p(kind, oid, space, name) USING (oid) JOIN pg_namespace s ON s.oid = p.space ORDER BY 1, 2, 3, 5"
)
_PARENTS: LiteralString = (
    f"{_OF} SELECT c.nspname::text, c.relname::text, n.nspname::text, p.relname::text FROM named c"
    " JOIN pg_inherits ON inhrelid = c.oid JOIN pg_class p ON p.oid = inhparent JOIN pg_namespace n ON n.oid = p.relnamespace"
    " WHERE p.relkind <> 'p' AND p.oid NOT IN (SELECT oid FROM named)"
)
_USERS: LiteralString = (
    "SELECT DISTINCT rolname::text FROM pg_namespace CROSS JOIN aclexplode(coalesce(nspacl, acldefault('n', nspowner)))"
    " LEFT JOIN pg_roles r ON r.oid = grantee WHERE nspname = %s AND privilege_type = 'USAGE'"
)
_EXTENSIONS: LiteralString = "SELECT extname::text FROM pg_extension JOIN pg_namespace n ON n.oid = extnamespace WHERE nspname = %s ORDER BY 1"
# Only a superuser may; where there is none of these, nobody has to.
_RELOCATABLE: LiteralString = (
    "UPDATE pg_extension SET extrelocatable = true WHERE extname = ANY(%s) AND NOT extrelocatable"
)
_ASIDE = "holdfast extensions"
_RELATIONS: LiteralString = (
    "SELECT nspname::text, relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
    " WHERE nspname = %s AND relkind IN ('r', 'f')"
)


def derived(name: str, old: str, new: str, *taken: Container[str]) -> str:
    """Name a part of a relation that is renamed: `orders_pkey` becomes `orders_old_pkey`.

    The result is in none of `taken`, nor longer than the server keeps; it is the relation's name that is cut.
    """
    rest = name[len(old) :]
    begins_with_it = name.startswith(old) and not rest[:1].isalpha()
    return _free(new, rest if begins_with_it else f"_{name}", *taken)


def free(name: str, *taken: Container[str]) -> str:
    """Give the name, or where it is taken one with a number behind it."""
    return _free(name, "", *taken)


def _free(head: str, tail: str, *taken: Container[str]) -> str:
    tail = _cut(tail, LONGEST // 2)
    for number in itertools.count():
        end = f"{tail}{number or ''}"
        name = _cut(head, LONGEST - len(end.encode())) + end
        if not any(name in names for names in taken):
            return name
    raise AssertionError


def _cut(text: str, length: int) -> str:
    return text.encode("utf-8", "surrogateescape")[:length].decode("utf-8", "ignore")


def taken_names(conn: Connection, schemas: Collection[str]) -> frozenset[Name]:
    """Give the names of relations, types and statistics in some schemas. Raise SourceError."""
    try:
        return frozenset((str(s), str(n)) for s, n in conn.execute(_TAKEN, (sorted(schemas),)).fetchall())
    except psycopg.Error as error:
        raise translate(error, f"looking at the names in {conn.info.dbname}") from error


def rename(
    conn: Connection, moves: Mapping[Name, Name], kinds: Mapping[Name, str], taken: Collection[Name]
) -> tuple[str, ...]:
    """Rename and move relations with all that hangs on them, in one transaction; give notes for people.

    `kinds` are the words of ALTER (`TABLE`, `MATERIALIZED VIEW`). Parts get names that are not `taken` in their new
    schema. A table is cut off from parents that do not move. Raise SourceError.
    """
    moved = {old: new for old, new in moves.items() if old != new}
    try:
        encoding.settle(conn)  # there were no names in it yet when it was opened
        with conn.transaction():
            _make_schemas(conn, moved)
            notes = tuple(_cut_off(conn, moves))
            spaces = {schema for names in moved.items() for schema, _ in names}
            _rename_parts(conn, moved, {*taken, *taken_names(conn, spaces)})
            _move(conn, moved, kinds)
    except psycopg.Error as error:
        raise translate(error, "renaming what was restored") from error
    return notes


def rename_schema(conn: Connection, old: str, new: str) -> tuple[str, ...]:
    """Give a schema another name; its tables are cut off from parents elsewhere. Raise SourceError."""
    try:
        encoding.settle(conn)
        with conn.transaction():
            inside = [(str(s), str(n)) for s, n in conn.execute(_RELATIONS, (old,)).fetchall()]
            notes = tuple(_cut_off(conn, inside))
            if new == old:
                return notes
            # What is an extension's stays where the extension is: nobody else has it elsewhere.
            here, there = (_extensions(conn, schema) for schema in (old, new))
            _to_schema(conn, there, _ASIDE)
            if new == "public":  # a new database has one
                conn.execute("DROP SCHEMA IF EXISTS public")
            conn.execute(sql.SQL("ALTER SCHEMA {} RENAME TO {}").format(*map(sql.Identifier, (old, new))))
            _to_schema(conn, here, old)
            _to_schema(conn, there, new)
    except psycopg.Error as error:
        raise translate(error, f"renaming the schema {old}") from error
    return notes


def _extensions(conn: Connection, schema: str) -> list[str]:
    return [str(name) for (name,) in conn.execute(_EXTENSIONS, (schema,)).fetchall()]


def _to_schema(conn: Connection, extensions: Collection[str], schema: str) -> None:
    """Move extensions, also those that are not meant to: their objects need names here, and no more."""
    if not extensions:
        return
    conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(schema)))
    conn.execute(_RELOCATABLE, (list(extensions),))
    for name in extensions:
        words = sql.Identifier(name), sql.Identifier(schema)
        conn.execute(sql.SQL("ALTER EXTENSION {} SET SCHEMA {}").format(*words))


def _make_schemas(conn: Connection, moved: Mapping[Name, Name]) -> None:
    """Make the schemas that are missing, for everybody who may use the schema that a relation comes from."""
    there = {str(name) for (name,) in conn.execute("SELECT nspname FROM pg_namespace").fetchall()}
    for old, new in sorted({(old, new) for (old, _), (new, _) in moved.items() if new not in there}):
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(new)))
        for (role,) in conn.execute(_USERS, (old,)).fetchall():
            to = sql.SQL("PUBLIC") if role is None else sql.Identifier(role)
            conn.execute(sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(new), to))


def _cut_off(conn: Connection, names: Collection[Name]) -> Iterator[str]:
    """Rows of a copy beside must not appear in the parent of the original."""
    for child_space, child, space, parent in conn.execute(_PARENTS, _arrays(names)).fetchall():
        statement = sql.SQL("ALTER TABLE {} NO INHERIT {}")
        conn.execute(statement.format(sql.Identifier(child_space, child), sql.Identifier(space, parent)))
        yield f"{shown(child_space, child)} does not inherit from {shown(space, parent)} any more"


def _rename_parts(conn: Connection, moved: Mapping[Name, Name], taken: Iterable[Name]) -> None:
    spaces: dict[str, set[str]] = defaultdict(set)
    for space, name in taken:
        spaces[space].add(name)
    for space, table, kind, part_space, part in conn.execute(_PARTS, _arrays(moved)).fetchall():
        schema, new = moved[space, table]
        if kind == "CONSTRAINT":
            target = derived(part, table, new) if part.startswith(f"{table}_") else part
        elif table == new and part not in spaces[schema]:
            target = part
        else:
            there = spaces[schema], spaces[part_space]
            target = derived(part, table, new, *there) if table != new else free(part, *there)
        if kind != "CONSTRAINT":
            spaces[schema].add(target)
        if target != part:
            conn.execute(_renaming(kind, (space, table), (part_space, part), target))
        if kind == "STATISTICS" and part_space != schema:
            words = sql.Identifier(part_space, target), sql.Identifier(schema)
            conn.execute(sql.SQL("ALTER STATISTICS {} SET SCHEMA {}").format(*words))


def _renaming(kind: LiteralString, table: Name, part: Name, target: str) -> sql.Composed:
    if kind == "CONSTRAINT":
        return sql.SQL("ALTER TABLE {} RENAME CONSTRAINT {} TO {}").format(
            sql.Identifier(*table), sql.Identifier(part[1]), sql.Identifier(target)
        )
    return sql.SQL("ALTER {} {} RENAME TO {}").format(
        sql.SQL(kind), sql.Identifier(*part), sql.Identifier(target)
    )


def _move(conn: Connection, moved: Mapping[Name, Name], kinds: Mapping[Name, str]) -> None:
    """Rename by way of names that nobody has, since one's new name may be another's old one."""
    between = {old: f"holdfast {number}" for number, old in enumerate(moved)}
    for old, name in between.items():
        _alter(conn, kinds[old], old, "RENAME TO", name)
    for old, (schema, name) in moved.items():
        if schema != old[0]:
            _alter(conn, kinds[old], (old[0], between[old]), "SET SCHEMA", schema)
        _alter(conn, kinds[old], (schema, between[old]), "RENAME TO", name)


def _alter(conn: Connection, kind: str, relation: Name, how: LiteralString, name: str) -> None:
    words = sql.SQL(_WORDS[kind]), sql.Identifier(*relation), sql.SQL(how), sql.Identifier(name)
    conn.execute(sql.SQL("ALTER {} {} {} {}").format(*words))


_WORDS: Mapping[str, LiteralString] = {
    "TABLE": "TABLE",
    "PARTITIONED TABLE": "TABLE",
    "FOREIGN TABLE": "FOREIGN TABLE",
    "VIEW": "VIEW",
    "MATERIALIZED VIEW": "MATERIALIZED VIEW",
    "SEQUENCE": "SEQUENCE",
}


def _arrays(names: Iterable[Name]) -> tuple[list[str], list[str]]:
    known = list(names)
    return [schema for schema, _ in known], [name for _, name in known]
