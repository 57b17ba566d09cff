"""Compares the content of two databases: tables in any order of rows, sequences, large objects, and schema text.

Digests are made by the server, over the text of each row; what a session may change about that text is pinned.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from holdfast.postgres.server import Connection, pin, translate
from holdfast.postgres.snapshot import PINS

# What changes how values are written, beside what pg_dump sets.
PINNED = PINS | {"lc_monetary": "C", "xmloption": "content"}
SUPERUSER: LiteralString = "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"


@dataclass(frozen=True, slots=True, kw_only=True)
class Digest:
    """What a database holds, each thing by its name (qualified and quoted) with a text that tells its content.

    The text of a table is its number of rows and two sums over a hash of each, so that the order does not matter.
    """

    tables: Mapping[str, str]
    sequences: Mapping[str, str]
    large_objects: Mapping[str, str]


def digest(conn: Connection, *, skip: Collection[str] = ()) -> Digest:
    """Digest a whole database in one snapshot; `conn` must be outside a transaction.

    Tables, partitions and filled materialised views are read; foreign and temporary tables, and those of `skip`
    (as `Digest.tables` names them), are not. Large objects need a superuser; without one they are not looked at.
    Raise SourceError.
    """
    try:
        with conn.transaction():
            conn.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            pin(conn, PINNED, local=True)
            names = conn.execute(_TABLES).fetchall()
            return Digest(
                tables={
                    name: _table(conn, sql.Identifier(schema, table))
                    for name, schema, table in names
                    if name not in skip
                },
                sequences={
                    name: _text(conn, SEQUENCE.format(sql.Identifier(schema, sequence)))
                    for name, schema, sequence in conn.execute(SEQUENCES).fetchall()
                },
                large_objects=_large_objects(conn),
            )
    except psycopg.Error as error:
        raise translate(error, f"digesting the database {conn.info.dbname}") from error


_TABLES: LiteralString = (
    "SELECT format('%I.%I', n.nspname, c.relname), n.nspname::text, c.relname::text"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'm') AND c.relispopulated AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'"
    " ORDER BY 1"
)
SEQUENCES: LiteralString = (
    "SELECT format('%I.%I', n.nspname, c.relname), n.nspname::text, c.relname::text"
    " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'S' AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' ORDER BY 1"
)
# `(t.*)` is the row even where a column is named t. The sums are numeric, so that they cannot overflow.
_ROWS = sql.SQL(
    "SELECT concat_ws(' ', count(*), sum(hashtextextended(r, 0)::numeric), sum(hashtextextended(r, 1)::numeric))"
    ' FROM (SELECT (t.*)::text COLLATE "C" AS r FROM {} t OFFSET 0) rows'
)
SEQUENCE = sql.SQL("SELECT concat_ws(' ', last_value, is_called) FROM {}")

# A hole in a large object comes back from a dump as zeros, so pages are filled up and those of zeros left out; its
# length is where its last page ends. The privileges are listed with the default ones spelled out.
LARGE_OBJECTS: LiteralString = (
    "WITH zero AS (SELECT decode(repeat('00', 2048), 'hex') AS page),"
    " pages AS (SELECT loid, pageno, length(data) AS size, data || substr(page, length(data) + 1) AS data"
    " FROM pg_largeobject CROSS JOIN zero),"
    " contents AS (SELECT loid, max(pageno::bigint * 2048 + size) AS size,"
    " sum(hashtextextended(encode(data, 'hex') COLLATE \"C\", pageno)::numeric) FILTER (WHERE data <> page) AS sum"
    " FROM pages CROSS JOIN zero GROUP BY loid)"
    " SELECT m.oid::text, concat_ws(' ', coalesce(c.size, 0), coalesce(c.sum, 0), 'owner',"
    " pg_get_userbyid(m.lomowner), (SELECT string_agg(a::text, ',' ORDER BY a::text COLLATE \"C\")"
    " FROM unnest(coalesce(m.lomacl, acldefault('L', m.lomowner))) a),"
    " obj_description(m.oid, 'pg_largeobject'))"
    " FROM pg_largeobject_metadata m LEFT JOIN contents c ON c.loid = m.oid ORDER BY m.oid"
)


def rows_of(name: sql.Identifier, *, with_partitions: bool = False) -> sql.Composed:
    """Write the query for the text that tells a table's content."""
    return _ROWS.format(name if with_partitions else sql.SQL("ONLY {}").format(name))


def _table(conn: Connection, name: sql.Identifier) -> str:
    return _text(conn, rows_of(name))


def _text(conn: Connection, query: sql.Composed) -> str:
    return str(conn.execute(query).fetchall()[0][0])


def _large_objects(conn: Connection) -> dict[str, str]:
    if not conn.execute(SUPERUSER).fetchall()[0][0]:
        return {}
    return dict(conn.execute(LARGE_OBJECTS).fetchall())


def compare(a: Digest, b: Digest) -> tuple[str, ...]:
    """Tell each difference, on one line each; none means that the two hold the same."""
    return (
        *_differences("table", a.tables, b.tables),
        *_differences("sequence", a.sequences, b.sequences),
        *_differences("large object", a.large_objects, b.large_objects),
    )


def _differences(kind: str, a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[str]:
    for name in sorted(a.keys() | b.keys()):
        if name not in b:
            yield f"{kind} {name} is missing in the second"
        elif name not in a:
            yield f"{kind} {name} is only in the second"
        elif a[name] != b[name]:
            rows, others = a[name].split(" ")[0], b[name].split(" ")[0]
            if kind == "table" and rows != others:
                yield f"table {name} has {rows} rows, the second {others}"
            else:
                yield f"{kind} {name} differs in content"


_NOISE = re.compile(r"^(--|SET |SELECT pg_catalog\.set_config\(|\\(un)?restrict\b)")


def schema_text(lines: Iterable[str]) -> str:
    """Bring the text of `pg_dump --schema-only` into a form to compare: comments, settings and blank lines go.

    Lines inside a function's body or a literal that look like those go as well, on both sides alike.
    """
    kept = (line.rstrip("\n") for line in lines)
    return "\n".join(line for line in kept if line.strip() and not _NOISE.match(line)) + "\n"
