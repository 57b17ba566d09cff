"""A restored database is held against its archive: the same is the same, and whatever was changed is named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.model.catalog import Database
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.properties import drop_database
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support import torture
from support.corruptions import CORRUPTIONS, Corruption, corrupt
from support.identity import catalog_of, compared, dump_of, restored

_Tortured = tuple[bytes, Database]


@pytest.fixture(scope="module")
def tortured(cluster: Cluster) -> Iterator[_Tortured]:
    original = torture.load(cluster.conninfo, "tortured", torture.MORE)
    try:
        yield dump_of(cluster, original), catalog_of(original)
    finally:
        with connect(cluster.conninfo, application_name="test") as conn:
            drop_database(conn, cluster.conninfo, "tortured")


def test_a_restored_torture_database_is_the_same(second_cluster: Cluster, tortured: _Tortured) -> None:
    archive, found = tortured
    torture.create_roles(second_cluster.conninfo)
    with restored(second_cluster, archive, found, "restored") as where:
        done = compared(second_cluster, archive, found, where)
    assert done.differences == ()
    assert done.respelled == ()
    assert done.same
    assert len(done.tables) > 30
    assert done.rows == sum(table.rows or 0 for table in found.tables if table.kind == "r")
    assert (done.large_objects, done.definitions > 150) == (4, True)
    print(done.notes, done.left_out, done.validity, done.phases)


@pytest.fixture(scope="module")
def copy(second_cluster: Cluster, tortured: _Tortured) -> Iterator[Conninfo]:
    """Give a restored database that tests corrupt all at once."""
    torture.create_roles(second_cluster.conninfo)
    with restored(second_cluster, *tortured, "corrupted") as where:
        yield where


def test_all_corruptions_at_once_are_told_each_by_its_name(
    second_cluster: Cluster, tortured: _Tortured, copy: Conninfo
) -> None:
    corrupt(copy, *CORRUPTIONS)
    done = compared(second_cluster, *tortured, copy)
    told = {(each.kind, each.name, each.how) for each in done.differences}
    assert {
        each.name: set(each.differs) - told for each in CORRUPTIONS if not set(each.differs) <= told
    } == {}
    assert not done.same


@pytest.mark.extended
@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda each: each.name)
def test_a_corruption_is_all_that_is_told(
    second_cluster: Cluster, tortured: _Tortured, corruption: Corruption
) -> None:
    torture.create_roles(second_cluster.conninfo)
    with restored(second_cluster, *tortured, "corrupted_once") as where:
        corrupt(where, corruption)
        done = compared(second_cluster, *tortured, where)
    told = {(each.kind, each.name, each.how) for each in done.differences}
    assert set(corruption.differs) <= told
    assert {(kind, name) for kind, name, _ in told} == {
        *((kind, name) for kind, name, _ in corruption.differs),
        *corruption.also,
    }
