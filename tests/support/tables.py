"""Restores tables in tests, and tells how those of two databases differ."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from holdfast.jobs.reading import Opened
from holdfast.jobs.restore_tables import TablesReport, TablesWish, restore_tables
from holdfast.postgres.compare import digest
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.postgres import execute, query
from support.restoring import drop, schema
from support.world import World


def bring_back(world: World, opened: Opened, into: Cluster, name: str, **wish: Any) -> TablesReport:  # noqa: ANN401 - what a TablesWish takes
    """Restore tables of a backup with one database into the database `name` of a cluster."""
    asked = TablesWish(into=into.conninfo, into_database=name, **wish)
    return restore_tables(world.services, opened, asked, world.stop)


@contextmanager
def copy_of(cluster: Cluster, name: str, copy: str = "copy") -> Iterator[Conninfo]:
    """Copy a database that nobody is connected to, for the length of the `with`."""
    words = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(copy), sql.Identifier(name))
    execute(cluster.conninfo, words)
    try:
        yield cluster.conninfo.with_database(copy)
    finally:
        drop(cluster, copy)


def rows(where: Conninfo) -> dict[str, str]:
    """Give the digest of each table and sequence, by its name."""
    with connect(where, application_name="test") as connection:
        found = digest(connection)
    return {**found.tables, **found.sequences}


def definitions(cluster: Cluster, where: Conninfo) -> list[str]:
    """Give the lines of a database's definition, memberships of publications aside: a lost table loses them."""
    return [line for line in schema(cluster, where).splitlines() if not line.startswith("ALTER PUBLICATION")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a database holds: digests by name, and the lines of its definition."""

    rows: Mapping[str, str]
    lines: Sequence[str]


def content(cluster: Cluster, where: Conninfo) -> Content:
    """Look at a database."""
    return Content(rows=rows(where), lines=definitions(cluster, where))


def unlike(a: Content, b: Content) -> list[str]:
    """Tell how the tables of two databases differ, in rows and definition. None means that they are identical."""
    differing = sorted(name for name in {*a.rows, *b.rows} if a.rows.get(name) != b.rows.get(name))
    told = [f"{name}: {a.rows.get(name)}, {b.rows.get(name)}" for name in differing]
    return [*told, *list(difflib.unified_diff(a.lines, b.lines, lineterm="", n=0))[2:]]


def state(cluster: Cluster, where: Conninfo) -> tuple[dict[str, str], str]:
    """Give all that a failed restore must not change: rows and definitions."""
    return rows(where), schema(cluster, where)


def scratches(cluster: Cluster) -> list[str]:
    """Name the scratch databases of a server."""
    found = query(
        cluster.conninfo, "SELECT datname FROM pg_database WHERE datname LIKE 'holdfast\\_scratch%'"
    )
    return [str(name) for (name,) in found]
