from __future__ import annotations

import pytest

from holdfast.postgres.compare import Digest, compare, digest, schema_text
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.dropping import drop_database
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support import torture
from support.postgres import execute, run_tool, toolset

_SETUP = (
    "CREATE TABLE t (id integer, t text, f double precision)",
    "INSERT INTO t VALUES (1, 'a', 0.1), (2, NULL, 'NaN'), (2, NULL, 'NaN')",
    "CREATE SEQUENCE s",
    "CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t",
    "SELECT lo_from_bytea(500, '\\x01'), lo_from_bytea(501, '\\x02')",
)


def _digest(conninfo: Conninfo) -> Digest:
    with connect(conninfo, application_name="test") as conn:
        return digest(conn)


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("INSERT INTO t VALUES (3)", "table public.t has 3 rows, the second 4"),
        ("DELETE FROM t WHERE id = 1", "table public.t has 3 rows, the second 2"),
        ("UPDATE t SET t = 'b' WHERE id = 1", "table public.t differs in content"),
        ("UPDATE t SET t = '' WHERE id = 2", "table public.t differs in content"),
        (
            "UPDATE t SET f = 0.1::float8 + 1e-17::float8 + 2e-17 WHERE id = 1",
            "table public.t differs in content",
        ),
        ("UPDATE t SET id = CASE id WHEN 1 THEN 2 ELSE 1 END", "table public.t differs in content"),
        ("CREATE TABLE u ()", "table public.u is only in the second"),
        ("DROP SEQUENCE s", "sequence public.s is missing in the second"),
        ("SELECT nextval('s')", "sequence public.s differs in content"),
        ("SELECT setval('s', 1, true)", "sequence public.s differs in content"),
        ("SELECT lo_put(500, 0, '\\x02')", "large object 500 differs in content"),
        ("SELECT lo_put(500, 1, '\\x00')", "large object 500 differs in content"),
        ("SELECT lo_unlink(501)", "large object 501 is missing in the second"),
        ("GRANT SELECT ON LARGE OBJECT 501 TO PUBLIC", "large object 501 differs in content"),
        ("COMMENT ON LARGE OBJECT 501 IS 'x'", "large object 501 differs in content"),
    ],
)
@pytest.mark.sampled(5)
def test_every_change_of_content_is_a_difference(database: Conninfo, change: str, difference: str) -> None:
    execute(database, *_SETUP)
    before = _digest(database)
    execute(database, change)
    assert compare(before, _digest(database)) == (difference,)


def test_a_refreshed_view_differs(database: Conninfo) -> None:
    execute(database, *_SETUP, "DELETE FROM t")
    before = _digest(database)
    execute(database, "REFRESH MATERIALIZED VIEW m")
    assert compare(before, _digest(database)) == ("table public.m differs in content",)


def test_neither_the_order_of_rows_nor_settings_are_differences(database: Conninfo) -> None:
    execute(
        database,
        *_SETUP,
        "CREATE TABLE k AS SELECT now() AS at, interval '1 day 2 hours' AS i, bytea '\\x00' AS b",
    )
    before = _digest(database)
    execute(
        database,
        "CREATE TABLE copy AS SELECT * FROM t ORDER BY id DESC",
        "TRUNCATE t",
        "INSERT INTO t TABLE copy",
    )
    execute(database, "DROP TABLE copy", "GRANT SELECT ON LARGE OBJECT 501 TO postgres")
    name = database.database
    for setting in ("DateStyle = 'German'", "extra_float_digits = -15", "bytea_output = 'escape'", "TimeZone = 'Asia/Tokyo'",
                    "IntervalStyle = 'iso_8601'", "search_path = 'public'"):  # fmt: skip
        execute(database, f'ALTER DATABASE "{name}" SET {setting}')
    assert compare(before, _digest(database)) == ()


def test_a_hole_in_a_large_object_is_the_zeros_that_a_restore_writes(database: Conninfo) -> None:
    execute(database, "SELECT lo_put(lo_create(600), 5000, '\\x01')")
    before = _digest(database)
    execute(
        database,
        "SELECT lo_unlink(600)",
        "SELECT lo_from_bytea(600, decode(repeat('00', 5000) || '01', 'hex'))",
    )
    assert compare(before, _digest(database)) == ()


def test_tables_can_be_skipped(database: Conninfo) -> None:
    execute(database, "CREATE TABLE t ()", 'CREATE TABLE "U" ()')
    with connect(database, application_name="test") as conn:
        assert set(digest(conn, skip=['public."U"']).tables) == {"public.t"}


def test_a_restored_torture_database_is_the_same_in_content_and_schema(
    cluster: Cluster, second_cluster: Cluster
) -> None:
    clients = toolset(cluster)
    original = torture.load(cluster.conninfo, "original")
    with connect(second_cluster.conninfo, application_name="test") as conn:
        torture.roles(conn)
        conn.execute("CREATE DATABASE restored TEMPLATE template0")
    restored = second_cluster.conninfo.with_database("restored")
    dump = run_tool(clients, "pg_dump", original, "--format=custom")
    run_tool(clients, "pg_restore", restored, "--exit-on-error", stdin=dump)
    expected = _digest(original)
    assert compare(expected, _digest(restored)) == ()
    assert len(expected.tables) > 30
    assert len(expected.large_objects) == 4
    texts = [
        schema_text(run_tool(clients, "pg_dump", side, "--schema-only").decode().splitlines())
        for side in (original, restored)
    ]
    assert texts[0] == texts[1]
    for side, name in ((cluster, "original"), (second_cluster, "restored")):
        with connect(side.conninfo, application_name="test") as conn:
            drop_database(conn, side.conninfo, name)


def test_schema_text_drops_what_says_nothing_about_the_schema() -> None:
    lines = [
        "--\n", "-- Dumped by pg_dump version 15.1\n", "\n", "\\restrict abc\n", "SET row_security = off;\n",
        "SELECT pg_catalog.set_config('search_path', '', false);\n", "CREATE TABLE t (\n", "    SET_ integer\n", ");\n",
        "\\unrestrict abc\n",
    ]  # fmt: skip
    assert schema_text(lines) == "CREATE TABLE t (\n    SET_ integer\n);\n"
