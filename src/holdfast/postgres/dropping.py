"""Drops databases, without harm to anything beside them."""

from __future__ import annotations

from contextlib import suppress
from typing import LiteralString

import psycopg
from psycopg import sql

from holdfast.model.errors import SourceError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.server import Connection, connect, translate

_LARGEST: LiteralString = """
    SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.oid >= 16384 AND pg_relation_size(c.oid) > 0 ORDER BY pg_table_size(c.oid) DESC LIMIT 1
"""


def drop_half_restored(conn: Connection, conninfo: Conninfo, name: str) -> None:
    """Drop a database whose restore failed, as `drop_database` does, maybe for want of room on the disk.

    Its largest table goes first: DROP DATABASE begins with a checkpoint, and one that finds no room at all ends the server.
    """
    with suppress(psycopg.Error, SourceError):  # the database goes all the same, or says why not
        _drop_largest_table(conninfo.with_database(name))
    drop_database(conn, conninfo, name)


def _drop_largest_table(conninfo: Conninfo) -> None:
    with connect(conninfo, application_name="holdfast drop") as conn:
        for schema, table in conn.execute(_LARGEST).fetchall():
            conn.execute(sql.SQL("DROP TABLE {} CASCADE").format(sql.Identifier(schema, table)))


def drop_database(conn: Connection, conninfo: Conninfo, name: str) -> None:
    """Drop a database, ending its sessions; one that does not exist is no error. Raise SourceError.

    `conn` is in another database of the same server, which `conninfo` leads to. Subscriptions in it are first cut
    off from their slots: dropping one as it is would reach out to the publisher and drop the slot of the original.
    """
    try:
        database = sql.Identifier(name)
        if not conn.execute("SELECT FROM pg_database WHERE datname = %s", (name,)).fetchall():
            return
        for subscription in _subscriptions(conn, name):
            _drop_subscription(conninfo.with_database(name), subscription)
        conn.execute(sql.SQL("ALTER DATABASE {} IS_TEMPLATE false").format(database))
        conn.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(database))
    except psycopg.Error as error:
        raise translate(error, f"dropping the database {name!r}") from error


def _subscriptions(conn: Connection, name: str) -> list[str]:
    query: LiteralString = "SELECT s.subname::text FROM pg_subscription s JOIN pg_database d ON d.oid = s.subdbid WHERE d.datname = %s"
    return [subscription for (subscription,) in conn.execute(query, (name,)).fetchall()]


def _drop_subscription(conninfo: Conninfo, name: str) -> None:
    subscription = sql.Identifier(name)
    with connect(conninfo, application_name="holdfast drop") as conn:
        conn.execute(sql.SQL("ALTER SUBSCRIPTION {} DISABLE").format(subscription))
        conn.execute(sql.SQL("ALTER SUBSCRIPTION {} SET (slot_name = NONE)").format(subscription))
        conn.execute(sql.SQL("DROP SUBSCRIPTION {}").format(subscription))
