"""Tables of a backup are put beside those that are there, under other names or in another schema."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.jobs.reading import Opened
from holdfast.model.errors import SourceError, UsageError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.renaming import LONGEST, derived
from holdfast.postgres.scratch import Cluster
from support.postgres import execute, needs_extension, new_database, query
from support.restoring import take
from support.tables import bring_back, rows, scratches, state
from support.world import World, world

LONG = "l" * 60
SHOP = (
    "CREATE SCHEMA billing",
    "CREATE TYPE mood AS ENUM ('good', 'bad')",
    "CREATE FUNCTION well(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT $1 <> '''''",
    "CREATE FUNCTION valid(text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN public.well($1); END'",
    "CREATE TABLE customers (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text UNIQUE CHECK (valid(name)), m mood)",
    "CREATE TABLE orders (id serial PRIMARY KEY, customer int CONSTRAINT orders_of REFERENCES customers, note text)",
    "CREATE INDEX by_note ON orders (lower(note))",
    "CREATE STATISTICS orders_stats ON customer, note FROM orders",
    "COMMENT ON TABLE orders IS 'theirs'",
    "COMMENT ON CONSTRAINT orders_of ON orders IS 'whose'",
    "INSERT INTO customers (name, m) SELECT md5(g::text), 'good' FROM generate_series(1, 50) g",
    "INSERT INTO orders (customer, note) SELECT 1 + g % 50, g FROM generate_series(1, 500) g",
    "CREATE TABLE parent (x int)",
    "CREATE TABLE child (y int) INHERITS (parent)",
    "INSERT INTO parent VALUES (1)",
    "INSERT INTO child VALUES (2, 2)",
    "CREATE TABLE events (day date, what text, PRIMARY KEY (day, what)) PARTITION BY RANGE (day)",
    "CREATE TABLE events_2026 PARTITION OF events FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')",
    "INSERT INTO events SELECT date '2026-01-01' + g, 'x' FROM generate_series(1, 30) g",
    f"CREATE TABLE {LONG} (id serial PRIMARY KEY, v text UNIQUE)",
    f"INSERT INTO {LONG} (v) VALUES ('a')",
    "CREATE TABLE billing.invoices (id serial PRIMARY KEY, total numeric, m mood)",
    "CREATE FUNCTION billing.sum() RETURNS numeric LANGUAGE sql AS 'SELECT sum(total) FROM billing.invoices'",
    "INSERT INTO billing.invoices (total, m) SELECT g, 'bad' FROM generate_series(1, 20) g",
)


@pytest.fixture(scope="module")
def base(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        execute(database, *SHOP)
        yield database


@pytest.fixture(scope="module")
def shop(cluster: Cluster, base: Conninfo, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder: Path = tmp_path_factory.mktemp("world")
    with world(folder, cluster.conninfo.argv_dsn(), databases=(base.database,)) as made:
        yield made


@pytest.fixture(scope="module")
def opened(shop: World) -> Opened:
    return take(shop)


@pytest.fixture
def live(cluster: Cluster) -> Iterator[Conninfo]:
    """Give a database like the one that was backed up, in which somebody went on writing."""
    with new_database(cluster) as database:
        execute(database, *SHOP, "DELETE FROM orders WHERE id > 10", "UPDATE customers SET m = 'bad'")
        yield database


def name_of(database: Conninfo) -> str:
    return database.database or ""


def test_tables_come_back_under_other_names_with_all_that_is_theirs(
    cluster: Cluster, shop: World, opened: Opened, base: Conninfo, live: Conninfo
) -> None:
    before = rows(live)
    report = bring_back(
        shop, opened, cluster, name_of(live), rename={"orders": "orders_was", "customers": '"Customers, was"'}
    )

    after, then = rows(live), rows(base)
    assert {name: after[name] for name in before} == before
    assert after["public.orders_was"] == then["public.orders"]
    assert after['public."Customers, was"'] == then["public.customers"]
    assert after["public.orders_was_id_seq"] == then["public.orders_id_seq"]
    assert {(table.name, table.was, table.rows) for table in report.tables} == {
        ("public.orders_was", "public.orders", 500),
        ('public."Customers, was"', "public.customers", 50),
    }
    parts = (
        "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'orders_was'::regclass ORDER BY 1"
    )
    assert query(live, parts) == [("orders_was_by_note",), ("orders_was_pkey",)]
    keys = "SELECT conname, confrelid::regclass::text, obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE contype = 'f' AND conrelid = 'orders_was'::regclass"
    assert query(live, keys) == [("orders_was_of", '"Customers, was"', "whose")]
    assert query(live, "SELECT stxname FROM pg_statistic_ext ORDER BY 1") == [
        ("orders_stats",),
        ("orders_was_stats",),
    ]
    assert query(live, "SELECT obj_description('orders_was'::regclass)") == [("theirs",)]
    assert query(live, "INSERT INTO orders_was (note) VALUES ('new') RETURNING id") == [(501,)]
    assert query(live, "SELECT last_value FROM orders_id_seq") == [(500,)]
    assert scratches(cluster) == []


def test_a_key_to_a_table_that_stays_behind_is_named(
    cluster: Cluster, shop: World, opened: Opened, live: Conninfo
) -> None:
    report = bring_back(shop, opened, cluster, name_of(live), rename={"orders": "orders_was"})
    assert [each.what for each in report.skipped] == ["foreign key public.orders.orders_of"]
    assert query(live, "SELECT count(*) FROM orders_was") == [(500,)]


def test_tables_go_into_another_schema_which_is_made(
    cluster: Cluster, shop: World, opened: Opened, base: Conninfo, live: Conninfo
) -> None:
    report = bring_back(
        shop,
        opened,
        cluster,
        name_of(live),
        tables=("orders", "events", "billing.invoices"),
        into_schema='"Was Here"',
    )
    after, then = rows(live), rows(base)
    for old, new in (
        ("public.orders", "orders"),
        ("public.events_2026", "events_2026"),
        ("billing.invoices", "invoices"),
    ):
        assert after[f'"Was Here".{new}'] == then[old]
    assert report.also == ("schema Was Here",)
    query(live, "INSERT INTO \"Was Here\".events VALUES ('2026-12-31', 'fits') RETURNING 1")
    assert query(live, 'SELECT count(*) FROM "Was Here".events_2026') == [(31,)]


@pytest.mark.extended
def test_partitions_get_names_like_their_parent(
    cluster: Cluster, shop: World, opened: Opened, live: Conninfo
) -> None:
    report = bring_back(shop, opened, cluster, name_of(live), rename={"events": "happened"})
    assert {table.name for table in report.tables} == {"public.happened", "public.happened_2026"}
    assert query(live, "SELECT tableoid::regclass::text, count(*) FROM happened GROUP BY 1") == [
        ("happened_2026", 30)
    ]


@pytest.mark.extended
def test_rows_of_a_child_put_beside_do_not_show_in_the_parent(
    cluster: Cluster, shop: World, opened: Opened, live: Conninfo
) -> None:
    report = bring_back(shop, opened, cluster, name_of(live), rename={"child": "child_was"})
    assert query(live, "SELECT x FROM parent ORDER BY 1") == [(1,), (2,)]
    assert query(live, "SELECT * FROM child_was") == [(2, 2)]
    assert "public.child does not inherit from public.parent any more" in report.notes


def test_a_whole_schema_comes_under_another_name(
    cluster: Cluster, shop: World, opened: Opened, base: Conninfo, live: Conninfo
) -> None:
    report = bring_back(shop, opened, cluster, name_of(live), schemas=("billing",), into_schema="billing_was")
    assert rows(live)["billing_was.invoices"] == rows(base)["billing.invoices"]
    assert query(live, "SELECT billing_was.sum()") == [(210,)]
    assert report.tables[0].was == "billing.invoices"
    with pytest.raises(UsageError, match=r"already has table billing_was\.invoices|already has"):
        bring_back(shop, opened, cluster, name_of(live), schemas=("billing",), into_schema="billing_was")


@pytest.mark.extended
def test_what_is_an_extensions_stays_in_its_schema(cluster: Cluster, tmp_path: Path) -> None:
    needs_extension(cluster, "citext")
    needs_extension(cluster, "xml2")  # is not meant to be moved
    made = (
        "CREATE EXTENSION citext",
        "CREATE EXTENSION xml2",
        "CREATE SCHEMA billing",
        "CREATE TABLE people (name citext UNIQUE)",
        "INSERT INTO people VALUES ('Ann')",
        "CREATE FUNCTION found(citext) RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM public.people WHERE name = $1'",
        "CREATE TABLE billing.people_there (name public.citext)",
    )
    with new_database(cluster) as live:
        execute(live, *made)
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(name_of(live),)) as small:
            taken = take(small)
            bring_back(small, taken, cluster, name_of(live), schemas=("public",), into_schema="was")
            bring_back(small, taken, cluster, name_of(live), schemas=("billing",), into_schema="public")
        assert query(live, "SELECT name = 'ann'::citext FROM was.people") == [(True,)]
        kinds = "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'public.people_there'::regclass AND attnum = 1"
        assert query(live, kinds) == [("citext",)]
    assert scratches(cluster) == []


def test_an_empty_database_gets_the_types_that_a_renamed_table_needs(
    cluster: Cluster, shop: World, opened: Opened
) -> None:
    with new_database(cluster) as empty:
        report = bring_back(
            shop, opened, cluster, name_of(empty), rename={"billing.invoices": "bills"}, into_schema="public"
        )
        assert query(empty, "SELECT count(*), min(m::text) FROM bills") == [(20, "bad")]
    assert report.also == ("type public.mood",)


@pytest.mark.extended
def test_names_of_63_bytes_do_not_collide(
    cluster: Cluster, shop: World, opened: Opened, live: Conninfo
) -> None:
    new = "n" * 63
    bring_back(shop, opened, cluster, name_of(live), rename={LONG: new})
    names = query(live, f"SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = '{new}'::regclass")
    assert len(set(names)) == 2
    assert query(live, f"INSERT INTO {new} (v) VALUES ('b') RETURNING id") == [(2,)]


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"rename": {"orders": "customers"}}, "already has customers|already has public.customers"),
        ({"rename": {"orders": "mood"}}, "already has public.mood"),
        ({"rename": {"orders": "was"}, "tables": ("customers",)}, "already has public.customers"),
        ({"rename": {"orders": "was", "customers": "was"}}, "two tables would be called public.was"),
        ({"rename": {"o*": "was", "c*": "x"}}, "means several"),
        ({"rename": {"orders": "x" * 64}}, "longer than the 63 bytes"),
        ({"rename": {"orders": "a.b"}}, "is not a plain name"),
        ({"tables": ("orders",), "into_schema": "public"}, "already has public.orders"),
    ],
)
@pytest.mark.sampled(2)
def test_a_name_that_cannot_be_is_refused_before_anything_is_done(
    cluster: Cluster, shop: World, opened: Opened, live: Conninfo, wish: dict[str, object], message: str
) -> None:
    before = state(cluster, live)
    with pytest.raises(UsageError, match=message):
        bring_back(shop, opened, cluster, name_of(live), **wish)
    assert state(cluster, live) == before
    assert scratches(cluster) == []


def test_a_failure_leaves_the_database_as_it_was_and_no_scratch(
    cluster: Cluster, shop: World, opened: Opened, live: Conninfo
) -> None:
    execute(
        live,
        "CREATE FUNCTION no_index() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'no index today'; END$$",
        "CREATE EVENT TRIGGER no_index ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION no_index()",
    )
    before = state(cluster, live)
    with pytest.raises(SourceError, match="no index today"):
        bring_back(shop, opened, cluster, name_of(live), rename={"orders": "orders_was"})
    assert state(cluster, live) == before
    assert scratches(cluster) == []


def test_a_dry_run_says_what_would_be_called_how(
    cluster: Cluster, shop: World, opened: Opened, live: Conninfo
) -> None:
    before = state(cluster, live)
    wish = {"rename": {"events": "happened"}}
    said = bring_back(shop, opened, cluster, name_of(live), **wish, dry_run=True)
    assert state(cluster, live) == before
    assert said.tables == bring_back(shop, opened, cluster, name_of(live), **wish).tables


NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63)


@given(name=NAME, old=NAME, new=NAME, data=st.data())
def test_a_derived_name_is_free_and_short_enough(name: str, old: str, new: str, data: st.DataObject) -> None:
    first = derived(name, old, new)
    taken = {first, *data.draw(st.sets(NAME, max_size=3))}
    second = derived(name, old, new, taken)
    assert second not in taken
    assert max(len(first.encode()), len(second.encode())) <= LONGEST
    assert second
