"""What a thorough restore brought back is held against the backup: each row, each definition, and the roles."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.jobs import sameness
from holdfast.jobs.disaster import bring_back
from holdfast.jobs.reading import Opened
from holdfast.jobs.restore import Wish, restore
from holdfast.model.errors import RestoreTestError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.postgres import execute, query
from support.restoring import create, databases, drop, take
from support.world import World, world

TABLES = (
    "CREATE TABLE orders (id int PRIMARY KEY, state text)",
    "INSERT INTO orders SELECT g, 'paid' FROM generate_series(1, 50) g",
    "CREATE TABLE quiet (id int)",
)


@pytest.fixture
def server(second_cluster: Cluster) -> Iterator[Cluster]:
    yield second_cluster
    drop(second_cluster, *(databases(second_cluster) - {"postgres"}))
    execute(second_cluster.conninfo, "DROP ROLE IF EXISTS clerk")


@pytest.fixture(scope="module")
def backup(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, Opened]]:
    """Give a backup of a database `sameness` and a role `clerk`, whose source is gone."""
    execute(cluster.conninfo, "CREATE ROLE clerk LOGIN")
    create(cluster, "sameness", *TABLES)
    folder = tmp_path_factory.mktemp("sameness")
    with world(folder, cluster.conninfo.argv_dsn(), databases=("sameness",)) as made:
        opened = take(made)
        drop(cluster, "sameness")
        execute(cluster.conninfo, "DROP ROLE clerk")
        yield made, opened


def at(stage: str, server: Cluster, *statements: str) -> Callable[[str], None]:
    """Give somebody who changes what was restored at a stage, in whatever database holds it then."""

    def change(now: str) -> None:
        if now == stage:
            for name in databases(server):
                if name.startswith("sameness") and name != "sameness":
                    execute(server.conninfo.with_database(name), *statements)
            if "sameness" in databases(server) and len(databases(server)) == 2:
                execute(server.conninfo.with_database("sameness"), *statements)

    return change


def wish(server: Cluster, **more: object) -> Wish:
    return Wish(into=server.conninfo, thorough=True, **more)  # type: ignore[arg-type] # a wish's own keys


@pytest.mark.extended
def test_what_is_the_same_is_said_to_be(backup: tuple[World, Opened], server: Cluster) -> None:
    made, opened = backup
    found = restore(made.services, opened, wish(server), made.stop).sameness
    assert found is not None
    assert not found.differs
    [held] = found.databases
    assert held.comparison is not None
    assert (len(held.comparison.tables), held.comparison.rows) == (2, 50)
    assert found.globals is not None
    assert found.globals.roles == 1
    sameness.require_same(found)


@pytest.mark.extended
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("UPDATE orders SET state = 'lost' WHERE id = 7", "rows public.orders is different"),
        ("ALTER ROLE clerk CREATEDB", "role clerk is different"),
        ("ALTER TABLE quiet ADD CHECK (id > 0)", "table public.quiet is different"),
    ],
)
def test_what_differs_is_named(backup: tuple[World, Opened], server: Cluster, change: str, told: str) -> None:
    made, opened = backup
    services = made.staged(at("restored", server, change))
    found = restore(services, opened, wish(server), made.stop).sameness
    assert found is not None
    assert found.differs
    with pytest.raises(RestoreTestError) as caught:
        sameness.require_same(found)
    assert told in caught.value.message
    assert databases(server) == {"postgres", "sameness"}  # it stays


def test_what_differs_takes_nobodys_place(backup: tuple[World, Opened], server: Cluster) -> None:
    made, opened = backup
    live = damaged(server)
    services = made.staged(at("restored", server, "UPDATE orders SET state = 'lost' WHERE id = 7"))
    with pytest.raises(RestoreTestError, match="came back, but not as in the backup") as caught:
        bring_back(services, opened, wish(server, database="sameness"), made.stop, live=True)
    assert "`holdfast swap` can still put it in place" in str(caught.value.hint)
    assert query(live, "SELECT count(*) FROM broken") == [(1,)]


@pytest.mark.extended
def test_what_cannot_be_compared_is_told_and_no_difference(
    backup: tuple[World, Opened], server: Cluster, tmp_path: Path
) -> None:
    made, opened = backup
    key = opened.backup.part("catalog")
    assert key is not None
    moved = tmp_path / "moved"

    def take_away(now: str) -> None:  # the store is gone after the restore
        if now == "restored":
            place = Path(str(opened.place.store.location))
            place.rename(moved)

    services = made.staged(take_away)
    try:
        found = restore(services, opened, wish(server), made.stop).sameness
    finally:
        moved.rename(Path(str(opened.place.store.location)))
    assert found is not None
    assert not found.differs
    [held] = found.databases
    assert held.comparison is None
    assert held.reason is not None


def damaged(server: Cluster) -> Conninfo:
    execute(server.conninfo, "CREATE ROLE clerk LOGIN")
    return create(server, "sameness", "CREATE TABLE broken AS SELECT 1 AS x")
