from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from holdfast.model.catalog import Database, Table
from holdfast.model.errors import CancelledError, SourceError
from holdfast.model.target import Selection
from holdfast.postgres import archive
from holdfast.postgres.catalog import count_rows, read_cluster, read_database, unreadable
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.dropping import drop_database
from holdfast.postgres.entries import data_tables, defined_tables
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.postgres.snapshot import exported_snapshot
from holdfast.system.stop import Stop
from support import torture
from support.postgres import execute, needs_icu, query, run_tool, toolset


@pytest.fixture(scope="module")
def tortured(cluster: Cluster) -> Iterator[Conninfo]:
    name = 'Tor"ture. d/b'
    yield torture.load(cluster.conninfo, name)
    with connect(cluster.conninfo, application_name="test") as conn:
        drop_database(conn, cluster.conninfo, name)


def _read(
    conninfo: Conninfo,
    selection: Selection | None = None,
    *,
    options: tuple[str, ...] = (),
    count: bool = False,
) -> Database:
    with exported_snapshot(conninfo, application_name="test", lock_wait_timeout=5) as snapshot:
        conn = snapshot.connection
        database = read_database(
            conn,
            selection or Selection(),
            name=str(conninfo.database),
            version_num=conn.info.server_version,
            options=options,
        )
        return count_rows(conn, database, stop=Stop()) if count else database


def _tables(database: Database) -> dict[str, Table]:
    return {f"{table.schema}.{table.name}": table for table in database.tables}


def _as(conninfo: Conninfo, user: str) -> Conninfo:
    return replace(conninfo, params={**conninfo.params, "user": user})


def test_every_table_that_pg_dump_writes_is_expected_and_no_other(
    cluster: Cluster, tortured: Conninfo
) -> None:
    dump = run_tool(toolset(cluster), "pg_dump", tortured, "--format=custom")
    entries = archive.read_toc([dump]).entries
    database = _read(tortured)
    assert {table.oid for table in database.tables} == defined_tables(entries)
    filled = {t.oid for t in database.tables if t.kind == "r" and not t.data_left_out}
    assert filled == data_tables(entries)


def test_rows_are_counted_exactly_and_only_where_a_table_has_its_own(tortured: Conninfo) -> None:
    tables = _tables(_read(tortured, count=True))
    expected = {
        "app.edges": 4,
        "public.no_columns": 2,
        "public.parent": 1,  # not those of its children
        "public.child": 1,
        "public.sales": None,  # partitioned: its partitions have the rows
        "public.sales_2025 nord": 20,
        "public.a_mv_on_mv": 1,
        "public.mv_empty": None,  # never filled
        "public.v_edges": None,
        "public.foreign_rows": None,
        "public.unlogged": 10,
        "public.empty": 0,
        "public.wide": 1,
        "public.%s": 0,
        "public.d.t": 0,
    }
    assert {name: tables[name].rows for name in expected} == expected


def test_counts_are_those_of_the_snapshot(database: Conninfo) -> None:
    execute(database, "CREATE TABLE t AS SELECT generate_series(1, 5)")
    with exported_snapshot(database, application_name="test", lock_wait_timeout=5) as snapshot:
        conn = snapshot.connection
        read = read_database(conn, Selection(), name=conn.info.dbname, version_num=conn.info.server_version)
        execute(database, "DELETE FROM t")
        assert [t.rows for t in count_rows(conn, read, stop=Stop()).tables] == [5]


def test_counting_lets_go_of_its_locks(database: Conninfo) -> None:
    execute(database, *(f"CREATE TABLE t{i} (x integer)" for i in range(120)))
    with exported_snapshot(database, application_name="test", lock_wait_timeout=5) as snapshot:
        conn = snapshot.connection
        read = read_database(conn, Selection(), name=conn.info.dbname, version_num=conn.info.server_version)
        counted = count_rows(conn, read, stop=Stop())
        held = conn.execute(
            "SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND relation >= 16384"
        ).fetchall()
    assert [table.rows for table in counted.tables] == [0] * 120
    assert held == [(0,)]


def test_a_table_is_not_counted_where_planning_would_run_its_owners_function_as_us(
    cluster: Cluster, database: Conninfo
) -> None:
    execute(cluster.conninfo, "DROP ROLE IF EXISTS mallory", "CREATE ROLE mallory")
    code = "IMMUTABLE LANGUAGE plpgsql AS $$ BEGIN IF current_user <> 'mallory' THEN RAISE 'hijacked'; END IF; RETURN 1; END $$"
    execute(
        database,
        "CREATE FUNCTION harmless(integer) RETURNS integer IMMUTABLE LANGUAGE sql AS 'SELECT 1'",
        "CREATE TABLE ours AS SELECT 1 AS x",
        "CREATE INDEX ON ours ((harmless(1) + x)) WHERE x > 0",
        "CREATE SCHEMA m AUTHORIZATION mallory",
        f"SET ROLE mallory; CREATE FUNCTION m.f(integer) RETURNS integer {code};"
        " CREATE FUNCTION m.same(integer, integer) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT m.f(1) = 1';"
        " CREATE OPERATOR m.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = m.same);"
        " CREATE TABLE m.by_key AS SELECT 1 AS x; CREATE INDEX ON m.by_key ((m.f(1) + x));"
        " CREATE TABLE m.by_part AS SELECT 1 AS x; CREATE INDEX ON m.by_part (x) WHERE x > m.f(1);"
        " CREATE TABLE m.by_operator AS SELECT 1 AS x;"
        " CREATE INDEX ON m.by_operator (x) WHERE 1 OPERATOR(m.===) 2;"
        " CREATE TABLE m.plain AS SELECT 1 AS x; CREATE INDEX ON m.plain ((x + 1)) WHERE x > 0",
    )
    if cluster.version_num >= 140000:
        execute(
            database,
            "SET ROLE mallory; CREATE TABLE m.by_statistics AS SELECT 1 AS x;"
            " CREATE STATISTICS m.s ON (m.f(1) + x) FROM m.by_statistics",
        )
    try:
        rows = {name: table.rows for name, table in _tables(_read(database, Selection(), count=True)).items()}
    finally:
        execute(database, "DROP OWNED BY mallory CASCADE", "DROP ROLE mallory")
    assert {name for name, count in rows.items() if count == 1} == {"public.ours", "m.plain"}
    assert {name for name, count in rows.items() if count is None} == rows.keys() - {"public.ours", "m.plain"}


def test_counting_stops_when_asked_to(database: Conninfo) -> None:
    execute(database, "CREATE TABLE t AS SELECT 1 AS one")
    stop = Stop()
    with exported_snapshot(database, application_name="test", lock_wait_timeout=5) as snapshot:
        conn = snapshot.connection
        read = read_database(conn, Selection(), name=conn.info.dbname, version_num=conn.info.server_version)
        stop.request()
        with pytest.raises(CancelledError):
            count_rows(conn, read, stop=stop)


def test_a_lock_that_is_not_to_be_had_is_a_source_error(database: Conninfo) -> None:
    execute(database, "CREATE TABLE t AS SELECT 1 AS one")
    with (
        connect(database, application_name="other") as other,
        exported_snapshot(database, application_name="test", lock_wait_timeout=0.1) as snapshot,
    ):
        conn = snapshot.connection
        read = read_database(conn, Selection(), name=conn.info.dbname, version_num=conn.info.server_version)
        other.execute("BEGIN")
        other.execute("LOCK TABLE public.t")
        with pytest.raises(SourceError, match="lock") as caught:
            count_rows(conn, read, stop=Stop())
        assert "lock_wait_timeout" in str(caught.value.hint)


@pytest.mark.extended
def test_who_waits_behind_the_dump_is_not_waited_for(database: Conninfo) -> None:
    execute(database, "CREATE TABLE t AS SELECT 1 AS one", "CREATE TABLE u AS SELECT 1 AS one")
    waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 't'::regclass"
    altering = threading.Thread(target=execute, args=(database, "ALTER TABLE t ADD COLUMN two int"))
    told: list[str] = []
    with connect(database, application_name="as pg_dump") as dump:
        dump.execute("BEGIN")
        dump.execute("LOCK TABLE public.t, public.u IN ACCESS SHARE MODE")
        with exported_snapshot(database, application_name="test", lock_wait_timeout=0.1) as snapshot:
            conn = snapshot.connection
            read = read_database(
                conn, Selection(), name=conn.info.dbname, version_num=conn.info.server_version
            )
            altering.start()
            while not query(database, waiting):
                time.sleep(0.01)
            counted = count_rows(conn, read, stop=Stop(), leave_out=told.append)
    altering.join()
    assert {table.name: table.rows for table in counted.tables} == {"t": None, "u": 1}
    assert told == [f"{database.database}: public.t: rows are not counted: others change the table meanwhile"]


def test_a_table_that_was_rewritten_since_the_snapshot_is_not_counted_as_empty(database: Conninfo) -> None:
    changes = {
        "truncated": "TRUNCATE truncated",
        "vacuumed": "VACUUM FULL vacuumed",
        "retyped": "ALTER TABLE retyped ALTER one TYPE bigint",
        "dropped": "DROP TABLE dropped",
        "widened": "ALTER TABLE widened ADD COLUMN two int",
        "inserted": "INSERT INTO inserted VALUES (2)",
    }
    execute(database, *(f"CREATE TABLE {name} AS SELECT 1 AS one" for name in changes))
    told: list[str] = []
    with exported_snapshot(database, application_name="test", lock_wait_timeout=5) as snapshot:
        conn = snapshot.connection
        read = read_database(conn, Selection(), name=conn.info.dbname, version_num=conn.info.server_version)
        execute(database, *changes.values())
        counted = count_rows(conn, read, stop=Stop(), leave_out=told.append)
    counts = {table.name: table.rows for table in counted.tables}
    assert {name for name, rows in counts.items() if rows is None} >= {"truncated", "retyped", "dropped"}
    assert {name: rows for name, rows in counts.items() if rows is not None and name != "vacuumed"} == {
        "widened": 1,
        "inserted": 1,
    }
    assert counts["vacuumed"] in {None, 1}  # it keeps what older snapshots see
    assert len(told) == 1


def test_the_other_facts_of_a_database_are_there(tortured: Conninfo) -> None:
    database = _read(tortured)
    assert {"app", "public", 'Mixed.Case/With "Quotes" und Übergröße 数据'} < set(database.schemas)
    assert not any(schema.startswith("pg_") for schema in database.schemas)
    assert database.large_objects == 4
    assert [(e.name, e.schema) for e in database.extensions] == [
        ("plpgsql", "pg_catalog"),
        *((name, "app") for name in torture.extensions(tortured)),
    ]
    assert {"edges_id_seq", "down", "untouched", "Set.To"} < {
        sequence.name for sequence in database.sequences
    }
    assert {"default", "Case C"} <= {collation.name for collation in database.collations}
    assert database.properties.owner == "torture owner"


def test_a_collation_of_icu_is_listed_with_its_version_once_in_use(
    cluster: Cluster, database: Conninfo
) -> None:
    needs_icu(cluster)
    execute(
        database,
        "CREATE COLLATION german (provider = icu, locale = 'de')",
        "CREATE COLLATION unused (provider = icu, locale = 'fr')",
        "CREATE TABLE t (x text COLLATE german)",
    )
    versions = {collation.name: collation.version for collation in _read(database).collations}
    assert versions["german"]
    assert "unused" not in versions


def test_what_the_selection_drops_is_marked_and_not_counted(tortured: Conninfo) -> None:
    selection = Selection(exclude_tables=("app.*",), exclude_table_data=("public.parent",))
    tables = _tables(_read(tortured, selection, options=("--no-unlogged-table-data",), count=True))
    assert tables["app.edges"].left_out == "excluded by exclude_tables 'app.*'"
    assert tables["public.parent"].data_left_out == "rows excluded by exclude_table_data 'public.parent'"
    assert "unlogged" in str(tables["public.unlogged"].data_left_out)
    assert {tables[n].rows for n in ("app.edges", "public.parent", "public.unlogged")} == {None}
    assert tables["public.child"].rows == 1


def test_what_a_narrow_selection_drops_besides_tables_is_told(cluster: Cluster, tortured: Conninfo) -> None:
    narrow = Selection(include_tables=("public.*",))
    told = {(item.kind, item.name) for item in _read(tortured, narrow).left_out}
    assert {
        ("large objects", "all 4"),
        *(("extension", name) for name in torture.extensions(tortured)),
        ("rows", "public.foreign_rows"),
    } == told
    assert "large objects" not in {
        item.kind for item in _read(tortured, narrow, options=("--blobs",)).left_out
    }
    listing = run_tool(toolset(cluster), "pg_dump", tortured, "--table=public.*", "--format=custom")
    kinds = {entry.desc for entry in archive.read_toc([listing]).entries}
    assert not kinds & {"BLOB", "BLOBS", "EXTENSION"}


def test_tables_of_extensions_are_the_extensions_business(database: Conninfo) -> None:
    execute(
        database,
        "CREATE TABLE mine (x integer)",
        "CREATE TABLE members (x integer)",
        "CREATE TABLE hollow_member (x integer)",
        "INSERT INTO members VALUES (1)",
        "ANALYZE",
        "ALTER EXTENSION plpgsql ADD TABLE members",
        "ALTER EXTENSION plpgsql ADD TABLE hollow_member",
    )
    read = _read(database, count=True)
    tables = _tables(read)
    assert [(item.kind, item.name) for item in read.left_out] == [("rows", "public.members")]
    assert (tables["public.members"].extension, tables["public.members"].rows) == ("plpgsql", None)
    assert "plpgsql" in str(tables["public.members"].data_left_out)
    assert (tables["public.mine"].extension, tables["public.mine"].rows) == (None, 0)


@pytest.fixture
def reader(cluster: Cluster, database: Conninfo) -> Conninfo:
    execute(cluster.conninfo, "DROP ROLE IF EXISTS reader", "CREATE ROLE reader LOGIN")
    execute(
        database,
        "CREATE SCHEMA closed CREATE TABLE inside (x integer)",
        "GRANT SELECT ON closed.inside TO reader",
        "CREATE TABLE open (x serial)",
        "GRANT SELECT ON open TO reader",
        "CREATE TABLE hidden (x integer)",
        "CREATE TABLE policed (x integer)",
        "GRANT SELECT ON policed TO reader",
        "ALTER TABLE policed ENABLE ROW LEVEL SECURITY",
        "SELECT lo_create(77), lo_create(78)",
        "GRANT SELECT ON LARGE OBJECT 78 TO PUBLIC",
    )
    return _as(database, "reader")


def test_what_a_role_cannot_dump_is_listed(reader: Conninfo, database: Conninfo) -> None:
    with connect(reader, application_name="test") as conn:
        found = {(item.kind, item.name, item.reason) for item in unreadable(conn, Selection())}
    assert found == {
        ("schema", "closed", "no USAGE privilege"),
        ("table", "public.hidden", "no SELECT privilege"),
        ("sequence", "public.open_x_seq", "no SELECT privilege"),
        ("table", "public.policed", "row-level security hides rows from this role"),
        ("large object", "77", "no SELECT privilege"),
    }
    with connect(database, application_name="test") as conn:
        assert unreadable(conn, Selection()) == ()


@pytest.mark.parametrize(
    ("exclude", "message", "hint"),
    [
        (("policed",), "permission denied for closed.inside, public.hidden", "pg_read_all_data"),
        (("hidden", "closed.*"), "row-level security hides rows of public.policed", "BYPASSRLS"),
    ],
)
def test_counting_names_the_tables_that_the_role_may_not_read(
    reader: Conninfo, exclude: tuple[str, ...], message: str, hint: str
) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        _read(reader, Selection(exclude_tables=exclude), count=True)
    assert hint in str(caught.value.hint)
    assert "exclude" in str(caught.value.hint)
    assert not caught.value.retryable


def test_excluding_what_the_role_may_not_read_is_a_way_on(reader: Conninfo) -> None:
    tables = _tables(_read(reader, Selection(exclude_tables=("policed", "hidden", "closed.*")), count=True))
    assert tables["public.open"].rows == 0
    assert tables["public.hidden"].left_out


def test_what_needs_a_superuser_is_told_to_others(reader: Conninfo, database: Conninfo) -> None:
    execute(
        database,
        "CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false, slot_name = NONE)",
        "CREATE FOREIGN DATA WRAPPER w",
        "CREATE SERVER far FOREIGN DATA WRAPPER w",
        "CREATE USER MAPPING FOR postgres SERVER far OPTIONS (password 'hunter2')",
    )
    told = {(item.kind, item.name) for item in _read(reader).left_out}
    assert told == {("subscription", "feed"), ("user mapping", "postgres on far")}
    read = _read(database)
    assert read.left_out == ()
    assert [(s.name, s.enabled) for s in read.subscriptions] == [("feed", False)]


def test_roles_and_tablespaces_of_the_server_are_read(tortured: Conninfo) -> None:
    with connect(tortured, application_name="test") as conn:
        server = read_cluster(conn)
    assert {"postgres", *torture.ROLES} <= set(server.roles)
    assert not any(role.startswith("pg_") for role in server.roles)
    assert server.tablespaces == {}
