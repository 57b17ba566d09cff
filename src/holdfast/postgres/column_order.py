"""Reads rows as pg_dump writes them, but with their columns in an order that is given."""

from __future__ import annotations

from typing import LiteralString

import psycopg

from holdfast.postgres.data_digest import Rows
from holdfast.postgres.data_script import DataReader
from holdfast.postgres.relation_names import Name
from holdfast.postgres.server import Connection, pin, translate
from holdfast.postgres.snapshot import PINS
from holdfast.postgres.statements import quoted_name

_INHERITING: LiteralString = (
    "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind = 'r' AND NOT c.relispartition AND EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid)"
)


def inheriting(conn: Connection) -> set[Name]:
    """Give the tables that inherit, other than partitions. Raise SourceError."""
    try:
        return {(schema, name) for schema, name in conn.execute(_INHERITING)}
    except psycopg.Error as error:
        raise translate(error, "reading which tables inherit") from error


def pin_as_dump(conn: Connection, *, zone: str, encoding: str) -> None:
    """Have values written as pg_dump has them, in a time zone and an encoding. Raise SourceError."""
    pin(conn, PINS | {"timezone": zone, "client_encoding": encoding})


def read_rows(conn: Connection, name: Name, columns: bytes, codec: str) -> Rows:
    """Digest the rows of a table, with `columns` as a script of data lists them. Raise SourceError."""
    target = f"{quoted_name(name[0])}.{quoted_name(name[1])} ".encode(codec, "surrogateescape") + columns
    reader = DataReader(codec)
    reader.feed(b"COPY " + target + b" FROM stdin;\n")
    try:
        with conn.cursor() as cursor, cursor.copy(b"COPY " + target + b" TO STDOUT") as rows:
            for block in rows:
                reader.feed(bytes(block))
    except psycopg.Error as error:
        raise translate(error, f"reading {name[0]}.{name[1]} again") from error
    reader.feed(b"\\.\n")
    return reader.finish().tables[name]
