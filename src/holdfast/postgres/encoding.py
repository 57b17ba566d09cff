"""Reads texts that no conversion of the server's makes right: any bytes of a SQL_ASCII database, names of other databases."""

from __future__ import annotations

from typing import LiteralString

import psycopg
from psycopg import errors
from psycopg.abc import AdaptContext, Buffer
from psycopg.adapt import Loader
from psycopg.rows import TupleRow

# Those that the catalog of this database is made of: what others have must not decide, as a copy is elsewhere.
_TEXTS: LiteralString = (
    "WITH here AS (SELECT oid FROM pg_database WHERE datname = current_database())"
    " SELECT relname::text FROM pg_class UNION ALL SELECT nspname FROM pg_namespace"
    " UNION ALL SELECT rolname FROM pg_roles WHERE oid IN (SELECT refobjid FROM pg_shdepend JOIN here ON dbid = here.oid)"
    " UNION ALL SELECT description FROM pg_shdescription JOIN here ON objoid = here.oid AND classoid = 'pg_database'::regclass"
    " UNION ALL SELECT pg_catalog.unnest(setconfig) FROM pg_db_role_setting JOIN here ON setdatabase = here.oid"
)


def settle(conn: psycopg.Connection[TupleRow]) -> None:
    """Read and write texts as Latin-1 where the names in a SQL_ASCII database are not all UTF-8.

    Each byte then is one character, there and back. Elsewhere a byte that is no UTF-8 becomes a lone surrogate: all
    databases share the names of roles, and one that was made in a database of another encoding is in that. Raise
    psycopg.Error.
    """
    for kind in ("text", "name"):
        conn.adapters.register_loader(kind, _Stray)
    if conn.info.parameter_status("server_encoding") != "SQL_ASCII":
        return
    try:
        conn.execute(_TEXTS)
    except errors.CharacterNotInRepertoire:
        conn.execute("SET client_encoding TO 'LATIN1'")


def shared_name(conn: psycopg.Connection[TupleRow], raw: bytes) -> str:
    """Read the bytes of a name that all databases share: of a role, or of a database.

    They are in the encoding of the session that made it, which is mostly UTF-8, whatever the database of `conn` is in.
    Raise psycopg.Error.
    """
    try:
        return raw.decode()
    except UnicodeDecodeError:
        if conn.info.parameter_status("server_encoding") == "SQL_ASCII":  # written as they are read
            return raw.decode(conn.info.encoding)
        return _converted(conn, raw, str(conn.info.parameter_status("server_encoding")))


class _Stray(Loader):
    """Gives a text, with bytes that are none of the client's encoding as lone surrogates."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        self._codec = self.connection.info.encoding if self.connection is not None else "utf-8"

    def load(self, data: Buffer) -> str:
        return bytes(data).decode(self._codec, "surrogateescape")


class _Raw(Loader):
    """Gives a text as the bytes that came."""

    def load(self, data: Buffer) -> bytes:
        return bytes(data)


def raw_texts(
    conn: psycopg.Connection[TupleRow], query: LiteralString, values: tuple[object, ...]
) -> list[TupleRow]:
    """Give the rows of a query, the texts in it as bytes. Raise psycopg.Error."""
    with conn.cursor() as cursor:
        cursor.adapters.register_loader("text", _Raw)
        return cursor.execute(query, values).fetchall()


def value_of(conn: psycopg.Connection[TupleRow], raw: bytes, encoding: str) -> str:
    """Read what came of a value that was set for a database in `encoding`: a comment, or a setting. Raise psycopg.Error.

    It is kept in the encoding of the session that set it, and means what sessions in the database read; a session in
    a database of UTF-8 is given the bytes as they are.
    """
    here = str(conn.info.parameter_status("server_encoding"))
    if raw.isascii() or here != "UTF8" or encoding in {here, "SQL_ASCII"}:
        return raw.decode(conn.info.encoding, "replace")
    return _converted(conn, raw, encoding)


def _converted(conn: psycopg.Connection[TupleRow], raw: bytes, encoding: str) -> str:
    query: LiteralString = "SELECT convert_from(%s, %s)"
    return str(conn.execute(query, (raw, encoding)).fetchall()[0][0])
