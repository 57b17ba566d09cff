"""Makes an extension that is not installed on a throwaway server stand there by its name, with the tables whose rows a dump has.

PostgreSQL is told of it in its own catalogs, which a superuser may write: nothing is needed on the disk, and CREATE
EXTENSION IF NOT EXISTS finds it. Its functions and types are not there. The tables have the columns that the rows name,
all of text: what COPY wrote is what COPY writes again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql

from holdfast.postgres.relation_names import Name
from holdfast.postgres.server import Connection, translate


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """An extension that is stood in for. `tables` are its own, with their columns."""

    name: str
    version: str
    schema: str
    tables: tuple[tuple[Name, tuple[str, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StoodIn:
    """All that is stood in for in a database, with the schemas that have to be there first, and who owns them.

    `entries` are the dump ids of what of the archive is made by that.
    """

    extensions: tuple[StandIn, ...] = ()
    schemas: tuple[tuple[str, str | None], ...] = ()
    entries: frozenset[int] = frozenset()


NOTHING = StoodIn()


def make(conn: Connection, stood_in: StoodIn) -> None:
    """Make them in the session's database, which is new. Raise SourceError."""
    if not stood_in.extensions:
        return
    try:
        with conn.transaction():
            conn.execute("SET LOCAL allow_system_table_mods = on")
            for schema, owner in stood_in.schemas:
                by = (
                    sql.SQL("")
                    if owner is None
                    else sql.SQL(" AUTHORIZATION {}").format(sql.Identifier(owner))
                )
                conn.execute(sql.SQL("CREATE SCHEMA {}{}").format(sql.Identifier(schema), by))
            for each in stood_in.extensions:
                _extension(conn, each)
    except psycopg.Error as error:
        raise translate(error, "standing in for extensions that are not installed here") from error


def _extension(conn: Connection, each: StandIn) -> None:
    conn.execute(
        "INSERT INTO pg_catalog.pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)"
        " VALUES (pg_catalog.pg_nextoid('pg_catalog.pg_extension', 'oid', 'pg_catalog.pg_extension_oid_index'), %s,"
        " (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = current_user),"
        " (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = %s), false, %s)",
        (each.name, each.schema, each.version),
    )
    conn.execute(
        "INSERT INTO pg_catalog.pg_depend SELECT 'pg_catalog.pg_extension'::pg_catalog.regclass, oid, 0,"
        " 'pg_catalog.pg_namespace'::pg_catalog.regclass, extnamespace, 0, 'n' FROM pg_catalog.pg_extension"
        " WHERE extname = %s",
        (each.name,),
    )
    for (schema, table), columns in each.tables:
        _table(conn, each.name, sql.Identifier(schema, table), columns)


def _table(conn: Connection, extension: str, table: sql.Identifier, columns: Sequence[str]) -> None:
    listed = sql.SQL(", ").join(sql.SQL("{} text").format(sql.Identifier(column)) for column in columns)
    conn.execute(sql.SQL("CREATE TABLE {} ({})").format(table, listed))
    conn.execute(sql.SQL("ALTER EXTENSION {} ADD TABLE {}").format(sql.Identifier(extension), table))
    conn.execute(
        sql.SQL(
            "UPDATE pg_catalog.pg_extension SET extconfig = pg_catalog.array_append(extconfig, {}::pg_catalog.regclass::oid),"
            " extcondition = pg_catalog.array_append(extcondition, '') WHERE extname = {}"
        ).format(sql.Literal(table.as_string(conn)), sql.Literal(extension))
    )
