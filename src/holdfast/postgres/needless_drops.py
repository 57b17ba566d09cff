"""Tells which DROP statements of an archive a database would refuse, though what they drop is gone or goes with its table."""

# ruff: noqa: S608 - every piece is a constant of this file

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import LiteralString

import psycopg

from holdfast.postgres.belonging import HOLDERS, Belonging
from holdfast.postgres.entries import RELATIONS, Entry
from holdfast.postgres.server import Connection, translate

_AT: LiteralString = (
    "WITH asked AS (SELECT * FROM ROWS FROM (pg_catalog.unnest(%s::int[]), pg_catalog.unnest(%s::text[]),"
    " pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) AS a(id, space, relation, part)),"
    " at AS (SELECT id, part, c.oid, relkind, relispartition FROM asked LEFT JOIN pg_namespace n ON nspname = space"
    " LEFT JOIN pg_class c ON relnamespace = n.oid AND relname = relation) "
)
_RETURN = "_RETURN"  # the rule that makes a view; it is dropped by making the view look at nothing
# What belongs to a partition because its parent has it cannot be dropped by itself.
_INHERITED: LiteralString = (
    "SELECT id FROM at JOIN pg_constraint ON conrelid = at.oid AND conname = part AND coninhcount > 0"
)
_NEEDLESS: Mapping[str, LiteralString] = {
    "CONSTRAINT": _INHERITED,
    "CHECK CONSTRAINT": _INHERITED,
    "FK CONSTRAINT": _INHERITED,
    "INDEX": "SELECT id FROM at WHERE relispartition",
    # A column may have another name by now, or numbers of its own; IF EXISTS does not know of columns.
    "DEFAULT": (
        "SELECT id FROM at WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = at.oid AND attname = part"
        " AND NOT attisdropped AND attidentity = '' AND attgenerated = '')"
    ),
    "RULE": f"SELECT id FROM at WHERE part = '{_RETURN}' AND relkind IS DISTINCT FROM 'v'",
}
_OWNED: LiteralString = (
    "SELECT id, nspname::text, t.relname::text FROM at JOIN pg_depend ON classid = 'pg_class'::regclass AND objid = at.oid"
    " AND refclassid = 'pg_class'::regclass AND deptype IN ('a', 'i') JOIN pg_class t ON t.oid = refobjid"
    " JOIN pg_namespace n ON n.oid = t.relnamespace"
)
_OWN_NAME = frozenset({"INDEX", "SEQUENCE"})
ASKED = frozenset({*_NEEDLESS, *HOLDERS})  # of which entries `needless_drops` has to know


def needless_drops(conn: Connection, entries: Sequence[Entry]) -> frozenset[int]:
    """Give the dump ids of those entries whose DROP is to be left out of what is restored with --clean.

    All relations of the archive are among `entries`. Names that are not text here are asked for in vain. Raise
    SourceError.
    """
    index = Belonging(entries)
    dropped = {(entry.namespace, entry.tag) for entry in entries if entry.desc in RELATIONS}
    found: set[int] = set()
    try:
        for desc, query in _NEEDLESS.items():
            found |= {int(number) for (number,) in conn.execute(_AT + query, _asked(index, desc)).fetchall()}
        for number, space, name in conn.execute(_AT + _OWNED, _asked(index, "SEQUENCE")).fetchall():
            if (space, name) in dropped:
                found.add(int(number))
    except psycopg.Error as error:
        raise translate(error, f"looking at what {conn.info.dbname} would drop") from error
    return frozenset(found)


def _asked(index: Belonging, desc: str) -> tuple[list[int], list[str], list[str], list[str]]:
    rows = [_row(index, entry) for entry in index.entries if entry.desc == desc]
    some = [row for row in rows if _is_text(*row[1:])]
    return (
        [row[0] for row in some],
        [row[1] for row in some],
        [row[2] for row in some],
        [row[3] for row in some],
    )


def _row(index: Belonging, entry: Entry) -> tuple[int, str, str, str]:
    space, tag = entry.namespace or "", entry.tag or ""
    if entry.desc in _OWN_NAME:
        return entry.dump_id, space, tag, ""
    relation = index.name_of_owner(entry)
    return entry.dump_id, space, relation, tag[len(relation) + 1 :]


def _is_text(*words: str) -> bool:
    return not any("\udc80" <= letter <= "\udcff" for word in words for letter in word)
