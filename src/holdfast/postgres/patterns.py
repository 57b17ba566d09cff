"""The pattern language of pg_dump's -n, -N, -t, -T and --exclude-table-data, with the same results as there.

The rules are psql's: outside double quotes letters fold to lower case, `*` and `?` are wildcards, `.` separates, and
anything else is a regular expression; `$` and `[]` always mean themselves. The server evaluates the expressions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, LiteralString

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

from holdfast.model.errors import ConfigError
from holdfast.model.target import Selection
from holdfast.postgres.server import Connection, translate

Kind = Literal["schema", "table"]

_MOST_DOTS: dict[Kind, int] = {"schema": 0, "table": 2}
_SPECIAL = frozenset("|*+?()[]{}.^$\\")
_ASCII_UPPER = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutBy:
    """What a selection leaves out: reasons by the table's OID, for the whole table and for its rows only."""

    tables: Mapping[int, str]
    data: Mapping[int, str]


def to_regex(pattern: str, *, kind: Kind) -> tuple[str | None, str]:
    """Turn a pattern into expressions for the schema's name (None: any that is visible) and for the name.

    For a schema the first is always None. The database that a table pattern may begin with is left to `_database`.
    Raise ConfigError for a pattern with too many dots.
    """
    pieces = _pieces(pattern)
    if len(pieces) - 1 > _MOST_DOTS[kind]:
        raise ConfigError(
            f"the {kind} pattern {pattern!r} has too many dots",
            hint=f"Put a name that holds a dot into double quotes: '\"a.b\"'. {_FORM[kind]}",
        )
    expressions = [f"^({''.join(piece.regex)})$" for piece in pieces]
    return (expressions[-2] if len(expressions) > 1 else None), expressions[-1]


_FORM: dict[Kind, str] = {
    "schema": "A schema pattern has one part.",
    "table": "A table pattern is name, schema.name or database.schema.name.",
}


@dataclass(frozen=True, slots=True)
class _Piece:
    """What stands between two separators: as an expression, and read literally."""

    regex: list[str]
    literal: list[str]


def _pieces(pattern: str) -> list[_Piece]:
    pieces = [_Piece([], [])]
    quoted = False
    position = 0
    while position < len(pattern):
        character, following = pattern[position], pattern[position + 1 : position + 2]
        position += 1
        if character == '"' and not (quoted and following == '"'):
            quoted = not quoted
            continue
        if character == '"':
            position += 1
        if character == "." and not quoted:
            pieces.append(_Piece([], []))
            continue
        if not quoted and character in _ASCII_UPPER:
            character = character.lower()
        pieces[-1].literal.append(character)
        pieces[-1].regex.append(_expression(character, following, quoted=quoted))
    return pieces


def _expression(character: str, following: str, *, quoted: bool) -> str:
    if character == "$" or (quoted and character in _SPECIAL):
        return "\\" + character
    if not quoted and character == "*":
        return ".*"
    if not quoted and character == "?":
        return "."
    if not quoted and character == "[" and following == "]":
        return "\\["
    return character


def _database(pattern: str) -> str | None:
    """Give the database that a three-part table pattern names; pg_dump takes it literally, wildcards and all."""
    pieces = _pieces(pattern)
    return "".join(pieces[0].literal) if len(pieces) > 2 else None  # noqa: PLR2004 - database.schema.name


def match_databases(conn: Connection, names: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    """Give those of `names`, in their order, that a pattern matches.

    A pattern that is one of the names means that name only. Elsewhere the wildcards hold, and a dot is a dot:
    database names may contain them. Raise ConfigError for a malformed expression.
    """
    names = tuple(names)
    matched: set[str] = set()
    for pattern in patterns:
        if pattern in names:
            matched.add(pattern)
            continue
        regex = f"^({'[.]'.join(''.join(piece.regex) for piece in _pieces(pattern))})$"
        query: LiteralString = (
            "SELECT name FROM pg_catalog.unnest(%s::text[]) AS n(name)"
            " WHERE name COLLATE pg_catalog.default OPERATOR(pg_catalog.~) %s"
        )
        matched.update(row[0] for row in _fetch(conn, query, (list(names), regex), pattern))
    return tuple(name for name in names if name in matched)


def left_out_by(conn: Connection, selection: Selection) -> LeftOutBy:
    """Find the tables of this database that pg_dump leaves out under these patterns, and why.

    `conn` must be of the user that dumps: a table pattern without a schema matches what that user sees with the
    default search_path. Raise ConfigError for what pg_dump refuses: malformed patterns, and include patterns that
    match nothing at all.
    """
    with _default_search_path(conn):
        return _left_out_by(conn, selection)


def _left_out_by(conn: Connection, selection: Selection) -> LeftOutBy:
    options: tuple[tuple[str, Kind, tuple[str, ...]], ...] = (
        ("include_schemas", "schema", selection.include_schemas),
        ("exclude_schemas", "schema", selection.exclude_schemas),
        ("include_tables", "table", selection.include_tables),
        ("exclude_tables", "table", selection.exclude_tables),
        ("exclude_table_data", "table", selection.exclude_table_data),
    )
    matches = {
        option: {pattern: _matching(conn, pattern, kind) for pattern in patterns}
        for option, kind, patterns in options
    }
    for option in ("include_schemas", "include_tables"):
        if matches[option] and not any(matches[option].values()):
            raise ConfigError(
                f"{option} matches nothing in the database {conn.info.dbname}: {', '.join(matches[option])}",
                hint="A pattern without a schema matches only tables on the search_path: write schema.table.",
            )
    tables: dict[int, str] = {}
    for oid, schema in _all_tables(conn):
        if reason := _reason(oid, schema, matches):
            tables[oid] = reason
    data = {
        oid: f"rows excluded by exclude_table_data {pattern!r}"
        for pattern, oids in matches["exclude_table_data"].items()
        for oid in oids
    }
    return LeftOutBy(tables=tables, data=data)


def _all_tables(conn: Connection) -> list[TupleRow]:
    try:
        return conn.execute(_ALL_TABLES).fetchall()
    except psycopg.Error as error:
        raise translate(error, "reading which tables there are") from error


def _reason(oid: int, schema: int, matches: Mapping[str, Mapping[str, frozenset[int]]]) -> str | None:
    """Why pg_dump leaves the table out: with -t, -n and -N have no effect, and -T beats -t."""
    for pattern, oids in matches["exclude_tables"].items():
        if oid in oids:
            return f"excluded by exclude_tables {pattern!r}"
    if matches["include_tables"]:
        return (
            None
            if any(oid in oids for oids in matches["include_tables"].values())
            else "not in include_tables"
        )
    for pattern, oids in matches["exclude_schemas"].items():
        if schema in oids:
            return f"excluded by exclude_schemas {pattern!r}"
    if matches["include_schemas"] and not any(schema in oids for oids in matches["include_schemas"].values()):
        return "not in include_schemas"
    return None


# In full: these are asked under the user's search_path, and `name ~ unknown` finds an operator of a user's own first.
_ALL_TABLES: LiteralString = (
    "SELECT c.oid, c.relnamespace FROM pg_catalog.pg_class c"
    " WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p')"
    " AND c.relnamespace OPERATOR(pg_catalog.<>) 'pg_catalog'::pg_catalog.regnamespace"
)
_SCHEMAS: LiteralString = (
    "SELECT n.oid FROM pg_catalog.pg_namespace n"
    " WHERE n.nspname OPERATOR(pg_catalog.~) %s COLLATE pg_catalog.default"
)
_TABLES: LiteralString = (
    "SELECT c.oid FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'S', 'v', 'm', 'f', 'p') AND"
    " c.relname OPERATOR(pg_catalog.~) %s COLLATE pg_catalog.default AND "
)
_IN_SCHEMA: LiteralString = "n.nspname OPERATOR(pg_catalog.~) %s COLLATE pg_catalog.default"
_VISIBLE: LiteralString = "pg_catalog.pg_table_is_visible(c.oid)"


def _matching(conn: Connection, pattern: str, kind: Kind) -> frozenset[int]:
    schema, name = to_regex(pattern, kind=kind)
    if (database := _database(pattern)) is not None and database != conn.info.dbname:
        raise ConfigError(
            f"the table pattern {pattern!r} names the database {database!r}, but {conn.info.dbname!r} is dumped",
            hint="Leave the database out of the pattern.",
        )
    if kind == "schema":
        rows = _fetch(conn, _SCHEMAS, (name,), pattern)
    elif schema is None:
        rows = _fetch(conn, _TABLES + _VISIBLE, (name,), pattern)
    else:
        rows = _fetch(conn, _TABLES + _IN_SCHEMA, (name, schema), pattern)
    return frozenset(row[0] for row in rows)


def _fetch(
    conn: Connection, query: LiteralString, values: tuple[object, ...], pattern: str
) -> list[TupleRow]:
    try:
        with conn.transaction():
            return conn.execute(query, values).fetchall()
    except errors.InvalidRegularExpression as error:
        raise ConfigError(
            f"the pattern {pattern!r} is not a valid expression: {error.diag.message_primary}",
            hint="Put names with special characters into double quotes.",
        ) from error
    except psycopg.Error as error:
        raise translate(error, f"matching the pattern {pattern!r}") from error


@contextmanager
def _default_search_path(conn: Connection) -> Iterator[None]:
    """Use the search_path that this user has by default, as pg_dump does to expand table patterns."""
    with conn.transaction(force_rollback=True):
        conn.execute("RESET search_path")
        yield
