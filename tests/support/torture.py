"""Loads the nasty database of torture.sql, with its roles and its own properties, into a server."""

from __future__ import annotations

from pathlib import Path
from typing import LiteralString

from psycopg import sql

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.server import Connection, connect

ROLES = ("torture owner", "torture_reader", "torture_writer")
SQL = Path(__file__).with_name("torture.sql")
MORE = Path(__file__).with_name("torture_more.sql")

_PROPERTIES: tuple[LiteralString, ...] = (
    "COMMENT ON DATABASE {} IS E'it''s a \"database\";\nwith two lines and a \\\\'",
    "ALTER DATABASE {} CONNECTION LIMIT 50",
    'ALTER DATABASE {} SET search_path TO "$user", \'Odd, "Schema"\', public',
    "ALTER DATABASE {} SET work_mem TO '5MB'",
    "ALTER DATABASE {} SET datestyle TO 'German, DMY'",
    "ALTER DATABASE {} SET extra_float_digits TO '-15'",
    "ALTER DATABASE {} SET torture.setting TO 'a = ''b'' \\ ü'",
    "ALTER ROLE torture_reader IN DATABASE {} SET search_path TO ''",
    "ALTER ROLE \"torture owner\" IN DATABASE {} SET statement_timeout TO '7min'",
    "REVOKE ALL ON DATABASE {} FROM PUBLIC",
    "GRANT CREATE ON DATABASE {} TO torture_reader WITH GRANT OPTION",
    "GRANT CONNECT, TEMPORARY ON DATABASE {} TO torture_reader",
    "SET ROLE torture_reader; GRANT CREATE ON DATABASE {} TO torture_writer; RESET ROLE",
)


def roles(conn: Connection) -> None:
    """Create the roles that torture.sql needs, those that are missing."""
    for role in ROLES:
        if not conn.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchall():
            conn.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    conn.execute('ALTER ROLE torture_reader SET search_path TO app, "$user"')


def create_roles(conninfo: Conninfo) -> None:
    """Create the roles in the server that `conninfo` leads to."""
    with connect(conninfo, application_name="holdfast tests") as conn:
        roles(conn)


def extensions(conninfo: Conninfo) -> tuple[str, ...]:
    """Tell which extensions torture.sql has put into this database: what the server has decides."""
    with connect(conninfo, application_name="holdfast tests") as conn:
        rows = conn.execute("SELECT extname::text FROM pg_extension WHERE extname <> 'plpgsql'").fetchall()
    return tuple(name for (name,) in rows)


def load(conninfo: Conninfo, name: str, *more: Path) -> Conninfo:
    """Create the database `name` (and the roles, once) as a superuser, and fill it; give the way to it.

    `more` are further files to load.
    """
    database = sql.Identifier(name)
    with connect(conninfo, application_name="holdfast tests") as conn:
        roles(conn)
        conn.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8' OWNER 'torture owner'").format(
                database
            )
        )
    into = conninfo.with_database(name)
    with connect(into, application_name="holdfast tests") as conn:
        for file in (SQL, *more):
            conn.execute(file.read_bytes())
        for statement in _PROPERTIES:
            conn.execute(sql.SQL(statement).format(database))
    return into
