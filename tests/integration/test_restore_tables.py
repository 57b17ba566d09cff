"""Some tables of a backup come back into a database that exists, whole and identical, or not at all."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from holdfast.jobs.reading import Opened
from holdfast.methods.pg_restore import Options
from holdfast.model.errors import Error, NotFoundError, SourceError, UsageError
from holdfast.model.target import Compression
from holdfast.postgres.relation_names import shown
from holdfast.postgres.scratch import Cluster
from support import torture
from support.postgres import execute, new_database, query, running_cluster
from support.restoring import create, drop, take
from support.tables import Content, bring_back, content, copy_of, state, unlike
from support.world import World, world

HOSTILE_SCHEMA = 'Mixed.Case/With "Quotes" und Übergröße 数据'
HOSTILE = "Tab.le \"x\"/ 'y' \\ \nnew line; -- drop"
LONG = (
    "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggg",
    "hhhhhhhhhhiiiiiiiiiijjjjjjjjjjkkkkkkkkkkllllllllllmmmmmmmmmmnnn",
)


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    """Run a server with the torture database."""
    with running_cluster(tcp=False) as cluster:
        torture.load(cluster.conninfo, "torture")
        yield cluster


@pytest.fixture(scope="module")
def shop(source: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a world whose target is that database."""
    with world(tmp_path_factory.mktemp("world"), source.conninfo.argv_dsn(), databases=("torture",)) as made:
        yield made


@pytest.fixture(scope="module")
def opened(shop: World) -> Opened:
    """Give a backup of it."""
    return take(shop)


@pytest.fixture(scope="module")
def original(source: Cluster) -> Content:
    """Give what the database holds."""
    return content(source, source.conninfo.with_database("torture"))


def changed(original: Content, there: Content) -> list[str]:
    """Tell how a database differs from the original, one grant aside.

    Default privileges give it to the sequence of an identity column where that is made for its owner.
    """
    known = re.compile(r"@@|\+GRANT USAGE ON SEQUENCE app\.edges_id_seq TO torture_writer;")
    return [line for line in unlike(original, there) if not known.match(line)]


@pytest.mark.parametrize(
    "tables",
    [
        ["app.edges", "v_edges", "sales", "mv_base", "a_mv_on_mv"],
        ["hen", "egg", "tree", "bookings", "big_values", "typed", "parent", "child", "grandchild"],
        [
            "app.secrets",
            "wide",
            "no_columns",
            "dropped_columns",
            "unlogged",
            "user",
            '"UPPER"',
            "foreign_rows",
        ],
        [shown(HOSTILE_SCHEMA, HOSTILE), shown(*LONG), '"*"', '"d.t"', "%s", "nulls", "squeezed"],
        ["hash*", "empty", "insertable", "down", "untouched"],
    ],
    ids=lambda tables: tables[0][:12],
)
@pytest.mark.sampled(2)
def test_dropped_tables_come_back_identical(
    source: Cluster, original: Content, shop: World, opened: Opened, tables: list[str]
) -> None:
    with copy_of(source, "torture") as copy:
        dropped = {"foreign_rows": "FOREIGN TABLE", "down": "SEQUENCE", "untouched": "SEQUENCE"}
        for name in tables:
            if name.startswith("hash"):
                execute(copy, "DROP TABLE hashed, hash_by_enum")
            elif name not in {"v_edges", "mv_base", "a_mv_on_mv", "child", "grandchild", "insertable"}:
                words = name if name.startswith('"') or "." in name else f'"{name}"'
                execute(copy, f"DROP {dropped.get(name, 'TABLE')} {words} CASCADE")

        report = bring_back(shop, opened, source, "copy", tables=tuple(tables))

        assert changed(original, content(source, copy)) == []
    assert report.skipped == ()
    if tables[0] == "app.edges":
        assert any("default privileges of" in note for note in report.notes)
    assert not {table.kind for table in report.tables} - {
        "table",
        "view",
        "materialized view",
        "foreign table",
        "sequence",
    }


def test_a_partition_goes_back_to_its_place(
    source: Cluster, original: Content, shop: World, opened: Opened
) -> None:
    with copy_of(source, "torture") as copy:
        execute(copy, 'DROP TABLE "sales_2025 nord"')
        report = bring_back(shop, opened, source, "copy", tables=('"sales_2025 nord"',))
        assert changed(original, content(source, copy)) == []
    assert [(table.name, table.rows) for table in report.tables] == [('public."sales_2025 nord"', 20)]


def test_an_empty_database_gets_what_a_table_needs_and_is_told_what_is_missing(
    source: Cluster, shop: World, opened: Opened
) -> None:
    with new_database(source, "empty") as empty:
        report = bring_back(shop, opened, source, "empty", tables=("hen", "typed"))
        assert query(empty, "SELECT count(*) FROM typed") == [(1,)]
    assert set(report.also) == {"function app.touch()", "schema app", "type app.typed_row"}
    assert [(each.what, each.reason) for each in report.skipped] == [
        ('foreign key public.hen."hen\'s egg"', "public.egg is not in the database")
    ]
    assert "public.hen was in the publication partly, which is not changed" in report.notes


def test_schemas_come_whole_into_an_empty_database(
    source: Cluster, original: Content, shop: World, opened: Opened
) -> None:
    with new_database(source, "empty") as empty:
        report = bring_back(shop, opened, source, "empty", schemas=("app", "public", "Mixed*", "aaa*"))
        found = unlike(original, content(source, empty))
    outside = re.compile(
        r"-CREATE (PUBLICATION|EVENT TRIGGER|USER MAPPING)|-(GRANT|COMMENT ON) .*LARGE OBJECT"
        r"|-ALTER (DEFAULT PRIVILEGES|PUBLICATION|EVENT TRIGGER|LARGE OBJECT)|-COMMENT ON (PUBLICATION|EVENT TRIGGER)"
    )
    definition = re.compile(r"[+]|-(CREATE|ALTER|GRANT|COMMENT|REVOKE) |[^-@]")
    assert [line for line in found if definition.match(line) and not outside.match(line)] == []
    assert report.skipped == ()


def test_a_key_to_a_table_that_is_there_is_tried_last_and_named_when_rows_break_it(
    source: Cluster, shop: World, opened: Opened
) -> None:
    keys = "SELECT conname FROM pg_constraint WHERE contype = 'f' AND conrelid = 'hen'::regclass"
    with copy_of(source, "torture") as copy:
        execute(copy, "DROP TABLE hen CASCADE")
        whole = bring_back(shop, opened, source, "copy", tables=("hen",))
        assert query(copy, keys) == [("hen's egg",)]
        assert whole.skipped == ()
        assert "foreign key public.egg.egg_hen_fkey depends on public.hen" in "\n".join(whole.notes)

        execute(copy, "DROP TABLE hen CASCADE", "DELETE FROM egg")
        broken = bring_back(shop, opened, source, "copy", tables=("hen",))
        assert query(copy, keys) == []
        assert query(copy, "SELECT count(*) FROM hen") == [(1,)]
    assert [each.what for each in broken.skipped] == ['foreign key public.hen."hen\'s egg"']
    assert "violates foreign key constraint" in broken.skipped[0].reason


def test_what_is_there_is_refused_and_clean_replaces_it(
    source: Cluster, original: Content, shop: World, opened: Opened
) -> None:
    with copy_of(source, "torture") as copy:
        execute(copy, "UPDATE tree SET up = NULL WHERE id < 3", "ALTER TABLE tree ADD COLUMN extra text")
        before = state(source, copy)
        with pytest.raises(UsageError, match=r"'copy' already has table public\.tree") as caught:
            bring_back(shop, opened, source, "copy", tables=("tree",))
        assert state(source, copy) == before
        assert "--clean" in (caught.value.hint or "")

        bring_back(shop, opened, source, "copy", tables=("tree",), options=Options(clean=True))
        assert changed(original, content(source, copy)) == []


def test_clean_fails_whole_where_something_else_depends_on_a_table(
    source: Cluster, shop: World, opened: Opened
) -> None:
    with copy_of(source, "torture") as copy:
        before = state(source, copy)
        with pytest.raises(SourceError, match="depend") as caught:
            bring_back(shop, opened, source, "copy", tables=("hen", "tree"), options=Options(clean=True))
        assert "Choose what depends on it" in (caught.value.hint or "")
        assert state(source, copy) == before


def test_clean_does_not_drop_the_index_of_another_table(source: Cluster, shop: World, opened: Opened) -> None:
    with copy_of(source, "torture") as copy:
        execute(copy, "DROP TABLE app.edges CASCADE", 'CREATE INDEX "odd index" ON app.secrets (secret)')
        before = state(source, copy)
        with pytest.raises(UsageError, match=r'already has index app\."odd index"'):
            bring_back(shop, opened, source, "copy", tables=("edges",), options=Options(clean=True))
        assert state(source, copy) == before


def test_a_failure_half_way_leaves_the_database_as_it_was(
    source: Cluster, shop: World, opened: Opened
) -> None:
    with copy_of(source, "torture") as copy:
        execute(
            copy,
            "DROP TABLE app.edges CASCADE",
            "CREATE FUNCTION no_index() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no index today'; END$$",
            "CREATE EVENT TRIGGER no_index ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION no_index()",
        )
        before = state(source, copy)
        with pytest.raises(SourceError, match="no index today"):
            bring_back(shop, opened, source, "copy", tables=("edges", "v_edges"))
        assert state(source, copy) == before


def test_a_dry_run_tells_the_same_and_changes_nothing(source: Cluster, shop: World, opened: Opened) -> None:
    with copy_of(source, "torture") as copy:
        execute(copy, "DROP TABLE sales CASCADE", "DROP TABLE hen CASCADE")
        before, runs = state(source, copy), len(shop.services.ledger.runs())
        said = bring_back(shop, opened, source, "copy", tables=("sales", "hen"), dry_run=True)
        assert state(source, copy) == before
        assert len(shop.services.ledger.runs()) == runs
        done = bring_back(shop, opened, source, "copy", tables=("sales", "hen"))
    assert said.dry_run
    assert (said.tables, said.also, said.kinds, said.size) == (done.tables, done.also, done.kinds, done.size)
    assert 'foreign key public.hen."hen\'s egg" is tried at the end' in said.notes
    assert done.size < opened.backup.size / 5  # the large tables were not read


def test_sections_bring_definitions_and_rows_in_steps(
    source: Cluster, original: Content, shop: World, opened: Opened
) -> None:
    with copy_of(source, "torture") as copy:
        execute(copy, "DROP TABLE app.edges CASCADE")
        wish = {"tables": ("edges", "v_edges")}
        with pytest.raises(UsageError, match=r"lacks tables whose rows .*app\.edges"):
            bring_back(shop, opened, source, "copy", **wish, options=Options(sections=("data",)))
        for section in ("pre-data", "data", "post-data"):
            bring_back(shop, opened, source, "copy", **wish, options=Options(sections=(section,)))
        assert changed(original, content(source, copy)) == []
        with pytest.raises(UsageError, match=r"hold rows already: app\.edges"):
            bring_back(shop, opened, source, "copy", **wish, options=Options(sections=("data",)))


@pytest.mark.parametrize(
    ("wish", "error", "message"),
    [
        ({}, UsageError, "no table was named"),
        ({"tables": ("edgse",)}, NotFoundError, "no such table"),
        ({"schemas": ("ap",)}, NotFoundError, "no such schema"),
        ({"tables": ("hen",), "database": "else"}, NotFoundError, "holds no database 'else'"),
        ({"tables": ("hen",), "options": Options(role="nobody")}, UsageError, "no such role"),
        ({"rename": {"hen": "x"}, "options": Options(clean=True)}, UsageError, "beside"),
        ({"rename": {"hne": "x"}}, NotFoundError, "--rename-table hne: the backup holds no such table"),
        ({"tables": ("hen",), "into_schema": "app", "schemas": ("app",)}, UsageError, "one whole --schema"),
        ({"tables": ("hen",), "options": Options(clean=True, jobs=2)}, UsageError, "one job"),
    ],
)
@pytest.mark.sampled(1)
def test_an_impossible_wish_is_refused(
    source: Cluster, shop: World, opened: Opened, wish: dict[str, object], error: type[Error], message: str
) -> None:
    with pytest.raises(error, match=message):
        bring_back(shop, opened, source, "torture", **wish)


def test_missing_databases_and_owners_are_named(cluster: Cluster, shop: World, opened: Opened) -> None:
    with pytest.raises(NotFoundError, match="no database 'nowhere'"):
        bring_back(shop, opened, cluster, "nowhere", tables=("hen",))
    with pytest.raises(UsageError, match="'template1' is a template"):
        bring_back(shop, opened, cluster, "template1", tables=("hen",))
    with running_cluster(tcp=False) as bare, new_database(bare) as database:
        name = database.database or ""
        with pytest.raises(NotFoundError, match="roles that own what is restored: torture owner") as caught:
            bring_back(shop, opened, bare, name, tables=("secrets",))
        assert "--no-owner" in (caught.value.hint or "")
        plain = Options(no_owner=True, no_privileges=True)
        assert bring_back(shop, opened, bare, name, tables=("tree",), options=plain).tables[0].rows == 3


@pytest.mark.parametrize(("encoding", "name"), [("LATIN1", "café"), ("SQL_ASCII", "caf\udce9")])
@pytest.mark.sampled(1)
@pytest.mark.extended
def test_names_in_the_encoding_of_their_database_are_found(
    cluster: Cluster, tmp_path: Path, encoding: str, name: str
) -> None:
    create(cluster, "other", options=f"TEMPLATE template0 ENCODING '{encoding}' LOCALE 'C'")
    try:
        where = cluster.conninfo.with_database("other")
        with psycopg.connect(where.dsn(), client_encoding="LATIN1", autocommit=True) as connection:
            written = name.encode("utf-8", "surrogateescape").replace(b"\xc3\xa9", b"\xe9").decode("latin-1")
            connection.execute(
                f'CREATE TABLE "{written}" (id serial PRIMARY KEY, "{written}" text)'.encode("latin-1")
            )
            connection.execute(
                f'INSERT INTO "{written}" ("{written}") VALUES (\'{written}\')'.encode("latin-1")
            )
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("other",)) as made:
            taken = take(made)
            before = state(cluster, where)
            with psycopg.connect(where.dsn(), client_encoding="LATIN1", autocommit=True) as connection:
                connection.execute(f'DROP TABLE "{written}"'.encode("latin-1"))
            report = bring_back(made, taken, cluster, "other", tables=("caf?",))
            assert state(cluster, where) == before
            bring_back(made, taken, cluster, "other", rename={"caf?": "tea"})
        assert query(where, "SELECT id FROM tea") == [(1,)]
        assert [table.rows for table in report.tables] == [1]
    finally:
        drop(cluster, "other")


@pytest.mark.extended
def test_rows_that_are_loaded_by_way_of_a_parent_are_not_loaded_alone(
    source: Cluster, original: Content, tmp_path: Path
) -> None:
    with (
        world(
            tmp_path,
            source.conninfo.argv_dsn(),
            databases=("torture",),
            options=("--load-via-partition-root",),
        ) as made,
        copy_of(source, "torture") as copy,
    ):
        taken = take(made)
        execute(copy, 'DROP TABLE "sales_2025 nord"')
        with pytest.raises(UsageError, match="by way of its parent"):
            bring_back(made, taken, source, "copy", tables=('"sales_2025 nord"',))
        execute(copy, "DROP TABLE sales CASCADE")
        bring_back(made, taken, source, "copy", tables=("sales", "mv_base", "a_mv_on_mv"))
        assert changed(original, content(source, copy)) == []


@pytest.mark.parametrize(
    "compression", [Compression(kind="none"), Compression(kind="pg_dump")], ids=lambda each: each.kind
)
@pytest.mark.sampled(1)
@pytest.mark.extended
def test_every_kind_of_compression_is_cut(
    source: Cluster, original: Content, tmp_path: Path, compression: Compression
) -> None:
    with (
        world(tmp_path, source.conninfo.argv_dsn(), databases=("torture",), compression=compression) as made,
        copy_of(source, "torture") as copy,
    ):
        taken = take(made)
        execute(copy, "DROP TABLE big_values, bookings, wide, parent CASCADE")
        wanted = ("big_values", "bookings", "wide", "parent", "child", "grandchild")
        bring_back(made, taken, source, "copy", tables=wanted)
        assert changed(original, content(source, copy)) == []
