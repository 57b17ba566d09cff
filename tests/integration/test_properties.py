from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import LiteralString

import pytest
from psycopg import sql

from holdfast.model.catalog import Properties
from holdfast.model.errors import NotFoundError, SourceError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.contents import what_is_there
from holdfast.postgres.dropping import drop_database
from holdfast.postgres.properties import (
    create_database_sql,
    property_statements,
    read_properties,
    split_names,
)
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import Connection, connect
from support import torture
from support.postgres import execute, needs_extension, needs_icu, query
from support.restoring import create, drop, put_back, take
from support.world import world

_ODD = 'Odd "name".with/it\'s ü\nline %s'


def _make(conn: Connection, name: str, properties: Properties) -> None:
    conn.execute(create_database_sql(name, properties, conn.info.server_version, tablespaces=True))
    for statement in property_statements(name, properties):
        conn.execute(statement)


def _round_trip(cluster: Cluster, original: str) -> tuple[Properties, Properties]:
    with connect(cluster.conninfo, application_name="test") as conn:
        before = read_properties(conn, original)
        try:
            _make(conn, _ODD, before)
            return before, read_properties(conn, _ODD)
        finally:
            drop_database(conn, cluster.conninfo, _ODD)


def test_all_properties_come_back_under_another_name(cluster: Cluster) -> None:
    name = 'The "original"'
    torture.load(cluster.conninfo, name)
    try:
        before, after = _round_trip(cluster, name)
    finally:
        with connect(cluster.conninfo, application_name="test") as conn:
            drop_database(conn, cluster.conninfo, name)
    assert after == before
    assert before.owner == "torture owner"
    assert before.connection_limit == 50
    assert before.comment is not None
    assert {setting.role for setting in before.settings} == {None, "torture owner", "torture_reader"}
    assert {grant.grantor for grant in before.grants or ()} == {"torture owner", "torture_reader"}


def test_default_properties_come_back_as_defaults(cluster: Cluster, database: Conninfo) -> None:
    before, after = _round_trip(cluster, str(database.database))
    assert after == before
    assert before.grants is None
    assert before.settings == ()


_LOCALES: list[tuple[int, LiteralString]] = [
    (130000, "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"),
    (130000, "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'POSIX'"),
    (150000, "LOCALE_PROVIDER icu ICU_LOCALE 'de-AT' LC_COLLATE 'C' LC_CTYPE 'C'"),
    (160000, "LOCALE_PROVIDER icu ICU_LOCALE 'de' ICU_RULES '&a < g' LC_COLLATE 'C' LC_CTYPE 'C'"),
    (170000, "LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LC_COLLATE 'C' LC_CTYPE 'C'"),
]


@pytest.mark.parametrize(("since", "clause"), _LOCALES)
def test_encodings_and_locales_come_back(cluster: Cluster, since: int, clause: LiteralString) -> None:
    if cluster.version_num < since:
        _refused_by_an_older_server(since)
        return
    if "icu" in clause:
        needs_icu(cluster)
    execute(cluster.conninfo, f"CREATE DATABASE elsewhere TEMPLATE template0 {clause}")
    try:
        before, after = _round_trip(cluster, "elsewhere")
    finally:
        execute(cluster.conninfo, "DROP DATABASE elsewhere")
    assert after == before


def _refused_by_an_older_server(since: int) -> None:
    provider = "b" if since == 170000 else "i"
    properties = replace(
        _PLAIN, provider=provider, locale="C.UTF-8", icu_rules="&a < g" if since == 160000 else None
    )
    with pytest.raises(SourceError, match=f"needs PostgreSQL {since // 10000} or later; this server is 14"):
        create_database_sql("x", properties, 140000, tablespaces=True)


_PLAIN = Properties(
    owner="postgres",
    encoding="UTF8",
    collate="C",
    ctype="C",
    provider="c",
    locale=None,
    icu_rules=None,
    collation_version=None,
    tablespace="fast disk",
    connection_limit=-1,
    comment=None,
    grants=None,
    settings=(),
)


@pytest.mark.parametrize("since", [150000, 160000, 170000])
def test_a_locale_that_the_server_cannot_have_is_refused(since: int) -> None:
    _refused_by_an_older_server(since)


def test_servers_before_15_get_no_clause_that_they_do_not_know() -> None:
    text = create_database_sql("x", _PLAIN, 140000, tablespaces=True).as_string(None)
    assert "LOCALE_PROVIDER" not in text
    assert text.endswith('TABLESPACE "fast disk"')
    assert "TABLESPACE" not in create_database_sql("x", _PLAIN, 140000, tablespaces=False).as_string(None)


def test_an_unknown_database_is_not_found(cluster: Cluster) -> None:
    with (
        connect(cluster.conninfo, application_name="test") as conn,
        pytest.raises(NotFoundError, match="no such"),
    ):
        read_properties(conn, "no such")


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("", []),
        ('""', [""]),
        ("a, b", ["a", "b"]),
        ('"$user", public', ["$user", "public"]),
        ('"a, b","c""d"', ["a, b", 'c"d']),
        ('"""", x', ['"', "x"]),
    ],
)
def test_stored_lists_of_names_are_split(value: str, names: list[str]) -> None:
    assert split_names(value) == names


def test_a_template_is_one_again_and_can_be_dropped(cluster: Cluster, database: Conninfo) -> None:
    execute(cluster.conninfo, f'ALTER DATABASE "{database.database}" IS_TEMPLATE true')
    before, after = _round_trip(cluster, str(database.database))
    execute(cluster.conninfo, f'ALTER DATABASE "{database.database}" IS_TEMPLATE false')
    assert before.is_template
    assert after == before


def test_dropping_leaves_the_slot_of_a_publisher_alone(cluster: Cluster, database: Conninfo) -> None:
    execute(database, "SELECT pg_create_logical_replication_slot('production', 'pgoutput')")
    try:
        with connect(cluster.conninfo, application_name="test") as conn:
            conn.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(_ODD)))
            execute(
                cluster.conninfo.with_database(_ODD),
                f"CREATE SUBSCRIPTION \"s 1\" CONNECTION 'dbname={database.database}' PUBLICATION p"
                " WITH (connect = false, slot_name = production)",
            )
            with connect(cluster.conninfo.with_database(_ODD), application_name="in the way"):
                drop_database(conn, cluster.conninfo, _ODD)
            assert not conn.execute("SELECT FROM pg_database WHERE datname = %s", (_ODD,)).fetchall()
            drop_database(conn, cluster.conninfo, _ODD)
        assert query(
            database, "SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'production'"
        ) == [(1,)]
    finally:
        execute(database, "SELECT pg_drop_replication_slot('production')")


def test_a_fresh_database_is_empty(database: Conninfo) -> None:
    with connect(database, application_name="test") as conn:
        assert not what_is_there(conn)
        assert what_is_there(conn) == ""
        conn.execute("CREATE TEMPORARY TABLE passing (x integer)")
        conn.execute("DROP SCHEMA public")
        conn.execute("CREATE SCHEMA public")
        assert not what_is_there(conn)


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("CREATE TABLE public.orders (x integer)", "1 relation (orders)"),
        ("CREATE SCHEMA shop", "1 schema (shop)"),
        ("CREATE SEQUENCE public.s", "1 relation (s)"),
        ("CREATE FUNCTION f() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "1 function (f)"),
        ("CREATE TYPE public.mood AS ENUM ('a')", "1 type (mood)"),
        ("CREATE DOMAIN public.d AS integer", "1 type (d)"),
        ("SELECT lo_create(100)", "1 large object (100)"),
        ("CREATE PUBLICATION p", "1 publication (p)"),
        ("CREATE FOREIGN DATA WRAPPER w", "1 foreign-data wrapper (w)"),
        ("CREATE COLLATION public.c (locale = 'C')", "1 collation (c)"),
        ("CREATE TEXT SEARCH CONFIGURATION public.ts (COPY = simple)", "1 text search configuration (ts)"),
        ("CREATE CAST (text AS money) WITH INOUT", "1 cast (text as money)"),
        ("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC", "1 default privilege (postgres)"),
    ],
)
@pytest.mark.sampled(5)
def test_any_object_of_a_user_fills_a_database(database: Conninfo, statement: str, told: str) -> None:
    execute(database, statement)
    with connect(database, application_name="test") as conn:
        assert what_is_there(conn)
        assert what_is_there(conn) == told


def test_an_extension_fills_a_database_as_one_object(cluster: Cluster, database: Conninfo) -> None:
    name = needs_extension(cluster, "hstore", "vector")
    execute(database, f"CREATE EXTENSION {name}")
    with connect(database, application_name="test") as conn:
        assert what_is_there(conn)
        assert what_is_there(conn) == f"1 extension ({name})"


@pytest.mark.extended
@pytest.mark.parametrize("name", ["legacy", "Übersicht"])
def test_what_a_database_of_another_encoding_is_comes_back(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path, name: str
) -> None:
    """Its name and its owner's are the server's, in UTF-8; what was set within it is in its own encoding."""
    for each in (cluster, second_cluster):
        execute(each.conninfo, 'CREATE ROLE "Größe"')
    options = """TEMPLATE template0 ENCODING 'WIN1251' LC_COLLATE 'C' LC_CTYPE 'C' OWNER "Größe\""""
    where = create(cluster, name, options=options)
    database = sql.Identifier(name)
    if name.isascii():
        execute(
            where,
            sql.SQL("COMMENT ON DATABASE {} IS 'Привет'").format(database),
            sql.SQL("ALTER DATABASE {} SET search_path TO 'Схема'").format(database),
        )
    execute(
        cluster.conninfo,
        sql.SQL('GRANT CONNECT ON DATABASE {} TO "Größe" WITH GRANT OPTION').format(database),
        sql.SQL("ALTER ROLE \"Größe\" IN DATABASE {} SET work_mem TO '5MB'").format(database),
    )
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(name,)) as made:
            put_back(made, take(made), second_cluster, database=name)
        found = []
        for each in (cluster, second_cluster):
            with connect(each.conninfo.with_database(name), application_name="test") as conn:
                found.append(read_properties(conn, name))
            with connect(each.conninfo, application_name="test") as conn:
                assert read_properties(conn, name) == found[-1]  # from outside, too
        assert found[0] == found[1]
        assert (found[1].owner, {each.role for each in found[1].settings} >= {"Größe"}) == ("Größe", True)
        if name.isascii():
            assert query(second_cluster.conninfo.with_database(name), "SHOW search_path") == [('"Схема"',)]
            assert found[1].comment == "Привет"
    finally:
        for each in (cluster, second_cluster):
            drop(each, name)
            execute(each.conninfo, 'DROP ROLE "Größe"')


def test_a_database_is_found_by_a_name_that_its_own_encoding_reads_otherwise(cluster: Cluster) -> None:
    name = "Übersicht"
    other = create(
        cluster, "other", options="TEMPLATE template0 ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    create(cluster, name, options="TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'")
    try:
        execute(other, "COMMENT ON DATABASE other IS 'ü'")  # no UTF-8: all is read as Latin-1 in SQL_ASCII
        with connect(cluster.conninfo.with_database(name), application_name="test") as conn:
            assert read_properties(conn, name).encoding == "SQL_ASCII"
    finally:
        drop(cluster, "other", name)
