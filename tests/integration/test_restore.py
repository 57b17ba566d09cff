from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.jobs.reading import Opened
from holdfast.model.errors import NotFoundError, UsageError
from holdfast.postgres.properties import read_properties
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support import torture
from support.postgres import execute, has_icu, needs_icu, query, running_cluster
from support.restoring import (
    create,
    databases,
    differences,
    drop,
    globals_text,
    put_back,
    server_dir,
    take,
)
from support.world import World, world

NAMES = (
    """it's "quoted".a/b\\c 数据库-ü""",
    "new\nline\ttab",
    "--clean a=b",
    "postgresql://x:y@example.invalid/$(z)".ljust(63, "z"),
)
CONTENT = (
    'CREATE TABLE "it\'s.a ""table""/\nü =$x" ("co l" text)',
    'INSERT INTO "it\'s.a ""table""/\nü =$x" VALUES (E\'a\\n\\\\.\\nb\')',
)
# Each would keep a session that did not see to it from restoring.
SETTINGS = (
    "default_transaction_read_only TO on",
    "statement_timeout TO '1ms'",
    "lock_timeout TO '1ms'",
    "search_path TO ''",
    "row_security TO off",
    "client_encoding TO 'SQL_ASCII'",
    "datestyle TO 'SQL, DMY'",
    "default_transaction_isolation TO 'serializable'",
    "standard_conforming_strings TO off",
    "array_nulls TO off",
)
SPACE = "fast 'disk'"


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    """Run a server full of oddities."""
    with running_cluster(tcp=False) as cluster:
        execute(
            cluster.conninfo,
            "CREATE ROLE \"o'dd\" LOGIN PASSWORD 'pass''word' VALID UNTIL '2038-01-01' CONNECTION LIMIT 3",
            "CREATE ROLE grp NOINHERIT BYPASSRLS CREATEDB",
            'GRANT grp TO "o\'dd" WITH ADMIN OPTION',
            "ALTER ROLE grp SET search_path TO a, \"B c\", 'd'",
            "ALTER ROLE grp SET work_mem TO '7MB'",
            "COMMENT ON ROLE grp IS E'it''s\\na group'",
            "GRANT pg_read_all_data TO grp",
            f"CREATE TABLESPACE \"{SPACE}\" OWNER grp LOCATION '{server_dir(cluster, 'space')}'",
            f'ALTER TABLESPACE "{SPACE}" SET (random_page_cost = 1.5)',
            f'GRANT CREATE ON TABLESPACE "{SPACE}" TO "o\'dd"',
            f"COMMENT ON TABLESPACE \"{SPACE}\" IS 'fast'",
        )
        execute(cluster.conninfo, 'CREATE TABLE "in postgres" AS SELECT 1 AS x')
        torture.load(cluster.conninfo, "torture")
        for name in NAMES:
            create(cluster, name, *CONTENT)
        create(cluster, "empty")
        create(
            cluster,
            "bare",
            "DROP SCHEMA public",
            "DROP EXTENSION plpgsql",
            "CREATE SCHEMA s",
            "CREATE TYPE s.t AS ()",
        )
        create(
            cluster,
            "spaced",
            "CREATE TABLE t AS SELECT generate_series(1, 10)",
            "CREATE TABLE u TABLESPACE pg_default AS SELECT 1",
            f'CREATE INDEX ON u ("?column?") TABLESPACE "{SPACE}"',
            options=f'TEMPLATE template0 TABLESPACE "{SPACE}"',
        )
        if has_icu(cluster):
            create(
                cluster,
                "icu",
                "CREATE TABLE t AS SELECT 'ä' AS x",
                options="TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk' LOCALE 'C' OWNER grp",
            )
        create(
            cluster,
            "latin",
            "CREATE TABLE t AS SELECT 'ä'::text AS x, '{NULL,a}'::text[] AS words, '{NULL,1}'::int[] AS numbers",
            options="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'",
        )
        execute(cluster.conninfo, *(f"ALTER DATABASE latin SET {setting}" for setting in SETTINGS))
        yield cluster


@pytest.fixture(scope="module")
def shop(source: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a world whose target is that server."""
    # pg_dump switches statement_timeout off in its second statement: on a busy machine the first lasts a millisecond.
    url = source.conninfo.argv_dsn() + " options='-c statement_timeout=0'"
    with world(tmp_path_factory.mktemp("world"), url) as made:
        yield made


@pytest.fixture(scope="module")
def opened(shop: World) -> Opened:
    """Give a backup of the whole server."""
    return take(shop)


@pytest.fixture(scope="module")
def fresh() -> Iterator[Cluster]:
    """Run a server that knows none of the roles and tablespaces."""
    with running_cluster(tcp=False) as cluster:
        yield cluster


@pytest.mark.fault("server.everything")
def test_a_whole_server_comes_back_identical_with_its_roles_and_tablespaces(
    source: Cluster, shop: World, opened: Opened
) -> None:
    with running_cluster(tcp=False) as empty:
        place = server_dir(empty, "else where")
        report = put_back(shop, opened, empty, tablespaces={SPACE: str(place)})

        assert {done.name for done in report.databases} == databases(source) == databases(empty)
        for name in sorted(databases(source)):
            options = () if "\n" in name else ("--create",)  # pg_dump writes no CREATE DATABASE for that
            found = differences((source, name), (empty, name), *options)
            assert not found, "\n".join([name, *found])
        old, new = globals_text(source), globals_text(empty)
        assert old.replace(str(source.data_dir.parent / "space"), str(place)) == new
    assert report.globals is not None
    assert report.globals.tablespaces_created == (SPACE,)
    assert report.globals.kept == ("postgres",)
    assert set(report.globals.created) == {"o'dd", "grp", *torture.ROLES}
    done = {each.name: each for each in report.databases}
    assert (done["empty"].tables, done["bare"].tables, done["spaced"].tables) == (0, 0, 2)
    assert (done["empty"].rows, done["spaced"].rows) == (0, 11)
    assert [name for name, each in done.items() if not each.created] == ["postgres"]


@pytest.mark.parametrize("name", ["torture", "icu", "latin"])
def test_one_database_comes_back_under_another_name_with_its_own_properties(
    source: Cluster, shop: World, opened: Opened, name: str
) -> None:
    if name == "icu":
        needs_icu(source)
    other = f'{name} "again"'
    try:
        report = put_back(shop, opened, source, database=name, rename=other)

        assert [done.name for done in report.databases] == [other]
        assert report.globals is None
        assert differences((source, name), (source, other)) == []
        with connect(source.conninfo, application_name="test") as connection:
            assert read_properties(connection, other) == read_properties(connection, name)
    finally:
        drop(source, other)


def test_nothing_is_overwritten_and_the_refusal_names_three_ways_on(
    source: Cluster, shop: World, opened: Opened
) -> None:
    before = query(source.conninfo, "SELECT oid, datname, datacl FROM pg_database ORDER BY 1")

    with pytest.raises(
        UsageError, match=r"database '.+' on .+ is not empty: it holds .*1 relation "
    ) as caught:
        put_back(shop, opened, source)
    with pytest.raises(UsageError, match=r"'postgres' .* is not empty: it holds 1 relation \(in postgres\)"):
        put_back(shop, opened, source, database="postgres")

    for way in ("--database NAME --as NEW_NAME", "--to URL", "drop or empty it yourself"):
        assert way in (caught.value.hint or "")
    assert query(source.conninfo, "SELECT oid, datname, datacl FROM pg_database ORDER BY 1") == before


def test_an_empty_database_that_exists_is_filled(shop: World, opened: Opened, fresh: Cluster) -> None:
    create(fresh, "spaced")
    try:
        report = put_back(shop, opened, fresh, database="spaced")

        assert not report.databases[0].created
        where = fresh.conninfo.with_database("spaced")
        assert query(where, "SELECT count(*) FROM t") == [(10,)]
    finally:
        drop(fresh, "spaced")


def test_roles_that_exist_are_listed_and_not_changed(shop: World, opened: Opened, fresh: Cluster) -> None:
    execute(fresh.conninfo, "CREATE ROLE grp CREATEROLE", "ALTER ROLE grp SET work_mem TO '1MB'")
    try:
        report = put_back(shop, opened, fresh, database="empty", roles=True)

        assert report.globals is not None
        assert set(report.globals.kept) == {"postgres", "grp"}
        assert "o'dd" in report.globals.created
        facts = (
            "SELECT rolcreaterole, rolcreatedb, rolbypassrls, rolinherit FROM pg_roles WHERE rolname = 'grp'"
        )
        assert query(fresh.conninfo, facts) == [(True, False, False, True)]
        settings = "SELECT setconfig::text FROM pg_db_role_setting s JOIN pg_roles r ON r.oid = setrole WHERE rolname = 'grp'"
        assert query(fresh.conninfo, settings) == [("{work_mem=1MB}",)]
        members = "SELECT roleid::regrole::text, member::regrole::text, admin_option FROM pg_auth_members WHERE roleid::regrole::text = 'grp'"
        assert query(fresh.conninfo, members) == [("grp", '"o\'dd"', True)]
    finally:
        drop(fresh, "empty")
        execute(fresh.conninfo, *(f'DROP ROLE "{name}"' for name in ("o'dd", "grp", *torture.ROLES)))


def test_a_tablespace_that_is_not_mapped_is_left_out_and_told(
    shop: World, opened: Opened, fresh: Cluster
) -> None:
    try:
        report = put_back(shop, opened, fresh, database="spaced")

        assert any("tablespaces are left out" in text and SPACE in text for text in report.warnings)
        where = fresh.conninfo.with_database("spaced")
        assert query(where, "SELECT count(*) FROM pg_class WHERE reltablespace <> 0 AND oid > 16384") == [
            (0,)
        ]
        assert query(where, "SELECT count(*) FROM t") == [(10,)]
    finally:
        drop(fresh, "spaced")


@pytest.mark.parametrize(
    ("wish", "error", "message"),
    [
        ({"rename": "x"}, UsageError, "--as goes with --database"),
        ({"database": "absent"}, NotFoundError, "holds no database 'absent'"),
        ({"database": "empty", "rename": "ä" * 32}, UsageError, "is longer than the 63 bytes"),
        ({"database": "empty", "rename": "template1"}, UsageError, "'template1' is a template"),
    ],
)
def test_an_impossible_wish_is_refused(
    shop: World, opened: Opened, fresh: Cluster, wish: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        put_back(shop, opened, fresh, **wish)
    assert databases(fresh) == {"postgres"}
