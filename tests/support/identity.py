"""Restores dumps for a comparison as a restore does, and compares them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import pytest

from holdfast.methods import identity_dump
from holdfast.methods.identity import Subject, compare_database, read_archive
from holdfast.model.catalog import Database
from holdfast.model.comparison import Comparison
from holdfast.model.target import Selection
from holdfast.postgres import catalog
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.dropping import drop_database
from holdfast.postgres.properties import create_database_sql, property_statements
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.postgres.snapshot import exported_snapshot
from holdfast.system.stop import Stop
from support.postgres import run_tool, toolset

# When the archive is read, as to the restored database.
Way = Literal["before", "beside", "in two sessions"]


def catalog_of(conninfo: Conninfo, **selection: Any) -> Database:  # noqa: ANN401 - what a Selection takes
    """Read what a backup's catalog would say of a database, rows counted."""
    with exported_snapshot(conninfo, application_name="test", lock_wait_timeout=10) as snap:
        found = catalog.read_database(
            snap.connection,
            Selection(**selection),
            name=conninfo.database or "",
            version_num=snap.connection.info.server_version,
        )
        return catalog.count_rows(snap.connection, found, stop=Stop(), foreign_code=True)


def dump_of(cluster: Cluster, conninfo: Conninfo, *options: str) -> bytes:
    """Dump a database as a backup does."""
    return run_tool(toolset(cluster), "pg_dump", conninfo, "--format=custom", "--compress=0", *options)


@contextmanager
def restored(cluster: Cluster, archive: bytes, found: Database, name: str) -> Iterator[Conninfo]:
    """Restore a dump into a new database with the properties of the one dumped, and drop it at the end."""
    where = cluster.conninfo.with_database(name)
    with connect(cluster.conninfo, application_name="test") as conn:
        version = conn.info.server_version
        conn.execute(create_database_sql(name, found.properties, version, tablespaces=False))
        try:
            run_tool(
                toolset(cluster),
                "pg_restore",
                where,
                "--exit-on-error",
                "--no-tablespaces",
                stdin=archive,
            )
            for statement in property_statements(name, found.properties):
                conn.execute(statement)
            yield where
        finally:
            drop_database(conn, cluster.conninfo, name)


def chunks(data: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    """Give an archive piece by piece, as it comes out of a store."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def compared(
    cluster: Cluster,
    archive: bytes,
    found: Database,
    where: Conninfo,
    *,
    way: Way = "before",
    **more: Any,  # noqa: ANN401 - what a Subject takes
) -> Comparison:
    """Compare a restored database of `cluster` with the archive and the catalog."""
    subject = Subject(archive=partial(chunks, archive), found=found, where=where, clients=toolset(cluster))
    subject, stop = replace(subject, **more), Stop()
    archived = None if way == "beside" else read_archive(subject, stop)
    with pytest.MonkeyPatch.context() as patch:
        if way == "in two sessions":
            patch.setattr(identity_dump, "_WORTH_TWO", 0)
        return compare_database(subject, archived=archived, stop=stop)
