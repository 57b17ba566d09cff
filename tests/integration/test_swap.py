"""One database takes another's place, whoever is connected; whatever is in the way is named, and nothing is changed."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from holdfast.jobs.swap import Plan, SwapReport, plan, swap
from holdfast.model.errors import BusyError, CancelledError, Error, NotFoundError, UsageError
from holdfast.postgres import swapping, unfinished
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.errors import PermanentSourceError
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.postgres import execute, query, running_cluster
from support.restoring import create, databases, drop
from support.swapping import locked, pair, stopped_session, wait_for, who_is
from support.world import World, world

HOSTILE = (
    ("""it's "quoted".a/b\\c 数据库-ü""", "new\nline\ttab"),
    ("数据库" * 7, "--dbname=x"),
    ("postgresql://x@example.invalid/$(z)".ljust(63, "z"), "a=b c"),
)


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def shop(server: Cluster, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, server.conninfo.argv_dsn()) as made:
        yield made


@pytest.fixture
def both(server: Cluster) -> Iterator[tuple[Conninfo, Conninfo]]:
    with pair(server) as made:
        yield made


def swapped(
    made: World, server: Cluster, live: str = "shop", other: str = "new", into: Conninfo | None = None
) -> SwapReport:
    return swap(made.services, into or server.conninfo, live, other, made.stop, target="shop")


def assert_nothing_changed(server: Cluster) -> None:
    assert databases(server) == {"postgres", "shop", "new"}
    assert (who_is(server, "shop"), who_is(server, "new")) == ("live", "other")


@pytest.mark.usefixtures("both")
def test_the_two_change_places_and_the_way_back_is_the_same_again(shop: World, server: Cluster) -> None:
    first = swapped(shop, server)
    assert databases(server) == {"postgres", "shop", first.kept}
    assert (who_is(server, "shop"), who_is(server, first.kept)) == ("other", "live")
    second = swapped(shop, server, other=first.kept)
    assert (who_is(server, "shop"), who_is(server, second.kept)) == ("live", "other")
    assert {run.status for run in shop.services.ledger.runs("shop", "restore")} == {"succeeded"}
    assert first.size is not None
    assert first.size > 1_000_000


@pytest.mark.parametrize(("live", "other"), HOSTILE)
@pytest.mark.sampled(1)
def test_any_names_will_do(shop: World, server: Cluster, live: str, other: str) -> None:
    with pair(server, live, other):
        report = swapped(shop, server, live, other)
        assert (who_is(server, live), who_is(server, report.kept)) == ("other", "live")


def test_who_connects_and_writes_all_the_time_reaches_the_new_one_and_loses_nothing(
    shop: World, server: Cluster, both: tuple[Conninfo, Conninfo]
) -> None:
    for each in both:
        execute(each, "CREATE TABLE log (writer int, n int)")
    done, written = threading.Event(), [0, 0, 0]

    def write(writer: int) -> None:
        while not done.is_set():
            try:
                with closing(psycopg.connect(both[0].dsn(), autocommit=True)) as connection:
                    while not done.is_set():
                        connection.execute("INSERT INTO log VALUES (%s, %s)", (writer, written[writer]))
                        written[writer] += 1
            except psycopg.Error:  # ended, or a connection that was about to be made to the old one
                continue

    writers = [threading.Thread(target=write, args=(number,)) for number in range(len(written))]
    for writer in writers:
        writer.start()
    try:
        wait_for(server, "datname = 'shop' AND query LIKE 'INSERT%'")
        report = swapped(shop, server)
        before = list(written)
        deadline = time.monotonic() + 20
        while not all(now > then for now, then in zip(written, before, strict=True)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        done.set()
        for writer in writers:
            writer.join()
    assert report.ended_sessions >= len(written)
    rows: list[tuple[object, ...]] = []
    for name in ("shop", report.kept):
        found = query(server.conninfo.with_database(name), "SELECT writer, n FROM log")
        assert found, name
        rows += found
    # Of the insert whose session was ended nobody knows; what was acknowledged is there.
    assert {(writer, n) for writer, count in enumerate(written) for n in range(count)} <= set(rows)


def test_an_open_transaction_is_ended_and_rolled_back(
    shop: World, server: Cluster, both: tuple[Conninfo, Conninfo]
) -> None:
    with closing(psycopg.connect(both[0].dsn())) as idle:
        idle.execute("UPDATE me SET name = 'changed'")
        report = swapped(shop, server)
        with pytest.raises(psycopg.OperationalError):
            idle.execute("SELECT 1")
    assert report.ended_sessions == 1
    assert who_is(server, report.kept) == "live"


def test_a_lock_from_outside_is_waited_for_and_then_named_and_nobody_is_disturbed(
    shop: World, server: Cluster, both: tuple[Conninfo, Conninfo], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(swapping._SETTINGS, "lock_timeout", "100ms")
    with closing(psycopg.connect(both[0].dsn(), autocommit=True)) as app, locked(server, "shop") as pid:
        with pytest.raises(BusyError, match=rf"postgres \(pid {pid}, careless, idle in transaction\)"):
            swapped(shop, server)
        assert_nothing_changed(server)
        assert app.execute("SELECT name FROM me").fetchall() == [("live",)], "ended for nothing"
    assert shop.services.ledger.runs("shop", "restore")[0].error_code == "busy"


def test_a_stop_while_waiting_leaves_all_as_it_was(
    shop: World, server: Cluster, both: tuple[Conninfo, Conninfo]
) -> None:
    failures: list[BaseException] = []

    def work() -> None:
        try:
            swap(shop.services, server.conninfo, "shop", "new", shop.stop)
        except CancelledError as error:
            failures.append(error)

    with stopped_session(both[0]):
        thread = threading.Thread(target=work)
        thread.start()
        wait_for(
            server, "application_name = 'holdfast swap' AND query LIKE 'ALTER DATABASE%' AND state = 'active'"
        )
        shop.stop.request(CancelledError(exit_code=143))
        thread.join(timeout=4)  # the server by itself would wait for 5 s
        assert not thread.is_alive()
    assert len(failures) == 1
    assert_nothing_changed(server)


@pytest.mark.extended
def test_a_prepared_transaction_is_named_with_what_to_do(
    shop: World, server: Cluster, both: tuple[Conninfo, Conninfo]
) -> None:
    execute(both[0], "BEGIN; INSERT INTO me VALUES ('x'); PREPARE TRANSACTION 'o''clock'")
    try:
        with pytest.raises(
            BusyError, match=r"""prepared transactions .*"o'clock" in shop by postgres"""
        ) as caught:
            swapped(shop, server)
        assert "ROLLBACK PREPARED 'o''clock'" in (caught.value.hint or "")
        assert_nothing_changed(server)
    finally:
        execute(both[0], "ROLLBACK PREPARED 'o''clock'")


@pytest.mark.usefixtures("both")
def test_a_half_restored_database_takes_nobodys_place(shop: World, server: Cluster) -> None:
    with connect(server.conninfo, application_name="test") as connection:
        unfinished.mark(connection, "new", "20261122T020000Z-7f3a")
        with pytest.raises(UsageError, match="'new' is only half restored"):
            swapped(shop, server)
        assert_nothing_changed(server)
        unfinished.clear(connection, "new")
    swapped(shop, server)


def test_a_subscription_that_would_go_on_writing_is_refused(
    shop: World, server: Cluster, both: tuple[Conninfo, Conninfo]
) -> None:
    execute(
        both[0],
        "CREATE SUBSCRIPTION \"Sub\" CONNECTION 'host=/nowhere' PUBLICATION p WITH (connect = false, slot_name = 's')",
        'ALTER SUBSCRIPTION "Sub" ENABLE',
    )
    try:
        with pytest.raises(
            PermanentSourceError, match="the subscription 'Sub' would go on to write"
        ) as caught:
            swapped(shop, server)
        assert 'ALTER SUBSCRIPTION "Sub" DISABLE' in (caught.value.hint or "")
        execute(both[0], 'ALTER SUBSCRIPTION "Sub" DISABLE')
        report = swapped(shop, server)
        assert report.notes == ("the subscription Sub, which is disabled, stays with the old database",)
    finally:
        for name in databases(server) - {"postgres"}:
            where = server.conninfo.with_database(name)
            if query(where, "SELECT FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = current_database()"):  # fmt: skip
                execute(where, 'ALTER SUBSCRIPTION "Sub" SET (slot_name = NONE)', 'DROP SUBSCRIPTION "Sub"')


def test_a_replication_slot_that_stays_behind_is_told_before_and_after(
    shop: World, server: Cluster, both: tuple[Conninfo, Conninfo]
) -> None:
    execute(both[0], "SELECT pg_create_logical_replication_slot('cdc', 'test_decoding')")
    try:
        planned = plan(shop.services, server.conninfo, "shop", "new")
        report = swapped(shop, server)
        for notes in (planned.notes, report.notes):
            assert ["pg_drop_replication_slot('cdc')" in note for note in notes] == [True]
    finally:
        execute(server.conninfo, "SELECT pg_drop_replication_slot('cdc')")


def test_a_plan_tells_who_would_be_ended_and_changes_nothing(
    shop: World, server: Cluster, both: tuple[Conninfo, Conninfo]
) -> None:
    with (
        closing(psycopg.connect(both[0].dsn(), application_name="app")),
        closing(psycopg.connect(both[0].dsn(), application_name="app")),
        closing(psycopg.connect(both[1].dsn(), application_name="look")),
    ):
        planned = plan(shop.services, server.conninfo, "shop", "new")
    assert isinstance(planned, Plan)
    assert planned.sessions == {"postgres (app)": 2, "postgres (look)": 1}
    assert planned.kept.startswith("shop_before_2")
    assert_nothing_changed(server)


@pytest.mark.usefixtures("both")
def test_what_makes_no_sense_is_refused(shop: World, server: Cluster) -> None:
    refused: tuple[tuple[str, str, type[Error], str], ...] = (
        ("gone", "new", NotFoundError, "the server has no database 'gone'"),
        ("shop", "gone", NotFoundError, "the server has no database 'gone'"),
        ("shop", "shop", UsageError, "cannot take its own place"),
        ("template1", "new", UsageError, "'template1' is a template"),
        ("shop", "template1", UsageError, "'template1' is a template"),
    )
    for live, other, kind, message in refused:
        with pytest.raises(kind, match=message):
            swapped(shop, server, live, other)
    assert_nothing_changed(server)


@pytest.mark.usefixtures("both")
def test_the_url_may_name_the_database_that_is_swapped(shop: World, server: Cluster) -> None:
    report = swapped(shop, server, into=server.conninfo.with_database("shop"))
    assert who_is(server, report.kept) == "live"


@pytest.mark.usefixtures("both")
def test_the_url_may_name_a_database_that_nobody_can_connect_to(shop: World, server: Cluster) -> None:
    execute(server.conninfo, "ALTER DATABASE shop ALLOW_CONNECTIONS false")
    swapped(shop, server, into=server.conninfo.with_database("shop"))
    assert who_is(server, "shop") == "other"


def test_postgres_itself_can_be_swapped(shop: World, server: Cluster) -> None:
    create(server, "elsewhere")
    create(server, "other", "CREATE TABLE me AS SELECT 'other'::text AS name")
    there = server.conninfo.with_database("elsewhere")
    report = swapped(shop, server, "postgres", "other")
    try:
        assert who_is(server, "postgres") == "other"
    finally:
        back = swap(shop.services, there, "postgres", report.kept, shop.stop)
    assert databases(server) == {"postgres", "elsewhere", back.kept}
    drop(server, "elsewhere", back.kept)


# Roles


@pytest.fixture
def keeper(server: Cluster, both: tuple[Conninfo, Conninfo]) -> Iterator[Conninfo]:
    """Give the way in of a role that owns both databases and may create some, and is no superuser."""
    execute(
        server.conninfo,
        "CREATE ROLE keeper LOGIN CREATEDB",
        *(f"ALTER DATABASE {each.database} OWNER TO keeper" for each in both),
    )
    try:
        yield dataclasses.replace(
            server.conninfo, params={**server.conninfo.params, "user": "keeper"}, password=None
        )
    finally:
        drop(server, *(databases(server) - {"postgres"}))
        execute(server.conninfo, "DROP ROLE keeper")


def test_an_owner_who_may_create_databases_can_swap_them(
    shop: World, server: Cluster, keeper: Conninfo
) -> None:
    with closing(psycopg.connect(keeper.with_database("shop").dsn())) as mine:
        report = swapped(shop, server, into=keeper)
        with pytest.raises(psycopg.OperationalError):
            mine.execute("SELECT 1")
    assert report.ended_sessions == 1
    assert who_is(server, report.kept) == "live"


def test_a_session_that_the_role_may_not_end_is_named_before_anything_is_done(
    shop: World, server: Cluster, both: tuple[Conninfo, Conninfo], keeper: Conninfo
) -> None:
    with closing(psycopg.connect(both[0].dsn(), application_name="of a superuser")) as theirs:
        with pytest.raises(PermanentSourceError, match=r"postgres \(pid \d+, of a superuser"):
            swapped(shop, server, into=keeper)
        assert theirs.execute("SELECT 1").fetchall() == [(1,)]
    assert_nothing_changed(server)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("ALTER ROLE keeper NOCREATEDB", "'keeper' may not rename databases: it lacks CREATEDB"),
        ("ALTER DATABASE new OWNER TO postgres", "'keeper' may not rename the database 'new'"),
    ],
)
def test_rights_that_are_missing_are_named(
    shop: World, server: Cluster, keeper: Conninfo, statement: str, message: str
) -> None:
    execute(server.conninfo, statement)
    with pytest.raises(PermanentSourceError, match=message):
        swapped(shop, server, into=keeper)
    assert_nothing_changed(server)
