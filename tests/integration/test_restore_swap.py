"""A restored database takes the place of the damaged one, and what was written since the backup is named."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from holdfast.jobs.reading import Opened
from holdfast.jobs.restore import Wish
from holdfast.jobs.swap import SwapReport, plan_restore, restore_swapped, swap
from holdfast.jobs.written_since import DefinitionChange, SequenceChange, TableChange, Written
from holdfast.methods.pg_restore import Options
from holdfast.model.errors import BusyError, CancelledError, Error, NotFoundError, UsageError
from holdfast.postgres import swapping
from holdfast.postgres.compare import digest
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from holdfast.postgres.survey import survey
from holdfast.system.stop import Stop
from support import torture
from support.postgres import execute, query, running_cluster
from support.restoring import create, databases, drop, take
from support.swapping import locked
from support.world import World, world

pytestmark = pytest.mark.extended

TABLES = (
    "CREATE TABLE orders (id serial PRIMARY KEY, state varchar(5) CHECK (state IN ('new', 'paid')), note text)",
    "INSERT INTO orders (state) SELECT 'new' FROM generate_series(1, 10)",
    "CREATE TABLE items AS SELECT generate_series(1, 5) AS n",
    "CREATE TABLE \"Odd. 'Name'\" AS SELECT 1 AS n",
    "CREATE TABLE old (n int PRIMARY KEY)",
    "INSERT INTO old VALUES (1)",
    "CREATE VIEW few AS SELECT * FROM items",
    "SELECT lo_from_bytea(5000, '\\x01')",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with running_cluster(tcp=False) as running:
        yield running


@pytest.fixture
def live(server: Cluster) -> Iterator[Conninfo]:
    """Create the database `shop`; drop every database at the end."""
    yield create(server, "shop", *TABLES)
    drop(server, *(databases(server) - {"postgres"}))


@pytest.fixture
def shop(server: Cluster, live: Conninfo, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, server.conninfo.argv_dsn(), databases=(str(live.database),)) as made:
        yield made


@pytest.fixture
def opened(shop: World) -> Opened:
    """Give a backup of it."""
    return take(shop)


def swapped_in(made: World, opened: Opened, into: Conninfo, *, compare: bool = True) -> SwapReport:
    return restore_swapped(
        made.services, opened, Wish(into=into, database="shop"), made.stop, compare=compare
    )


def test_what_was_written_since_the_backup_is_named(
    shop: World, opened: Opened, live: Conninfo, server: Cluster
) -> None:
    execute(
        live,
        "INSERT INTO orders (state) VALUES ('paid'), ('paid')",
        "UPDATE items SET n = 50 WHERE n = 5",
        "DELETE FROM \"Odd. 'Name'\"",
        "DROP TABLE old",
        "CREATE TABLE new (n int PRIMARY KEY)",
        "CREATE INDEX by_note ON orders (note)",
        "CREATE OR REPLACE VIEW few AS SELECT * FROM items LIMIT 1",
        "SELECT lo_put(5000, 0, '\\x02')",
    )
    report = swapped_in(shop, opened, server.conninfo)
    assert report.written == Written(
        tables_compared=3,
        tables=(
            TableChange(name="public.\"Odd. 'Name'\"", rows_old=0, rows_backup=1),
            TableChange(name="public.items", rows_old=5, rows_backup=5),
            TableChange(name="public.new", rows_old=0, rows_backup=None),
            TableChange(name="public.old", rows_old=None, rows_backup=1),
            TableChange(name="public.orders", rows_old=12, rows_backup=10),
        ),
        sequences=(SequenceChange(name="public.orders_id_seq", old=12, backup=10),),
        large_objects=("5000",),
        definitions=(
            DefinitionChange(name="index public.by_note", where="old"),
            DefinitionChange(name="view public.few", where="both"),
        ),
        unread=(),
    )
    assert query(live, "SELECT count(*) FROM orders") == [(10,)]
    kept = server.conninfo.with_database(report.kept)
    assert query(kept, "SELECT count(*) FROM orders") == [(12,)]
    assert report.restored is not None
    assert (report.restored.databases[0].rows, report.restored.backup_id) == (17, opened.backup.id)


def test_an_untouched_database_does_not_differ(shop: World, opened: Opened, server: Cluster) -> None:
    report = swapped_in(shop, opened, server.conninfo)
    assert report.written == Written(
        tables_compared=4, tables=(), sequences=(), large_objects=(), definitions=(), unread=()
    )
    assert report.properties is not None
    assert (report.properties.only_old, report.properties.only_new) == ((), ())


def test_the_torture_database_does_not_differ_from_its_backup(server: Cluster, tmp_path: Path) -> None:
    torture.load(server.conninfo, "shop")
    try:
        with world(tmp_path, server.conninfo.argv_dsn(), databases=("shop",)) as made:
            report = swapped_in(made, take(made), server.conninfo)
        found = report.written
        assert found is not None
        assert (found.tables, found.sequences, found.large_objects, found.definitions) == ((), (), (), ())
        assert found.tables_compared > 30
    finally:
        drop(server, *(databases(server) - {"postgres"}))


def test_writes_after_the_swap_are_not_taken_for_older_ones(
    shop: World, opened: Opened, live: Conninfo, server: Cluster
) -> None:
    def write(stage: str) -> None:
        if stage == "swapped":
            execute(live, "INSERT INTO items VALUES (6)")

    wish = Wish(into=server.conninfo, database="shop")
    report = restore_swapped(shop.staged(write), opened, wish, shop.stop)
    assert report.written is not None
    assert report.written.tables == ()


def test_writes_until_the_very_swap_are_named(
    shop: World, opened: Opened, live: Conninfo, server: Cluster
) -> None:
    def write(stage: str) -> None:
        if stage == "swapping":
            execute(live, "INSERT INTO items VALUES (6)")

    wish = Wish(into=server.conninfo, database="shop")
    report = restore_swapped(shop.staged(write), opened, wish, shop.stop)
    assert report.written is not None
    assert report.written.tables == (TableChange(name="public.items", rows_old=6, rows_backup=5),)


def test_without_a_comparison_nothing_is_read_twice(shop: World, opened: Opened, server: Cluster) -> None:
    report = swapped_in(shop, opened, server.conninfo, compare=False)
    assert report.written is None
    assert report.notes == ()


def test_a_table_that_cannot_be_read_is_named_and_the_others_are_compared(
    shop: World, opened: Opened, live: Conninfo, server: Cluster
) -> None:
    execute(live, "DELETE FROM orders", "VACUUM FULL items", "CHECKPOINT")  # items is in no buffer now
    ((path,),) = query(live, "SELECT pg_relation_filepath('items')")
    with (server.data_dir / str(path)).open("r+b") as file:
        file.write(os.urandom(24))
    report = swapped_in(shop, opened, server.conninfo)
    assert report.written is not None
    [unread] = report.written.unread
    assert unread.name == "public.items"
    assert "invalid page" in unread.error
    assert [table.name for table in report.written.tables] == ["public.orders"]


def test_a_function_of_another_role_is_not_run(
    shop: World, opened: Opened, live: Conninfo, server: Cluster
) -> None:
    evil = "CREATE OR REPLACE FUNCTION evil(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS"
    execute(
        live,
        "CREATE ROLE mallory",
        f"{evil} 'BEGIN RETURN 1; END'",
        "CREATE INDEX ON items (n) WHERE evil(7) > n",
        "ALTER FUNCTION evil OWNER TO mallory",
        f"{evil} 'BEGIN RAISE EXCEPTION $$run as %$$, current_user; END'",
    )
    try:
        report = swapped_in(shop, opened, server.conninfo)
        assert report.written is not None
        [unread] = report.written.unread
        assert (unread.name, "would run as us" in unread.error) == ("public.items", True)
    finally:
        drop(server, *(databases(server) - {"postgres"}))
        execute(server.conninfo, "DROP ROLE mallory")


def test_properties_are_the_backups_and_later_changes_are_given_as_statements(
    shop: World, opened: Opened, server: Cluster
) -> None:
    execute(
        server.conninfo,
        "ALTER DATABASE shop SET work_mem TO '7MB'",
        "ALTER DATABASE shop SET default_transaction_read_only TO on",
        "COMMENT ON DATABASE shop IS 'it''s broken'",
    )
    report = swapped_in(shop, opened, server.conninfo)
    assert report.properties is not None
    assert report.properties.only_new == ()
    assert set(report.properties.only_old) == {
        """ALTER DATABASE "shop" SET "work_mem" TO '7MB';""",
        """ALTER DATABASE "shop" SET "default_transaction_read_only" TO 'on';""",
        """COMMENT ON DATABASE "shop" IS 'it''s broken';""",
    }
    execute(server.conninfo, *report.properties.only_old)
    again = swap(shop.services, server.conninfo, "shop", report.kept, shop.stop)
    assert again.properties is not None
    assert (again.properties.only_old, again.properties.only_new) == ((), ())


def test_a_restored_database_that_cannot_take_the_place_stays_and_can_later(
    shop: World, opened: Opened, live: Conninfo, server: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(swapping._SETTINGS, "lock_timeout", "50ms")
    execute(live, "DELETE FROM items")
    with locked(server, "shop"), pytest.raises(BusyError) as caught:
        swapped_in(shop, opened, server.conninfo)
    [beside] = databases(server) - {"postgres", "shop"}
    assert beside.startswith("shop_restoring_2")
    assert f"called '{beside}': `holdfast swap` can still" in (caught.value.hint or "")
    assert query(live, "SELECT count(*) FROM items") == [(0,)]
    swap(shop.services, server.conninfo, "shop", beside, shop.stop)
    assert query(live, "SELECT count(*) FROM items") == [(5,)]


def test_what_an_earlier_run_left_is_named_and_not_removed(
    shop: World, opened: Opened, server: Cluster
) -> None:
    create(server, "shop_restoring_20260101T000000")
    create(server, "shop_restoring_20260101T000001")
    with closing(psycopg.connect(server.conninfo.with_database("shop_restoring_20260101T000001").dsn())):
        report = swapped_in(shop, opened, server.conninfo)
    told = [facts["database"] for event, facts in shop.recorder.warnings if "left" in event]
    assert told == ["shop_restoring_20260101T000000"]
    assert databases(server) == {
        "postgres", "shop", report.kept, "shop_restoring_20260101T000000", "shop_restoring_20260101T000001",
    }  # fmt: skip


def test_a_failed_restore_leaves_the_live_database_alone(
    shop: World, opened: Opened, live: Conninfo, server: Cluster
) -> None:
    execute(live, "INSERT INTO items VALUES (6)")

    def fail(stage: str) -> None:
        if stage == "fed":
            raise CancelledError

    with pytest.raises(CancelledError):
        restore_swapped(shop.staged(fail), opened, Wish(into=server.conninfo, database="shop"), shop.stop)
    assert databases(server) == {"postgres", "shop"}
    assert query(live, "SELECT count(*) FROM items") == [(6,)]


def test_a_stop_during_the_comparison_ends_the_comparison_and_tells_the_way_back(
    shop: World, opened: Opened, live: Conninfo, server: Cluster
) -> None:
    with Stop().derived() as stop:

        def request(stage: str) -> None:
            if stage == "swapped":
                stop.request(CancelledError("cancelled by SIGTERM", exit_code=143))

        wish = Wish(into=server.conninfo, database="shop")
        report = restore_swapped(shop.staged(request), opened, wish, stop)
    assert report.written is None
    assert report.notes == ("what was written since the backup is not known: cancelled by SIGTERM",)
    assert report.kept in databases(server)
    assert query(live, "SELECT count(*) FROM items") == [(5,)]


def test_a_plan_changes_nothing(shop: World, opened: Opened, server: Cluster) -> None:
    planned = plan_restore(shop.services, opened, Wish(into=server.conninfo, database="shop"))
    assert (planned.live, planned.other) == ("shop", None)
    assert databases(server) == {"postgres", "shop"}


def test_a_wish_that_makes_no_sense_is_refused(shop: World, opened: Opened, server: Cluster) -> None:
    refused: tuple[tuple[dict[str, Any], type[Error], str], ...] = (
        ({"database": None}, UsageError, "--swap goes with --database"),
        ({"rename": "x"}, UsageError, "without --as"),
        ({"database": "gone"}, NotFoundError, "holds no database 'gone'"),
        ({"options": Options(clean=True)}, UsageError, "neither --section nor --clean"),
        ({"options": Options(sections=("data",))}, UsageError, "neither --section nor --clean"),
    )
    for wish, kind, message in refused:
        asked = dataclasses.replace(Wish(into=server.conninfo, database="shop"), **wish)
        with pytest.raises(kind, match=message):
            restore_swapped(shop.services, opened, asked, shop.stop)
        with pytest.raises(kind, match=message):
            plan_restore(shop.services, opened, asked)
    assert databases(server) == {"postgres", "shop"}


def test_without_a_live_database_there_is_nothing_to_swap(
    shop: World, opened: Opened, server: Cluster
) -> None:
    drop(server, "shop")
    with pytest.raises(NotFoundError, match=r"no database 'shop' on .* whose place") as caught:
        swapped_in(shop, opened, server.conninfo)
    assert caught.value.hint == "Restore it without --swap."
    assert databases(server) == {"postgres"}


def test_an_owner_who_is_no_superuser_can_do_it(server: Cluster, tmp_path: Path) -> None:
    execute(server.conninfo, "CREATE ROLE keeper LOGIN CREATEDB", "CREATE DATABASE shop OWNER keeper")
    mine = dataclasses.replace(server.conninfo, params={**server.conninfo.params, "user": "keeper"})
    try:
        execute(mine.with_database("shop"), "CREATE TABLE t AS SELECT 1 AS n")
        with world(tmp_path, mine.argv_dsn(), databases=("shop",), globals=False) as made:
            opened = take(made)
            execute(mine.with_database("shop"), "DELETE FROM t")
            report = swapped_in(made, opened, mine.with_database("shop"))
        assert report.written is not None
        assert report.written.tables == (TableChange(name="public.t", rows_old=0, rows_backup=1),)
        assert query(mine.with_database("shop"), "SELECT n FROM t") == [(1,)]
    finally:
        drop(server, *(databases(server) - {"postgres"}))
        execute(server.conninfo, "DROP ROLE keeper")


def test_a_survey_digests_as_the_comparison_of_whole_databases_does(live: Conninfo) -> None:
    with connect(live, application_name="test") as connection:
        assert survey([connection], Stop(), foreign_code=True).digest == digest(connection)
