"""Servers, databases and roles that are not as usual."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from holdfast.jobs.checks.check import check
from holdfast.methods import dump_hints
from holdfast.model.errors import SourceError
from holdfast.model.target import Selection
from holdfast.postgres import tools
from holdfast.postgres.archive import TocReader
from holdfast.postgres.compare import Digest, digest, schema_text
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.entries import tells_of_tables
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.archives import Item, archive
from support.postgres import execute, query, run_tool, toolset
from support.restoring import create, drop, put_back, take
from support.world import world


def test_a_snapshot_session_that_the_server_ended_does_not_spoil_the_dump_that_has_the_snapshot(
    cluster: Cluster, second_cluster: Cluster, database: Conninfo, tmp_path: Path
) -> None:
    name = str(database.database)
    execute(database, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS x")
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(name,), fingerprint="none") as w:

        def end_it(stage: str) -> None:
            if stage == "streaming:database":
                execute(
                    cluster.conninfo,
                    "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity"  # pg_dump's is younger
                    " WHERE application_name LIKE 'holdfast dump%' ORDER BY backend_start LIMIT 1) ours",
                )

        w.services = w.staged(end_it)
        opened = take(w)
        report = put_back(w, opened, second_cluster, database=name)
    drop(second_cluster, name)
    assert [restored.tables for restored in report.databases] == [1]


def test_a_sql_ascii_database_with_names_in_latin_1_comes_back(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    name = "ascii_names"
    create(cluster, name, options="TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'")
    where = cluster.conninfo.with_database(name)
    with psycopg.connect(where.dsn(), client_encoding="LATIN1", autocommit=True) as connection:
        connection.execute('CREATE SCHEMA "sch\xe4"')
        connection.execute('CREATE TABLE "sch\xe4"."t\xe4" ("c\xf6" text)')
        connection.execute('INSERT INTO "sch\xe4"."t\xe4" VALUES (\'\xfc\')')
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(name,)) as w:
            put_back(w, take(w), second_cluster, database=name)
        assert _texts(cluster, name) == _texts(second_cluster, name)
    finally:
        drop(cluster, name)
        drop(second_cluster, name)


@pytest.mark.extended
def test_what_other_databases_hold_does_not_change_how_a_sql_ascii_database_is_read(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    """Its copy is on a server that has none of those."""
    latin = create(cluster, "commented", options="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    execute(latin, "COMMENT ON DATABASE commented IS '\xe9'")  # kept in its encoding
    execute(cluster.conninfo, 'CREATE ROLE "r\xf4le"')
    create(
        cluster, "ascii_utf8", options="TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C' OWNER \"r\xf4le\""
    )
    where = cluster.conninfo.with_database("ascii_utf8")
    execute(where, 'CREATE TABLE "t\xe9" AS SELECT 1 AS x')
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("ascii_utf8",)) as w:
            report = put_back(w, take(w), second_cluster, database="ascii_utf8", roles=True)
        assert [(each.tables, each.rows) for each in report.databases] == [(1, 1)]
    finally:
        for each in (cluster, second_cluster):
            drop(each, "ascii_utf8")
            execute(each.conninfo, 'DROP ROLE IF EXISTS "r\xf4le"')
        drop(cluster, "commented")


def _texts(cluster: Cluster, name: str) -> tuple[Digest, str]:
    """Give a digest of a database, and its schema with each byte as one character."""
    where = cluster.conninfo.with_database(name)
    with connect(where, application_name="test") as connection:
        held = digest(connection)
    assert held.tables
    return held, schema_text(
        run_tool(toolset(cluster), "pg_dump", where, "--schema-only").decode("latin-1").splitlines()
    )


def test_a_role_whose_name_is_in_another_databases_encoding_is_told_of_and_hinders_no_database(
    cluster: Cluster, tmp_path: Path
) -> None:
    where = create(cluster, "latin_roles", options="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    execute(
        where,
        'CREATE ROLE "m\xfcller"',
        "CREATE TABLE t AS SELECT 1 AS x",
        'ALTER TABLE t OWNER TO "m\xfcller"',
    )
    url = cluster.conninfo.argv_dsn()
    try:
        with world(tmp_path / "all", url, databases=("latin_roles",)) as w:
            failed = [each for each in check(w.services, (w.target,), encrypted=True) if each.level == "fail"]
            assert ["m\\udcfcller" in each.message for each in failed] == [True]
            with pytest.raises(SourceError) as caught:
                take(w)
        assert "no UTF-8" in str(caught.value.hint)
        with world(tmp_path / "none", url, databases=("latin_roles",), globals=False) as w:
            assert take(w).backup.databases == ("latin_roles",)
    finally:
        execute(where, "DROP TABLE IF EXISTS t", 'DROP ROLE "m\xfcller"')
        drop(cluster, "latin_roles")


def test_settings_that_the_new_server_refuses_are_left_out_and_told(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    create(cluster, "refused", "CREATE TABLE t AS SELECT 1 AS x")
    execute(
        cluster.conninfo,
        "ALTER DATABASE refused SET work_mem TO '7MB'",
        "UPDATE pg_db_role_setting SET setconfig = setconfig || '{TimeZone=No/Where,gone_setting=1}'"
        " WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = 'refused')",
        "CREATE ROLE refused",
        "INSERT INTO pg_db_role_setting VALUES (0, 'refused'::regrole, '{no_such=1}')",
    )
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("refused",)) as w:
            put_back(w, take(w), second_cluster, database="refused", roles=True)
            told = [text for text, _ in w.recorder.warnings if "is left out" in text]
        kept = query(
            second_cluster.conninfo,
            "SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'refused'",
        )
    finally:
        for each in (cluster, second_cluster):
            drop(each, "refused")
            execute(each.conninfo, "DROP ROLE IF EXISTS refused")
    assert kept == [(["work_mem=7MB"],)]
    assert sorted(text.partition('parameter "')[2].partition('"')[0] for text in told) == [
        "TimeZone",
        "gone_setting",
        "no_such",
    ]


def test_roles_that_cannot_all_be_restored_are_not_left_half_made(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    execute(cluster.conninfo, "DROP ROLE IF EXISTS a_role", "CREATE ROLE a_role LOGIN PASSWORD 'x'")
    execute(second_cluster.conninfo, "CREATE ROLE admin LOGIN CREATEDB CREATEROLE")
    params = {**second_cluster.conninfo.params, "user": "admin"}
    admin = replace(second_cluster, conninfo=replace(second_cluster.conninfo, params=params))
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("postgres",)) as w:
            opened = take(w)
            with pytest.raises(SourceError, match="a_role") as caught:
                put_back(w, opened, admin, database="postgres", rename="other", roles=True)
        roles = query(second_cluster.conninfo, "SELECT FROM pg_roles WHERE rolname = 'a_role'")
    finally:
        execute(second_cluster.conninfo, "DROP ROLE admin")
        execute(cluster.conninfo, "DROP ROLE a_role")
    assert "superuser" in str(caught.value.hint)
    assert roles == []


def test_check_looks_only_at_what_is_backed_up(cluster: Cluster, database: Conninfo, tmp_path: Path) -> None:
    execute(cluster.conninfo, "DROP ROLE IF EXISTS looker", "CREATE ROLE looker LOGIN")
    execute(
        database,
        "CREATE TABLE hidden (x serial)",
        "CREATE TABLE open (x integer)",
        "GRANT SELECT ON open TO looker",
    )
    url = replace(database, params={**database.params, "user": "looker"}).argv_dsn()
    name = str(database.database)
    for selection, failing in ((Selection(), 1), (Selection(exclude_tables=("hidden", "hidden_x_seq")), 0)):
        folder = tmp_path / str(failing)
        with world(folder, url, selection=selection, databases=(name,), globals=False) as w:
            levels = [each.level for each in check(w.services, (w.target,), encrypted=True)]
        assert levels.count("fail") == failing


def test_a_client_that_cannot_connect_is_found_by_check(cluster: Cluster, tmp_path: Path) -> None:
    """Ours may know a parameter that the clients do not, or have TLS where they have none."""
    parameter = "require_auth=scram-sha-256"  # since libpq 16
    if tools.choose(tools.find_toolsets(), cluster.version_num).major >= 16:
        pytest.skip("the clients are as new as our libpq")
    url = f"{cluster.tcp.argv_dsn() if cluster.tcp else ''} {parameter}"
    password = cluster.tcp.password if cluster.tcp else None
    with world(tmp_path, url, password=password, databases=("postgres",)) as w:
        found = [each for each in check(w.services, (w.target,), encrypted=True) if each.level == "fail"]
    assert ["require_auth" in each.message for each in found] == [True]


def test_clients_whose_dump_cannot_go_back_are_told_of(tmp_path: Path) -> None:
    clients = tools.Toolset(bin_dir=tmp_path, version_num=170010, text="17.10")
    assert "postgresql-client-16" in str(tools.cannot_restore_here(clients, 160014))
    assert tools.cannot_restore_here(clients, 170000) is None
    assert tools.cannot_restore_here(replace(clients, version_num=160000), 150000) is None


@pytest.mark.parametrize(
    ("stderr", "hint"),
    [
        ("ERROR:  permission denied for large object 16402", "lo_compat_privileges"),
        ("HINT:  You might need to increase max_locks_per_transaction.", "max_locks_per_transaction"),
        ("ERROR:  canceling statement due to conflict with recovery", "hot_standby_feedback"),
        ('error: invalid connection option "require_auth"', "newer"),
    ],
)
def test_what_odd_servers_make_pg_dump_say_has_a_hint(stderr: str, hint: str) -> None:
    assert hint in str(dump_hints.hint(stderr))


def test_large_objects_leave_no_trace_in_the_memory_of_a_table_of_contents() -> None:
    objects = (Item(desc="BLOB", tag=str(oid), oid=oid) for oid in range(1, 1001))
    reader = TocReader(keep=tells_of_tables)
    reader.feed(archive(Item(), *objects))
    assert reader.done
    assert [entry.desc for entry in reader.entries] == ["TABLE"]


def test_a_role_setting_in_another_encoding_is_told_and_left_out_for_pg_dumpall_spoils_it(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    """Per database all goes well; what was set in a Latin-1 database for all of them is no UTF-8, and read as such."""
    name, role = "latin_settings", "umlaut"
    where = create(cluster, name, options="TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'")
    execute(
        where,
        f"CREATE ROLE {role}",
        f"ALTER ROLE {role} SET app.everywhere = 'Grüße'",
        f"ALTER ROLE {role} IN DATABASE {name} SET app.here = 'Grüße'",
    )
    execute(cluster.conninfo, f"ALTER ROLE {role} SET app.utf8 = 'Grüße'")
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(name,)) as w:
            report = put_back(w, take(w), second_cluster, database=name, roles=True, thorough=True)
        assert report.globals is not None
        assert report.globals.settings_left_out == (f"app.everywhere of {role}",)
        told = " ".join(str((event, facts)) for event, facts in w.recorder.warnings)
        assert f"the role setting app.everywhere of {role} is not saved" in told
        assert f"the role setting app.everywhere of {role} is left out" in told
        settings = "SELECT unnest(setconfig) FROM pg_db_role_setting WHERE setrole = %s::regrole AND setdatabase = {}"
        here = "(SELECT oid FROM pg_database WHERE datname = current_database())"
        restored = second_cluster.conninfo.with_database(name)
        with connect(restored, application_name="test") as conn:
            assert conn.execute(settings.format(here), [role]).fetchall() == [("app.here=Grüße",)]
        with connect(second_cluster.conninfo, application_name="test") as conn:
            assert conn.execute(settings.format("0"), [role]).fetchall() == [("app.utf8=Grüße",)]
        assert report.sameness is not None
        assert report.sameness.globals is not None
        assert report.sameness.globals.differences == ()
        assert "app.everywhere of umlaut" in [each.name for each in report.sameness.globals.left_out]
    finally:
        for each in (cluster, second_cluster):
            drop(each, name)
            execute(each.conninfo, f"DROP ROLE IF EXISTS {role}")
