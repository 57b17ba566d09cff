"""pg_dump itself says what its patterns mean: what we expect in a dump must be what it dumps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.model.errors import ConfigError
from holdfast.model.target import Selection
from holdfast.postgres import archive
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.entries import data_tables, defined_tables
from holdfast.postgres.patterns import left_out_by, match_databases
from holdfast.postgres.properties import read_properties
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.postgres import execute, new_database, run_tool, toolset

_SCHEMAS = ("app", "App", "a.b", "audit", "it's", "x$y")
_TABLES = (
    "x",
    "X",
    "dot.ted",
    "log",
    "log_2025",
    "log_2026",
    'qu"ote',
    "d$",
    "d",
    "*",
    "a[]",
    "ä Ö",
    "%s",
    "new\nline",
)


@pytest.fixture(scope="module")
def filled(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster, "patterns.db") as conninfo:
        for schema in (*_SCHEMAS, "public"):
            execute(conninfo, f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
            for table in _TABLES:
                quoted = table.replace('"', '""')
                execute(conninfo, f'CREATE TABLE "{schema}"."{quoted}" (i integer)')
        execute(
            conninfo,
            "CREATE VIEW app.view AS SELECT 1 AS one",
            "CREATE MATERIALIZED VIEW app.mat AS SELECT 1 AS one",
            "CREATE TABLE app.parts (i integer) PARTITION BY RANGE (i)",
            "CREATE TABLE app.part PARTITION OF app.parts DEFAULT",
        )
        yield conninfo


_OPTIONS = {
    "include_schemas": "--schema",
    "exclude_schemas": "--exclude-schema",
    "include_tables": "--table",
    "exclude_tables": "--exclude-table",
    "exclude_table_data": "--exclude-table-data",
}


def _arguments(selection: Selection) -> list[str]:
    return [
        f"{option}={pattern}" for field, option in _OPTIONS.items() for pattern in getattr(selection, field)
    ]


_SELECTIONS = [
    Selection(),
    *(Selection(include_schemas=(p,)) for p in ("app", "APP", '"App"', '"a.b"', "a*", "(app|audit)", "x$y", '"it\'s"')),
    *(Selection(exclude_schemas=(p,)) for p in ("app", "a?p", '"a.b"', "nothing", "*")),
    *(
        Selection(include_tables=(p,))
        for p in (
            "x", "X", '"X"', "*.x", "app.*", '"a.b".x', '*."dot.ted"', "log*", "app.log_202?", "app.log_[0-9]+", "*.d$",
            "a[]", '"*"', "**", 'app."qu""ote"', '"patterns.db".app.x', "*.view", "app.(mat|parts)", "app.part?",
            "ä Ö", '"ä Ö"', "%s", "new\nline", "new?line", "[a-z]",
        )
    ),
    *(Selection(exclude_tables=(p,)) for p in ("x", "*.x", "app.*", "nothing.at_all", "app.part")),
    *(Selection(exclude_table_data=(p,)) for p in ("app.*", "*.log_*", "app.parts", "app.part", "app.mat", "x")),
    Selection(include_tables=("app.*",), exclude_schemas=("app",)),
    Selection(include_tables=("app.log*",), include_schemas=("audit",)),
    Selection(include_tables=("app.log*", "nothing"), exclude_tables=("*.log_2025",)),
    Selection(include_schemas=("app", "audit", "nothing"), exclude_schemas=("audit",), exclude_tables=("x", "*.d")),
]  # fmt: skip


@pytest.mark.parametrize("selection", _SELECTIONS, ids=lambda s: " ".join(_arguments(s)) or "none")
@pytest.mark.extended
def test_what_we_expect_is_what_pg_dump_dumps(
    cluster: Cluster, filled: Conninfo, selection: Selection
) -> None:
    dump = run_tool(toolset(cluster), "pg_dump", filled, "--format=custom", *_arguments(selection))
    entries = archive.read_toc([dump]).entries
    with connect(filled, application_name="test") as conn:
        found = left_out_by(conn, selection)
        rows = conn.execute(
            "SELECT oid, relkind::text FROM pg_class WHERE relkind IN ('r', 'p', 'v', 'm') AND oid >= 16384"
        ).fetchall()
    ours = {oid for oid, _ in rows}
    assert ours - found.tables.keys() == defined_tables(entries) & ours
    plain = {oid for oid, kind in rows if kind == "r"}
    assert plain - found.tables.keys() - found.data.keys() == data_tables(entries) & plain


def test_reasons_name_the_option_and_the_pattern(filled: Conninfo) -> None:
    selection = Selection(
        exclude_tables=("app.log*",), exclude_schemas=("audit",), exclude_table_data=("app.x", "gone")
    )
    with connect(filled, application_name="test") as conn:
        found = left_out_by(conn, selection)
        oids: dict[str, int] = dict(
            conn.execute(
                "SELECT relnamespace::regnamespace || '.' || relname, oid FROM pg_class WHERE relname IN ('log', 'x')"
            ).fetchall()
        )
    assert found.tables[oids["app.log"]] == "excluded by exclude_tables 'app.log*'"
    assert found.tables[oids["audit.x"]] == "excluded by exclude_schemas 'audit'"
    assert found.data[oids["app.x"]] == "rows excluded by exclude_table_data 'app.x'"


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        (Selection(include_tables=("no_such", "app.no_such")), "include_tables matches nothing"),
        (Selection(include_schemas=("no_such",)), "include_schemas matches nothing"),
        (Selection(exclude_tables=("app.[",)), "not a valid expression"),
        (Selection(exclude_tables=("elsewhere.app.x",)), "names the database 'elsewhere'"),
        (Selection(exclude_schemas=("app.x",)), "too many dots"),
    ],
)
def test_what_pg_dump_refuses_is_refused_before_it_runs(
    cluster: Cluster, filled: Conninfo, selection: Selection, message: str
) -> None:
    with connect(filled, application_name="test") as conn, pytest.raises(ConfigError, match=message):
        left_out_by(conn, selection)
    with pytest.raises(AssertionError, match="pg_dump: error"):
        run_tool(toolset(cluster), "pg_dump", filled, "--format=custom", *_arguments(selection))


def test_matching_leaves_the_session_as_it_was(filled: Conninfo) -> None:
    with connect(filled, application_name="test") as conn:
        conn.execute("SET search_path = audit")
        left_out_by(conn, Selection(exclude_tables=("x",)))
        assert conn.execute("SHOW search_path").fetchall() == [("audit",)]


def test_database_patterns_are_exact_names_or_wildcards(filled: Conninfo) -> None:
    names = ("app", "App", "app.eu", "app_eu", "app-1", "shop", "*")
    expected = {
        ("app",): ("app",),
        ("APP",): ("app",),
        ("App",): ("App",),
        ("app*",): ("app", "app.eu", "app_eu", "app-1"),
        ("app.eu",): ("app.eu",),
        ("app?eu",): ("app.eu", "app_eu"),
        ("*.eu", "shop"): ("app.eu", "shop"),
        ("*",): ("*",),
        ("**",): names,
        ("nothing",): (),
    }
    with connect(filled, application_name="test") as conn:
        assert {patterns: match_databases(conn, names, patterns) for patterns in expected} == expected
        with pytest.raises(ConfigError, match="not a valid expression"):
            match_databases(conn, names, ["app("])


def test_no_operator_or_function_of_a_user_runs_as_us(cluster: Cluster, database: Conninfo) -> None:
    trap = "RETURNS {} LANGUAGE plpgsql AS $$ BEGIN RAISE 'hijacked'; END $$"
    execute(
        database,
        f"CREATE FUNCTION public.name_trap(name, name) {trap.format('boolean')}",
        "CREATE OPERATOR public.~ (LEFTARG = name, RIGHTARG = name, FUNCTION = public.name_trap)",
        f"CREATE FUNCTION public.oid_trap(oid, regnamespace) {trap.format('boolean')}",
        "CREATE OPERATOR public.<> (LEFTARG = oid, RIGHTARG = regnamespace, FUNCTION = public.oid_trap)",
        f"CREATE FUNCTION public.unnest(text[]) {trap.format('SETOF text')}",
        f"CREATE FUNCTION public.to_jsonb(pg_catalog.pg_database) {trap.format('jsonb')}",
        "CREATE TABLE kept (i integer)",
        "CREATE TABLE dropped (i integer)",
    )
    with connect(database, application_name="test") as conn:
        (dropped,) = conn.execute("SELECT 'public.dropped'::regclass::oid").fetchall()[0]
        selection = Selection(exclude_schemas=("x",), exclude_tables=("dropped",))
        assert left_out_by(conn, selection).tables.keys() == {dropped}
        assert match_databases(conn, ("app",), ["a*"]) == ("app",)
        assert read_properties(conn, str(database.database)).owner == cluster.conninfo.params["user"]
