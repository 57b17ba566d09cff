"""A dry run tells what a restore would do, what would keep it from it, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.reading import Opened
from holdfast.jobs.restore import Wish
from holdfast.jobs.restore_plan import Plan, plan
from holdfast.methods.pg_restore import Options
from holdfast.postgres.scratch import Cluster
from support.postgres import execute, query, running_cluster
from support.restoring import create, databases, drop, take
from support.world import World, world

EVERYTHING = (
    "SELECT oid, datname::text, datacl::text FROM pg_database UNION ALL SELECT oid, rolname, '' FROM pg_roles"
)


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    with running_cluster(tcp=False) as cluster:
        execute(cluster.conninfo, "CREATE ROLE app", "CREATE ROLE other")
        create(
            cluster,
            "plain",
            "CREATE TABLE item AS SELECT generate_series(1, 500) AS n",
            "CREATE TABLE sold ()",
            "ALTER TABLE sold OWNER TO other",
            options="TEMPLATE template0 OWNER app",
        )
        yield cluster


@pytest.fixture(scope="module")
def shop(source: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), source.conninfo.argv_dsn()) as made:
        yield made


@pytest.fixture(scope="module")
def opened(shop: World) -> Opened:
    return take(shop)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Cluster]:
    """Run a server that knows none of the roles."""
    with running_cluster(tcp=False) as cluster:
        yield cluster


def look(shop: World, opened: Opened, into: Cluster, **wish: object) -> Plan:
    """Plan a restore; make sure that nothing was changed and no run recorded."""
    before, runs = query(into.conninfo, EVERYTHING), shop.services.ledger.runs()
    planned = plan(shop.services, opened, Wish(into=into.conninfo, **wish), shop.stop)  # type: ignore[arg-type]
    assert query(into.conninfo, EVERYTHING) == before
    assert shop.services.ledger.runs() == runs
    return planned


def test_a_whole_restore_into_a_new_server_is_told(shop: World, opened: Opened, fresh: Cluster) -> None:
    planned = look(shop, opened, fresh)

    assert planned.problems == ()
    assert planned.globals is not None
    assert set(planned.globals.created) == {"app", "other"}
    assert planned.globals.kept == ("postgres",)
    [plain] = [each for each in planned.databases if each.name == "plain"]
    assert (plain.action, plain.tables, plain.rows, plain.owner) == ("create", 2, 500, "app")
    assert plain.size > 1000
    assert planned.staging is None
    [own] = [each for each in planned.databases if each.name == "postgres"]
    assert own.action == "fill"


def test_owners_that_are_missing_are_told(shop: World, opened: Opened, fresh: Cluster) -> None:
    planned = look(shop, opened, fresh, database="plain")
    assert [each.message for each in planned.problems] == [
        "database 'plain' has owners that the server lacks: app, other"
    ]
    assert "--roles" in (planned.problems[0].hint or "")
    assert look(shop, opened, fresh, database="plain", roles=True).problems == ()
    free = look(shop, opened, fresh, database="plain", options=Options(no_owner=True, no_privileges=True))
    assert free.problems == ()
    assert free.databases[0].owner == "postgres"


@pytest.mark.extended
def test_a_database_that_is_in_the_way_is_told_and_what_clean_would_do(
    source: Cluster, shop: World, opened: Opened
) -> None:
    planned = look(shop, opened, source, database="plain")
    assert "is not empty: it holds 2 relations" in planned.problems[0].message
    replacing = look(shop, opened, source, database="plain", options=Options(clean=True))
    assert (replacing.problems, replacing.databases[0].action) == ((), "replace")
    beside = look(shop, opened, source, database="plain", rename="beside")
    assert (beside.databases[0].name, beside.databases[0].source) == ("beside", "plain")
    assert "beside" not in databases(source)


@pytest.mark.extended
def test_the_space_for_staging_is_told(source: Cluster, shop: World, opened: Opened, tmp_path: Path) -> None:
    spooling = replace(shop, services=replace(shop.services, spool_dir=tmp_path))
    planned = look(spooling, opened, source, database="plain", rename="beside", options=Options(jobs=2))
    assert planned.staging is not None
    assert planned.staging.directory == tmp_path
    assert planned.staging.needed == planned.databases[0].size
    assert planned.staging.free > 0

    missing = replace(shop, services=replace(shop.services, spool_dir=tmp_path / "absent"))
    planned = look(missing, opened, source, database="plain", rename="beside", options=Options(jobs=2))
    assert "No such file or directory" in planned.problems[0].message


def test_several_problems_are_told_at_once(source: Cluster, shop: World, opened: Opened) -> None:
    create(source, "again", "CREATE TABLE item AS SELECT 1 AS n")
    try:
        options = Options(sections=("data",), role="nobody")
        planned = look(shop, opened, source, database="plain", rename="again", options=options)
    finally:
        drop(source, "again")
    assert [each.message.split(":")[0] for each in planned.problems] == [
        "--role nobody",
        "database 'again' lacks tables whose rows would be restored",
        "database 'again' has tables that hold rows already",
    ]
