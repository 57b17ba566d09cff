"""Reads texts that no conversion of the server's makes right: any bytes of a SQL_ASCII database, names of other databases."""

from __future__ import annotations

from typing import LiteralString

import psycopg
from psycopg import errors
from psycopg.rows import TupleRow

# Those that a catalog is made of.
_TEXTS: LiteralString = (
    "SELECT relname::text FROM pg_class UNION ALL SELECT nspname FROM pg_namespace UNION ALL SELECT rolname FROM pg_roles"
    " UNION ALL SELECT datname FROM pg_database UNION ALL SELECT description FROM pg_shdescription"
    " UNION ALL SELECT pg_catalog.unnest(setconfig) FROM pg_db_role_setting"
)


def settle(conn: psycopg.Connection[TupleRow]) -> None:
    """Read and write texts as Latin-1 where the names in a SQL_ASCII database are not all UTF-8.

    Each byte then is one character, there and back. Raise psycopg.Error.
    """
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
    if conn.info.parameter_status("server_encoding") == "SQL_ASCII":  # written as they are read
        return raw.decode(conn.info.encoding)
    try:
        return raw.decode()
    except UnicodeDecodeError:
        query: LiteralString = "SELECT convert_from(%s, current_setting('server_encoding'))"
        return str(conn.execute(query, (raw,)).fetchall()[0][0])
