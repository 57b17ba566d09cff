"""Gathers the planner's statistics of a database that was just restored, over several sessions at once."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from typing import LiteralString

import psycopg
from psycopg import errors, sql

from holdfast.model.errors import Error
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.server import ENDLESS, connect, pin, translate
from holdfast.system.stop import Stop

# A partitioned table brings its partitions, unless one lies on a foreign server: that would be asked for its rows, and may
# not answer, so that the others stand for themselves. Of the system's tables, those that fill with what is restored.
_TABLES: LiteralString = (
    "WITH RECURSIVE above(oid) AS (SELECT oid FROM pg_class WHERE relkind = 'f'"
    " UNION SELECT inhparent FROM above JOIN pg_inherits ON inhrelid = above.oid)"
    " SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
    " WHERE c.relkind IN ('r', 'm', 'p') AND c.oid NOT IN (SELECT oid FROM above) AND c.relpersistence <> 't'"
    " AND (NOT c.relispartition OR EXISTS (SELECT FROM pg_inherits WHERE inhrelid = c.oid AND inhparent IN (SELECT oid FROM above)))"
    " AND n.nspname <> 'information_schema' AND NOT c.relisshared ORDER BY c.relpages DESC, c.oid"
)


Left = deque[tuple[str, str]]


def tables(where: Conninfo, *, application_name: str) -> Left:
    """List the tables that statistics are gathered of, the largest first. Raise SourceError."""
    with closing(connect(where, application_name=application_name)) as conn:
        pin(conn, ENDLESS)
        try:
            return deque((str(schema), str(name)) for schema, name in conn.execute(_TABLES).fetchall())
        except psycopg.Error as error:
            raise translate(error, f"listing the tables of {where.safe}") from error


def analyze(
    where: Conninfo, left: Left, *, jobs: int, application_name: str, stop: Stop, warn: Callable[[str], None]
) -> None:
    """ANALYZE what is left of the tables, over `jobs` sessions; several of these may share it.

    What cannot be analyzed is a warning; raise SourceError for a lost server.
    """
    troubles: list[Error] = []

    def work() -> None:
        try:
            _work(where, left, application_name, stop, warn)
        except Error as error:
            left.clear()
            troubles.append(error)

    helpers = [threading.Thread(target=work, name="analyze", daemon=True) for _ in range(jobs - 1)]
    for helper in helpers:
        helper.start()
    work()
    for helper in helpers:
        helper.join()
    stop.check()
    if troubles:
        raise troubles[0]


def _work(
    where: Conninfo,
    left: Left,
    application_name: str,
    stop: Stop,
    warn: Callable[[str], None],
) -> None:
    with closing(connect(where, application_name=application_name)) as conn, stop.calling(conn.cancel):
        pin(conn, ENDLESS)
        while not stop.requested:
            try:
                schema, name = left.popleft()
            except IndexError:
                return
            try:
                conn.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(schema, name)))
            except errors.UndefinedTable:
                continue  # somebody dropped it meanwhile
            except psycopg.Error as error:
                if stop.requested:
                    return
                if conn.closed:
                    raise translate(error, f"analyzing {schema}.{name}") from error
                warn(translate(error, f"no statistics for {schema}.{name}").message)
