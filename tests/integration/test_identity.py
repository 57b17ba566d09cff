"""A restored database is held against its archive: the same is the same, and whatever was changed is named."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from holdfast.methods.identity import Subject, compare_database
from holdfast.model.catalog import Database
from holdfast.model.comparison import Comparison
from holdfast.model.target import Selection
from holdfast.postgres import catalog
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.properties import drop_database
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.postgres.snapshot import exported_snapshot
from holdfast.system.stop import Stop
from support import torture
from support.postgres import new_database, run_tool, toolset


def _catalog(conninfo: Conninfo) -> Database:
    with exported_snapshot(conninfo, application_name="test", lock_wait_timeout=10) as snap:
        version = snap.connection.info.server_version
        found = catalog.read_database(
            snap.connection, Selection(), name=conninfo.database or "", version_num=version
        )
        return catalog.count_rows(snap.connection, found, stop=Stop())


def _chunks(data: bytes, size: int = 1 << 20) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def _compared(archive: bytes, found: Database, cluster: Cluster, restored: Conninfo) -> Comparison:
    subject = Subject(
        archive=partial(_chunks, archive), found=found, where=restored, clients=toolset(cluster)
    )
    return compare_database(subject, stop=Stop())


@pytest.fixture(scope="module")
def tortured(cluster: Cluster) -> Iterator[tuple[bytes, Database]]:
    original = torture.load(cluster.conninfo, "tortured")
    try:
        dump = run_tool(toolset(cluster), "pg_dump", original, "--format=custom", "--compress=0")
        yield dump, _catalog(original)
    finally:
        with connect(cluster.conninfo, application_name="test") as conn:
            drop_database(conn, cluster.conninfo, "tortured")


def test_a_restored_torture_database_is_the_same(
    second_cluster: Cluster, tortured: tuple[bytes, Database]
) -> None:
    archive, found = tortured
    torture.create_roles(second_cluster.conninfo)
    with new_database(second_cluster, "restored") as restored:
        run_tool(toolset(second_cluster), "pg_restore", restored, "--exit-on-error", stdin=archive)
        done = _compared(archive, found, second_cluster, restored)
    assert done.differences == ()
    assert done.respelled == ()
    assert done.same
    assert len(done.tables) > 30
    assert done.rows == sum(table.rows or 0 for table in found.tables if table.kind == "r")
    assert (done.large_objects, done.definitions > 150) == (4, True)
