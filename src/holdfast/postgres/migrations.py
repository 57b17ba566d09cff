"""Reads which migrations were applied to a database, from the tables in which the usual tools keep that.

Only ordinary tables are read, without policies and with PostgreSQL's own types alone: nobody's code runs by it. What cannot
be read is passed over; a backup is no worse for it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import LiteralString

import psycopg
from psycopg import sql

from holdfast.model.catalog import Migrations
from holdfast.postgres.server import Connection, translate

_MOST = 5000  # the newest ones


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tool:
    """A tool: its table (in `schema` only, where given), columns by which it is known, and how to read it in order."""

    name: str
    table: str
    columns: frozenset[str]
    value: LiteralString
    order: LiteralString
    where: LiteralString = "true"
    schema: str | None = None


# The first that fits a table is taken.
_TOOLS = (
    _Tool(name="alembic", table="alembic_version", columns=frozenset({"version_num"}), value="version_num", order="version_num"),
    _Tool(name="django", table="django_migrations", columns=frozenset({"id", "app", "name"}), value="app || '.' || name", order="id"),
    _Tool(
        name="flyway", table="flyway_schema_history", columns=frozenset({"installed_rank", "version", "success"}),
        value="version", order="installed_rank", where="success AND version IS NOT NULL",
    ),
    _Tool(name="liquibase", table="databasechangelog", columns=frozenset({"id", "orderexecuted"}), value="id", order="orderexecuted"),
    _Tool(
        name="prisma", table="_prisma_migrations",
        columns=frozenset({"migration_name", "finished_at", "rolled_back_at"}),
        value="migration_name", order="finished_at, migration_name", where="finished_at IS NOT NULL AND rolled_back_at IS NULL",
    ),
    _Tool(
        name="supabase", table="schema_migrations", columns=frozenset({"version"}), value="version", order="version",
        schema="supabase_migrations",
    ),
    _Tool(
        name="golang-migrate", table="schema_migrations", columns=frozenset({"version", "dirty"}), value="version",
        order="version", where="NOT dirty",
    ),
    _Tool(name="rails", table="schema_migrations", columns=frozenset({"version"}), value="version", order="version"),
    _Tool(
        name="goose", table="goose_db_version", columns=frozenset({"id", "version_id", "is_applied"}), value="version_id",
        order="id", where="is_applied AND version_id > 0",
    ),
    _Tool(
        name="sqlx", table="_sqlx_migrations", columns=frozenset({"version", "success"}), value="version", order="version",
        where="success",
    ),
    _Tool(name="knex", table="knex_migrations", columns=frozenset({"id", "name"}), value="name", order="id"),
)  # fmt: skip
_TABLES: LiteralString = (
    "SELECT n.nspname::text, c.relname::text, array_agg(a.attname::text) FROM pg_class c"
    " JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
    " AND NOT a.attisdropped JOIN pg_type t ON t.oid = a.atttypid"
    " WHERE c.relname = ANY (%s) AND c.relkind = 'r' AND NOT c.relrowsecurity AND c.relpersistence = 'p'"
    " AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT')"
    " AND t.typnamespace = 'pg_catalog'::regnamespace GROUP BY 1, 2 ORDER BY 1, 2"
)


def read_migrations(conn: Connection) -> tuple[Migrations, ...]:
    """Read what every known tool has applied here, as of the session's snapshot. Raise SourceError."""
    try:
        rows = conn.execute(_TABLES, ([tool.table for tool in _TOOLS],)).fetchall()
    except psycopg.Error as error:
        raise translate(error, "looking for the tables of migration tools") from error
    found: list[Migrations] = []
    for schema, table, columns in rows:
        tool = _tool(schema, table, frozenset(columns))
        if tool is None:
            continue
        with suppress(psycopg.Error), conn.transaction():  # a savepoint: the snapshot has to live on
            found.append(
                Migrations(tool=tool.name, table=f"{schema}.{table}", applied=_applied(conn, tool, schema))
            )
    return tuple(found)


def _tool(schema: str, table: str, columns: frozenset[str]) -> _Tool | None:
    return next(
        (
            tool
            for tool in _TOOLS
            if tool.table == table and tool.columns <= columns and tool.schema in (None, schema)
        ),
        None,
    )


def _applied(conn: Connection, tool: _Tool, schema: str) -> tuple[str, ...]:
    query = sql.SQL(
        "SELECT v FROM (SELECT ({value})::text AS v, row_number() OVER (ORDER BY {order}) AS place FROM {table}"
        " WHERE {where}) AS q WHERE v IS NOT NULL ORDER BY place DESC LIMIT {most}"
    ).format(
        value=sql.SQL(tool.value),
        order=sql.SQL(tool.order),
        table=sql.Identifier(schema, tool.table),
        where=sql.SQL(tool.where),
        most=sql.Literal(_MOST),
    )
    return tuple(str(value) for (value,) in reversed(conn.execute(query).fetchall()))
