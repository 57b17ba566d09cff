"""The nasty database comes back by each of the ways that restore has, and what makes no sense is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from holdfast.jobs.reading import Opened
from holdfast.jobs.restore import Wish, restore
from holdfast.methods.pg_restore import Options, Section
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, SourceError, UsageError
from holdfast.postgres import analyze
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.properties import read_properties
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.stores.base import read_all
from holdfast.streams import age_keys
from support import torture
from support.memory_store import MemoryStore
from support.postgres import execute, query, running_cluster
from support.restoring import create, databases, differences, drop, put_back, take
from support.world import World, world

SECTIONS: tuple[Section, ...] = get_args(Section)
# The sessions of the test and of the backup are left out, as they would make the source another.
LOGIN = (
    """CREATE FUNCTION entered() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN
    IF current_setting('application_name') ~ '^holdfast (restore|compare)' THEN INSERT INTO public.log VALUES ('entered'); END IF; END$$""",
    "CREATE EVENT TRIGGER entering ON login EXECUTE FUNCTION entered()",
    "ALTER EVENT TRIGGER entering ENABLE ALWAYS",
)


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    """Run a server with the nasty database, one that anybody can restore, one with a single table, and an empty one."""
    with running_cluster(tcp=False) as cluster:
        torture.load(cluster.conninfo, "torture")
        execute(cluster.conninfo, "CREATE ROLE app", "CREATE ROLE clerk LOGIN CREATEDB", "CREATE ROLE reader")
        create(
            cluster,
            "plain",
            "CREATE TABLE item AS SELECT n, md5(n::text) AS text FROM generate_series(1, 500) n",
            "ALTER TABLE item ADD PRIMARY KEY (n)",
            "CREATE TABLE sold (n int REFERENCES item, at date DEFAULT '2026-01-01')",
            "INSERT INTO sold SELECT n FROM item WHERE n % 2 = 0",
            "CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n FROM sold",
            "ALTER TABLE item OWNER TO app",
            "ALTER TABLE sold OWNER TO app",
            "GRANT SELECT ON item TO reader",
            options="TEMPLATE template0 OWNER app",
        )
        execute(
            cluster.conninfo,
            "GRANT CREATE ON DATABASE plain TO reader",
            "ALTER ROLE reader IN DATABASE plain SET work_mem TO '6MB'",
            "ALTER DATABASE plain SET work_mem TO '5MB'",
        )
        create(cluster, "single", "CREATE TABLE t AS SELECT 1 AS x")
        create(cluster, "empty")
        yield cluster


@pytest.fixture(scope="module")
def shop(source: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a world whose target is the source."""
    with world(tmp_path_factory.mktemp("world"), source.conninfo.argv_dsn()) as made:
        yield made


@pytest.fixture(scope="module")
def opened(shop: World) -> Opened:
    """Give a backup of the source."""
    return take(shop)


@pytest.fixture
def again(source: Cluster) -> Iterator[str]:
    """Give the name of a database that is dropped at the end."""
    yield "again"
    drop(source, "again")


@pytest.mark.parametrize(("name", "jobs"), [("torture", 2), ("single", 3), ("empty", 2)])
@pytest.mark.sampled(1)
def test_several_jobs_restore_the_same_as_one(
    source: Cluster, shop: World, opened: Opened, again: str, name: str, jobs: int, tmp_path: Path
) -> None:
    spooling = replace(shop, services=replace(shop.services, spool_dir=tmp_path))
    report = put_back(spooling, opened, source, database=name, rename=again, options=Options(jobs=jobs))

    assert differences((source, name), (source, again)) == []
    assert report.warnings == ()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.extended
def test_three_sections_one_after_the_other_make_the_whole(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    for section in SECTIONS:
        options = Options(sections=(section,), jobs=2 if section == "data" else 1)
        report = put_back(shop, opened, source, database="torture", rename=again, options=options)
        assert (report.databases[0].rows is not None) == (section == "data")

    assert differences((source, "torture"), (source, again)) == []


def test_rows_go_only_into_tables_that_are_there_and_empty(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    data = Options(sections=("data",))
    with pytest.raises(NotFoundError, match=r"no database 'again' .* for --section data") as nowhere:
        put_back(shop, opened, source, database="plain", rename=again, options=data)
    assert "--section pre-data first" in (nowhere.value.hint or "")

    create(source, again, "CREATE TABLE sold (n int, at date)")
    with pytest.raises(UsageError, match=r"lacks tables whose rows would be restored: public\.item$"):
        put_back(shop, opened, source, database="plain", rename=again, options=data)

    where = source.conninfo.with_database(again)
    execute(where, "CREATE TABLE item (n int, text text)", "INSERT INTO sold VALUES (1)")
    with pytest.raises(UsageError, match=r"tables that hold rows already: public\.sold$"):
        put_back(shop, opened, source, database="plain", rename=again, options=data)
    assert query(where, "SELECT count(*) FROM item") == [(0,)]


def test_a_section_that_fails_leaves_the_database_as_it_was(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    put_back(shop, opened, source, database="plain", rename=again, options=Options(sections=("pre-data",)))
    where = source.conninfo.with_database(again)
    execute(where, "ALTER TABLE sold ADD CHECK (n < 400)")

    with pytest.raises(SourceError, match="violates check constraint"):
        put_back(shop, opened, source, database="plain", rename=again, options=Options(sections=("data",)))

    assert query(where, "SELECT (SELECT count(*) FROM item), (SELECT count(*) FROM sold)") == [(0, 0)]
    assert "is left as it was" in shop.recorder.warnings[-1][0]


def test_a_clerk_without_rights_restores_everything_as_his_own(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    clerk = replace(
        source, conninfo=replace(source.conninfo, params={**source.conninfo.params, "user": "clerk"})
    )
    options = Options(no_owner=True, no_privileges=True, jobs=2)
    put_back(shop, opened, clerk, database="plain", rename=again, options=options)

    assert differences((source, "plain"), (source, again), "--no-owner", "--no-privileges") == []
    where = source.conninfo.with_database(again)
    owners = "SELECT DISTINCT pg_get_userbyid(relowner)::text FROM pg_class WHERE relnamespace = 'public'::regnamespace"
    assert query(where, owners) == [("clerk",)]
    with connect(source.conninfo, application_name="test") as connection:
        there = read_properties(connection, again)
    assert (there.owner, there.grants) == ("clerk", None)
    assert [setting.value for setting in there.settings] == ["5MB"]


def test_without_owners_a_role_may_own_it_and_the_grants_stay(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    put_back(
        shop, opened, source, database="plain", rename=again, options=Options(no_owner=True, role="clerk")
    )
    where = source.conninfo.with_database(again)
    assert query(
        where, "SELECT relowner::regrole::text, relacl::text FROM pg_class WHERE relname = 'item'"
    ) == [("clerk", f"{{clerk=arwdDxt{'m' if source.version_num >= 170000 else ''}/clerk,reader=r/clerk}}")]
    with connect(source.conninfo, application_name="test") as connection:
        there = read_properties(connection, again)
    assert there.owner == "clerk"
    assert ("reader", "CREATE") in {(each.grantee, each.privilege) for each in there.grants or ()}


def test_without_privileges_nobody_is_granted_anything(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    put_back(shop, opened, source, database="plain", rename=again, options=Options(no_privileges=True))
    where = source.conninfo.with_database(again)
    assert query(where, "SELECT relacl, relowner::regrole::text FROM pg_class WHERE relname = 'item'") == [
        (None, "app")
    ]
    assert query(where, "SELECT datacl FROM pg_database WHERE datname = 'again'") == [(None,)]


def test_clean_replaces_what_the_backup_holds_and_nothing_else(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    put_back(shop, opened, source, database="plain", rename=again)
    where = source.conninfo.with_database(again)
    execute(where, "DELETE FROM sold", "DROP MATERIALIZED VIEW seen", "CREATE TABLE mine AS SELECT 7 AS x")

    report = put_back(shop, opened, source, database="plain", rename=again, options=Options(clean=True))

    assert not report.databases[0].created
    assert query(where, "SELECT x FROM mine") == [(7,)]
    execute(where, "DROP TABLE mine")
    assert differences((source, "plain"), (source, again)) == []


def test_a_clean_restore_makes_a_database_that_is_not_there(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    report = put_back(shop, opened, source, database="plain", rename=again, options=Options(clean=True))
    assert report.databases[0].created
    assert differences((source, "plain"), (source, again)) == []
    assert query(
        source.conninfo,
        "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'again'",
    ) == [(None,)]


@pytest.mark.extended
def test_a_clean_restore_that_fails_leaves_everything_as_it_was(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    put_back(shop, opened, source, database="plain", rename=again)
    where = source.conninfo.with_database(again)
    execute(where, "DELETE FROM sold", "CREATE VIEW mine AS SELECT * FROM item")

    with pytest.raises(SourceError, match=r"cannot drop table public\.item because other objects") as caught:
        put_back(shop, opened, source, database="plain", rename=again, options=Options(clean=True))

    assert "drop it first" in (caught.value.hint or "")
    assert query(where, "SELECT (SELECT count(*) FROM mine), (SELECT count(*) FROM sold)") == [(500, 0)]


@pytest.mark.parametrize(
    ("options", "wish", "message"),
    [
        (Options(jobs=0), {}, "--jobs 0"),
        (Options(clean=True, jobs=2), {"database": "plain"}, "--clean goes with one job"),
        (Options(clean=True), {}, "--clean goes with --database"),
        (Options(clean=True, sections=("data",)), {"database": "plain"}, "does not go with --section"),
        (Options(role="nobody"), {"database": "plain", "rename": "again"}, "--role nobody"),
        (Options(role=""), {"database": "plain", "rename": "again"}, "--role is empty"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    source: Cluster, shop: World, opened: Opened, options: Options, wish: dict[str, str], message: str
) -> None:
    before = databases(source)
    with pytest.raises(UsageError, match=message):
        put_back(shop, opened, source, **wish, options=options)
    assert databases(source) == before


def test_statistics_are_gathered_without_asking_a_foreign_server(database: Conninfo) -> None:
    execute(
        database,
        "CREATE FOREIGN DATA WRAPPER far",
        "CREATE SERVER far FOREIGN DATA WRAPPER far",
        "CREATE TABLE p (i int) PARTITION BY RANGE (i)",
        "CREATE TABLE p_1 PARTITION OF p FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (i)",
        "CREATE TABLE p_1_1 PARTITION OF p_1 FOR VALUES FROM (0) TO (5)",
        "CREATE FOREIGN TABLE p_2 PARTITION OF p FOR VALUES FROM (10) TO (20) SERVER far",
        "CREATE TABLE q (i int)",
    )
    found = analyze.tables(database, application_name="test")
    assert {name for schema, name in found if schema == "public"} == {"p_1", "q"}


@pytest.mark.parametrize("analyze", [True, False])
def test_the_planner_knows_the_tables_unless_told_otherwise(
    source: Cluster, shop: World, opened: Opened, again: str, *, analyze: bool
) -> None:
    put_back(shop, opened, source, database="plain", rename=again, options=Options(analyze=analyze, jobs=2))
    where = source.conninfo.with_database(again)
    known = query(
        where, "SELECT DISTINCT tablename::text FROM pg_stats WHERE schemaname = 'public' ORDER BY 1"
    )
    assert known == ([("item",), ("seen",), ("sold",)] if analyze else [])


def test_the_table_at_work_is_told(source: Cluster, shop: World, opened: Opened, again: str) -> None:
    for jobs in (1, 2):
        shop.recorder.done.clear()
        put_back(shop, opened, source, database="plain", rename=again, options=Options(jobs=jobs))
        told = {"table public.item", "constraint public.item item_pkey"} & set(shop.recorder.done)
        assert len(told) >= (2 if jobs == 1 else 1)  # several sessions write into each other's lines
        drop(source, again)


def test_an_error_is_told_without_what_went_well_before(
    source: Cluster, shop: World, opened: Opened, again: str
) -> None:
    create(source, again, "CREATE TABLE sold ()")
    with pytest.raises(Error, match="is not empty"):
        put_back(shop, opened, source, database="plain", rename=again)
    with pytest.raises(SourceError) as caught:
        put_back(
            shop, opened, source, database="torture", rename=again, options=Options(sections=("post-data",))
        )
    first, *_ = caught.value.message.removeprefix(f"database '{again}': ").splitlines()
    assert first.startswith("pg_restore exited with status 1: pg_restore: error: ")
    assert "creating" not in caught.value.message


@pytest.mark.parametrize("jobs", [1, 2])
def test_another_identity_opens_nothing_and_nothing_is_made(
    source: Cluster, shop: World, opened: Opened, jobs: int
) -> None:
    before = query(source.conninfo, "SELECT oid FROM pg_database ORDER BY 1")
    keys = replace(shop.keys, identities=(age_keys.generate(),))
    stranger = replace(shop, services=replace(shop.services, keys=keys))
    with pytest.raises(KeyFileError):
        put_back(stranger, opened, source, database="plain", rename="again", options=Options(jobs=jobs))
    assert query(source.conninfo, "SELECT oid FROM pg_database ORDER BY 1") == before


def test_several_jobs_begin_only_when_every_byte_was_checked(
    source: Cluster, shop: World, opened: Opened
) -> None:
    part = opened.backup.part("database", "plain")
    assert part is not None
    place = opened.place
    [segment] = part.segments
    damaged = MemoryStore("damaged")
    damaged.objects = {item.key: read_all(place.store, item.key) for item in place.store.list()}
    damaged.objects[place.key(segment.name)] = damaged.objects[place.key(segment.name)][:-20] + bytes(20)
    there = replace(opened, place=replace(place, store=damaged))

    stages: list[str] = []
    wish = Wish(into=source.conninfo, database="plain", rename="again", options=Options(jobs=2))
    with pytest.raises(IntegrityError):
        restore(shop.staged(stages.append), there, wish, shop.stop)
    assert "staged" not in stages
    assert "again" not in databases(source)


@pytest.mark.extended
@pytest.mark.parametrize("options", [Options(), Options(jobs=2), Options(clean=True)])
def test_event_triggers_do_not_act_on_what_the_restore_still_does(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path, options: Options
) -> None:
    made = (
        "CREATE TABLE log (tag text)",
        "CREATE TABLE t AS SELECT 1 AS x",
        "CREATE MATERIALIZED VIEW seen AS SELECT count(*) AS n FROM t",
        "CREATE FUNCTION logged() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.log VALUES (tg_tag); END'",
        *(LOGIN if cluster.version_num >= 170000 else ()),
        "CREATE EVENT TRIGGER logging ON ddl_command_end EXECUTE FUNCTION logged()",
        "COMMENT ON EVENT TRIGGER logging IS 'all of it'",
        "SELECT lo_from_bytea(77, '\\x00ff')",
    )
    create(cluster, "logged", *made)
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("logged",)) as shop:
            opened = take(shop)
            if options.clean:
                put_back(shop, opened, second_cluster, database="logged")
            put_back(shop, opened, second_cluster, database="logged", options=options, thorough=True)
        assert differences((cluster, "logged"), (second_cluster, "logged")) == []
    finally:
        drop(cluster, "logged")
        drop(second_cluster, "logged")


@pytest.mark.extended
def test_clean_tells_of_default_privileges_that_add_to_the_grants(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    """A table made before them has none of theirs, and gets them when it is made anew where they are."""
    execute(cluster.conninfo, "CREATE ROLE giving_reader")
    create(
        cluster,
        "giving",
        "CREATE TABLE t AS SELECT 1 AS x",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO giving_reader",
    )
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("giving",)) as shop:
            opened = take(shop)
            first = put_back(shop, opened, second_cluster, database="giving", roles=True)
            again = put_back(shop, opened, second_cluster, database="giving", options=Options(clean=True))
        user = query(second_cluster.conninfo, "SELECT current_user")[0][0]
        assert first.databases[0].notes == ()
        assert again.databases[0].notes == (
            f"the default privileges of {user} in giving may have added to the backup's grants",
        )
    finally:
        for each in (cluster, second_cluster):
            drop(each, "giving")
            execute(each.conninfo, "DROP ROLE IF EXISTS giving_reader")
