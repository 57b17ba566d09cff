"""A restored database is held against its archive: the same is the same, and whatever was changed is named."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from holdfast.methods.identity import Subject, compare_database
from holdfast.model.catalog import Database
from holdfast.model.comparison import Comparison
from holdfast.model.errors import CancelledError, IntegrityError, SourceError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.dropping import drop_database
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.system.stop import Stop
from support import torture
from support.corruptions import CORRUPTIONS, Corruption, corrupt
from support.identity import Way, catalog_of, chunks, compared, dump_of, restored
from support.postgres import execute, query, toolset

WAYS: tuple[Way, ...] = ("beside", "in two sessions")
_Tortured = tuple[bytes, Database]
_Pair = Callable[..., Comparison]


@pytest.fixture(scope="module")
def tortured(cluster: Cluster) -> Iterator[_Tortured]:
    original = torture.load(cluster.conninfo, "tortured", torture.MORE)
    try:
        yield dump_of(cluster, original), catalog_of(original)
    finally:
        with connect(cluster.conninfo, application_name="test") as conn:
            drop_database(conn, cluster.conninfo, "tortured")


def told(done: Comparison) -> object:
    """All that is the same in whichever way the two sides are read."""
    return done.tables, done.differences, done.sequences, done.large_objects, done.left_out, done.notes


@pytest.mark.fault("server.everything")
def test_a_restored_torture_database_is_the_same(second_cluster: Cluster, tortured: _Tortured) -> None:
    archive, found = tortured
    torture.create_roles(second_cluster.conninfo)
    with restored(second_cluster, archive, found, "restored") as where:
        done = compared(second_cluster, archive, found, where)
        for way in WAYS:
            assert told(compared(second_cluster, archive, found, where, way=way)) == told(done)
    assert done.differences == ()
    assert done.respelled == ()
    assert done.same
    assert len(done.tables) > 30
    assert done.rows == sum(table.rows or 0 for table in found.tables if table.kind == "r")
    assert (done.large_objects, done.definitions > 150) == (4, True)
    print(done.notes, done.left_out, done.validity, done.phases)


@pytest.fixture(scope="module")
def copy(second_cluster: Cluster, tortured: _Tortured) -> Iterator[Conninfo]:
    """Give a restored database that tests corrupt all at once."""
    torture.create_roles(second_cluster.conninfo)
    with restored(second_cluster, *tortured, "corrupted") as where:
        yield where


def test_all_corruptions_at_once_are_told_each_by_its_name(
    second_cluster: Cluster, tortured: _Tortured, copy: Conninfo
) -> None:
    corrupt(copy, *CORRUPTIONS)
    done = compared(second_cluster, *tortured, copy)
    assert told(compared(second_cluster, *tortured, copy, way="in two sessions")) == told(done)
    found = {(each.kind, each.name, each.how) for each in done.differences}
    assert {
        each.name: set(each.differs) - found for each in CORRUPTIONS if not set(each.differs) <= found
    } == {}
    assert not done.same


@pytest.mark.extended
@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda each: each.name)
def test_a_corruption_is_all_that_is_told(
    second_cluster: Cluster, tortured: _Tortured, corruption: Corruption
) -> None:
    torture.create_roles(second_cluster.conninfo)
    with restored(second_cluster, *tortured, "corrupted_once") as where:
        corrupt(where, corruption)
        done = compared(second_cluster, *tortured, where)
    told = {(each.kind, each.name, each.how) for each in done.differences}
    assert set(corruption.differs) <= told
    assert {(kind, name) for kind, name, _ in told} == {
        *((kind, name) for kind, name, _ in corruption.differs),
        *corruption.also,
    }


@pytest.fixture
def pair(cluster: Cluster, second_cluster: Cluster, database: Conninfo) -> _Pair:
    """Give a way to fill a database, restore it elsewhere, change it there, and compare the two."""

    def run(*statements: str, change: tuple[str, ...] = (), options: tuple[str, ...] = ()) -> Comparison:
        execute(database, *statements)
        archive, found = dump_of(cluster, database, *options), catalog_of(database)
        with restored(second_cluster, archive, found, "pair") as where:
            execute(where, *change)
            return compared(second_cluster, archive, found, where)

    return run


@pytest.mark.extended
def test_an_archive_of_another_time_zone_is_compared_in_that(pair: _Pair, database: Conninfo) -> None:
    zone = "Australia/Lord_Howe"  # half an hour of summer time
    content = (
        f"ALTER DATABASE \"{database.database}\" SET timezone TO '{zone}'",
        "CREATE TABLE t (at timestamptz, r tstzrange, n text)",
        "INSERT INTO t SELECT a, tstzrange(a, a + '1 h'), '2024-02-30 25:00:00+07' FROM generate_series(timestamptz '2023-01-01', '2025-01-01', '13 h') a",
        "CREATE TABLE u AS TABLE t",
        "INSERT INTO t VALUES ('infinity'), (NULL), ('0044-03-15 00:00 BC')",
    )
    done = pair(
        *content, change=("UPDATE u SET at = at + interval '1 us' WHERE at = (SELECT min(at) FROM u)",)
    )
    assert [(each.kind, each.name) for each in done.differences] == [("rows", "public.u")]
    (difference,) = done.differences
    assert difference.example is not None
    assert done.notes == ("the archive was dumped in the time zone Australia/LHI",)  # the same, of old


@pytest.mark.extended
def test_partitions_are_compared_through_their_root_where_the_dump_loads_them_so(pair: _Pair) -> None:
    content = (
        "CREATE TABLE r (k integer, v text) PARTITION BY HASH (k)",
        "CREATE TABLE r_0 PARTITION OF r FOR VALUES WITH (MODULUS 2, REMAINDER 0)",
        "CREATE TABLE r_1 (v text, k integer)",
        "ALTER TABLE r ATTACH PARTITION r_1 FOR VALUES WITH (MODULUS 2, REMAINDER 1)",
        "INSERT INTO r SELECT i, i::text FROM generate_series(1, 100) i",
    )
    done = pair(*content, options=("--load-via-partition-root",), change=("DELETE FROM r WHERE k = 7",))
    assert [table.name for table in done.tables] == ["public.r"]
    assert done.tables[0].source_rows == 100
    assert [(each.kind, each.name, each.expected, each.found) for each in done.differences] == [
        ("rows", "public.r", "100 rows", "99 rows")
    ]


@pytest.mark.extended
def test_columns_that_inheritance_puts_in_another_order_are_compared_by_name(pair: _Pair) -> None:
    content = (
        'CREATE TABLE par (a integer, "b, ""c" text)',
        "CREATE TABLE kid (own integer, big text) INHERITS (par)",
        "CREATE TABLE spoilt (own integer) INHERITS (par)",
        "ALTER TABLE par ADD COLUMN late timestamptz DEFAULT '2024-01-01 00:00+07'",
        "INSERT INTO kid VALUES (1, E'x\\ty\\\\', 7, repeat('z', 5000000), 'infinity'), (2, NULL, 5, '', NULL)",
        "INSERT INTO spoilt VALUES (1, 'b', 7)",
        "INSERT INTO par VALUES (3, 'p')",
    )
    done = pair(*content, change=("UPDATE spoilt SET own = 8",))
    assert done.notes == tuple(
        f"public.{name} came back with its columns in another order: pg_dump puts inherited ones first"
        for name in ("kid", "spoilt")
    )
    assert [(each.kind, each.name, each.how) for each in done.differences] == [
        ("rows", "public.spoilt", "different")
    ]


@pytest.mark.extended
def test_names_in_quotes_and_another_encoding_are_no_difference(pair: _Pair) -> None:
    content = (
        'CREATE TABLE "Ümläut" ("ä" text PRIMARY KEY, b integer CHECK (b > 0))',
        "INSERT INTO \"Ümläut\" VALUES ('ö', 1)",
        'CREATE VIEW v AS SELECT "ä" FROM "Ümläut"',
        'CREATE SEQUENCE "ß"',
        "COMMENT ON TABLE \"Ümläut\" IS 'ü'",
    )
    done = pair(
        *content,
        options=("--quote-all-identifiers", "--encoding=LATIN1"),
        change=('UPDATE "Ümläut" SET b = 2',),
    )
    assert [(each.kind, each.name) for each in done.differences] == [("rows", 'public."Ümläut"')]
    assert done.differences[0].example is not None
    assert [(table.name, table.source_rows) for table in done.tables] == [('public."Ümläut"', 1)]


def test_what_was_left_out_is_named_with_the_reason(pair: _Pair) -> None:
    content = ("CREATE TABLE a (x integer)", "INSERT INTO a VALUES (1)", "CREATE TABLE b (x integer)")
    done = pair(*content, options=("--exclude-table-data=a",))
    assert [(each.kind, each.name) for each in done.differences] == [("contents", "public.a")]
    assert [(each.kind, each.name) for each in done.left_out] == [("rows", "public.a")]


def test_values_that_a_restore_works_out_anew_are_named_as_not_compared(pair: _Pair) -> None:
    done = pair(
        'CREATE TABLE shop (price integer, gross integer GENERATED ALWAYS AS (price * 2) STORED, "N t" integer GENERATED ALWAYS AS (1) STORED)',
        "INSERT INTO shop VALUES (1)",
        "CREATE MATERIALIZED VIEW sums AS SELECT sum(price) FROM shop",
        "CREATE MATERIALIZED VIEW hollow AS SELECT 1 AS x WITH NO DATA",
    )
    assert done.same
    assert {(each.kind, each.name) for each in done.left_out} == {
        ("generated columns", 'public.shop (gross, "N t")'),
        ("rows of a materialised view", "public.sums"),
    }


def test_what_a_backup_is_not_meant_to_hold_is_no_difference(
    cluster: Cluster, second_cluster: Cluster, database: Conninfo
) -> None:
    execute(
        database,
        "CREATE SCHEMA a CREATE TABLE t (x integer) CREATE SEQUENCE s",
        "CREATE SCHEMA b CREATE TABLE u (x integer)",
        "INSERT INTO a.t VALUES (1)",
        "INSERT INTO b.u VALUES (1)",
        "SELECT lo_create(0)",
    )
    archive, found = dump_of(cluster, database, "--schema=a"), catalog_of(database, include_schemas=("a",))
    with restored(second_cluster, archive, found, "some") as where:
        done = compared(second_cluster, archive, found, where)
    assert (done.differences, done.same) == ((), True)
    assert [table.name for table in done.tables] == ["a.t"]
    assert {("large objects", "all 1"), ("table", "b.u")} <= {
        (each.kind, each.name) for each in done.left_out
    }


def test_a_damaged_archive_is_told_from_a_difference(cluster: Cluster, database: Conninfo) -> None:
    execute(database, "CREATE TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 50000)")
    archive, found = dump_of(cluster, database), catalog_of(database)
    with pytest.raises(IntegrityError, match="pg_restore cannot read the archive"):
        compared(cluster, archive[:-100000], found, database)
    with pytest.raises(IntegrityError):
        compared(cluster, archive[:100], found, database)


def test_a_stop_ends_it_at_once(cluster: Cluster, database: Conninfo) -> None:
    execute(database, "CREATE TABLE t AS SELECT repeat('x', 100) FROM generate_series(1, 50000)")
    archive, found = dump_of(cluster, database), catalog_of(database)
    stop = Stop()

    def opened() -> Iterator[bytes]:
        for number, piece in enumerate(chunks(archive, 65536)):
            if number == 20:
                stop.request()
                stop.wait(1)
            yield piece

    subject = Subject(archive=opened, found=found, where=database, clients=toolset(cluster))
    with pytest.raises(CancelledError):
        compare_database(subject, stop=stop)


@pytest.mark.extended
def test_a_sequence_that_a_pattern_for_rows_takes_the_value_of_is_left_out(
    cluster: Cluster, second_cluster: Cluster, database: Conninfo
) -> None:
    execute(
        database,
        "CREATE SCHEMA a",
        "CREATE TABLE a.t (i serial)",
        "INSERT INTO a.t SELECT FROM generate_series(1, 9)",
    )
    archive = dump_of(cluster, database, "--exclude-table-data=a.*")
    found = catalog_of(database, exclude_table_data=("a.*",))
    with restored(second_cluster, archive, found, "emptied") as where:
        done = compared(second_cluster, archive, found, where)
    assert done.differences == ()
    assert {(each.kind, each.name) for each in done.left_out} == {
        ("rows", "a.t"),
        ("sequence value", "a.t_i_seq"),
    }


def test_what_does_not_hold_together_is_a_problem(pair: _Pair, second_cluster: Cluster) -> None:
    content = (
        "CREATE TABLE t (a integer PRIMARY KEY, b integer)",
        "INSERT INTO t SELECT i, i FROM generate_series(1, 10) i",
        "CREATE INDEX i ON t (b)",
        "CREATE FUNCTION public.ordered(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($1, $2)'",
        (
            "CREATE OPERATOR CLASS own FOR TYPE integer USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =,"
            " OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 public.ordered(integer, integer)"
        ),
        "CREATE INDEX backwards ON t (b own)",
        "CREATE FUNCTION public.said(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1'",
        "CREATE INDEX lying ON t (said(a))",
    )
    broken = (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'i'::regclass",
        # An index that is not in the order that it is for, as one is after a change of the collations' library.
        "CREATE OR REPLACE FUNCTION public.ordered(integer, integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT -btint4cmp($1, $2)'",
        # And one upon a function that says something else now.
        "CREATE OR REPLACE FUNCTION public.said(integer) RETURNS integer LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 100'",
    )
    done = pair(*content, change=broken)
    problems = {
        check.name: [text.split(" tuple")[0] for text in check.problems]
        for check in done.validity
        if check.problems
    }
    expected = {"indexes": ["index public.i is not valid"]}
    if query(second_cluster.conninfo, "SELECT FROM pg_available_extensions WHERE name = 'amcheck'"):
        expected["B-trees"] = [
            'public.backwards: item order invariant violated for index "backwards"',
            "public.lying: heap",
        ]
    assert problems == expected
    assert not done.same


@pytest.mark.extended
@pytest.mark.parametrize(
    "options",
    [("--inserts",), ("--column-inserts",), ("--inserts", "--on-conflict-do-nothing")],
    ids=" ".join,
)
def test_rows_that_were_dumped_as_statements_are_compared_so(pair: _Pair, options: tuple[str, ...]) -> None:
    content = (
        "CREATE TABLE t (a integer, t text, d integer GENERATED ALWAYS AS (a * 2) STORED)",
        "INSERT INTO t VALUES (1, E'x;\\n''y'), (2, E'\\\\'), (3, NULL)",
        "CREATE TABLE u AS SELECT i, repeat('ab;''\n', 1000) AS t FROM generate_series(1, 2) i",
        "CREATE TABLE same AS TABLE u",
        "CREATE TABLE empty (x integer)",
    )
    change = ("UPDATE t SET t = t || 'x' WHERE a = 2", "UPDATE u SET t = t || 'x' WHERE i = 2")
    done = pair(*content, options=options, change=change)
    assert [(each.kind, each.name) for each in done.differences] == [
        ("rows", "public.t"),
        ("rows", "public.u"),
    ]
    assert all(each.example for each in done.differences)


def test_what_cannot_be_sent_through_an_empty_database_is_told_without_the_statement(
    cluster: Cluster, database: Conninfo
) -> None:
    execute(database, "CREATE FOREIGN DATA WRAPPER w", "CREATE SERVER s FOREIGN DATA WRAPPER w")
    execute(
        database,
        "CREATE ROLE nobody_here",
        "CREATE USER MAPPING FOR nobody_here SERVER s OPTIONS (password 'hush')",
    )
    archive, found = dump_of(cluster, database), catalog_of(database)
    execute(database, "DROP USER MAPPING FOR nobody_here SERVER s", "DROP ROLE nobody_here")
    with pytest.raises(SourceError, match='role "nobody_here" does not exist') as told:
        compared(cluster, archive, found, database)
    assert "hush" not in str(told.value)
