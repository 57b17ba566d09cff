from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.reading import Opened
from holdfast.jobs.restore import Wish, restore
from holdfast.methods.pg_restore import Options
from holdfast.model.errors import CancelledError, IntegrityError, SourceError, UsageError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.dropping import drop_database
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.postgres import execute, query, running_cluster
from support.restoring import create, databases, drop, put_back, take
from support.world import World, argv, environment, world, write_config

# Slow where a restore builds the index anew, and nowhere else.
SLOW = """CREATE FUNCTION slow(i integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_setting('application_name') LIKE 'holdfast restore%' THEN PERFORM pg_sleep(60); END IF;
  RETURN i;
END$$"""

# More than one session restores: with one job, it is that alone.
CROWDED = (
    """CREATE FUNCTION crowded(i int) RETURNS int LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF (SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'holdfast restore%') > 1
  THEN RAISE EXCEPTION 'deadlock detected'; END IF;
  RETURN i;
END$$""",
    "CREATE TABLE t AS SELECT 1 AS x",
    "CREATE INDEX ON t (crowded(x))",
)


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    """Run a server that also publishes."""
    with running_cluster() as cluster:
        execute(cluster.conninfo, "CREATE ROLE gone", "CREATE ROLE reader")
        create(cluster, "owned", "CREATE TABLE t AS SELECT 1", "ALTER TABLE t OWNER TO gone")
        create(cluster, "gone's", options="TEMPLATE template0 OWNER gone")
        create(cluster, "granted", "CREATE TABLE t AS SELECT generate_series(1, 10) AS x")
        execute(cluster.conninfo, "GRANT CREATE ON DATABASE granted TO reader")
        create(cluster, "crowded", *CROWDED)
        create(cluster, "slow", "CREATE TABLE t AS SELECT 1 AS x", SLOW, "CREATE INDEX ON t (slow(x))")
        yield cluster


@pytest.fixture(scope="module")
def fresh() -> Iterator[Cluster]:
    """Run a server that knows none of the roles."""
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def shop(source: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Give a world whose target is the source."""
    with world(tmp_path_factory.mktemp("world"), source.conninfo.argv_dsn()) as made:
        yield made


@pytest.fixture(scope="module")
def opened(shop: World) -> Opened:
    """Give a backup of the source."""
    return take(shop)


def test_a_missing_owner_fails_the_restore_with_a_hint_and_leaves_no_database(
    shop: World, opened: Opened, fresh: Cluster
) -> None:
    with pytest.raises(
        SourceError, match=r'database \'owned\': pg_restore .*role "gone" does not exist'
    ) as caught:
        put_back(shop, opened, fresh, database="owned")
    assert caught.value.exit_code == 20
    assert "Restore the roles first" in (caught.value.hint or "")
    assert databases(fresh) == {"postgres"}
    run = shop.services.ledger.runs()[0]
    assert (run.job, run.status, run.error_code) == ("restore", "failed", "source")


def test_a_missing_owner_of_the_database_itself_has_the_same_hint(
    shop: World, opened: Opened, fresh: Cluster
) -> None:
    with pytest.raises(
        SourceError, match=r"""create database .gone's.: role "gone" does not exist"""
    ) as caught:
        put_back(shop, opened, fresh, database="gone's")
    assert "--roles" in (caught.value.hint or "")
    assert databases(fresh) == {"postgres"}


def test_a_property_that_cannot_be_set_fails_the_restore_and_leaves_no_database(
    shop: World, opened: Opened, fresh: Cluster
) -> None:
    message = r"""the properties of database 'granted': role "reader" does not exist"""
    with pytest.raises(SourceError, match=message) as caught:
        put_back(shop, opened, fresh, database="granted")
    assert "Restore the roles first" in (caught.value.hint or "")
    assert databases(fresh) == {"postgres"}


def test_rows_that_differ_from_the_backups_count_are_detected(
    shop: World, opened: Opened, source: Cluster
) -> None:
    def lose_a_row(stage: str) -> None:
        if stage == "fed":
            where = source.conninfo.with_database("other")
            while not query(where, "SELECT FROM pg_class WHERE relname = 't' AND relkind = 'r'") or query(
                where, "SELECT count(*) FROM t"
            ) != [(10,)]:
                time.sleep(0.05)
            execute(where, "DELETE FROM t WHERE x = 3")

    wish = Wish(into=source.conninfo, database="granted", rename="other")
    with pytest.raises(IntegrityError, match=r"public\.t: 10 rows in the backup, 9 restored"):
        restore(shop.staged(lose_a_row), opened, wish, shop.stop)
    assert "other" not in databases(source)


def test_a_stop_ends_the_restore_and_leaves_no_database(shop: World, opened: Opened, source: Cluster) -> None:
    with shop.stop.derived() as stop:

        def request(stage: str) -> None:
            if stage == "fed":
                stop.request(CancelledError(exit_code=143))

        wish = Wish(into=source.conninfo, database="slow", rename="stopped")
        with pytest.raises(CancelledError):
            restore(shop.staged(request), opened, wish, stop)
    assert "stopped" not in databases(source)
    assert shop.services.ledger.runs()[0].status == "cancelled"


@pytest.mark.fault("child")
@pytest.mark.extended
def test_a_terminated_command_leaves_no_database(source: Cluster, tmp_path: Path) -> None:
    config = write_config(tmp_path, source.conninfo.argv_dsn(), target='databases = ["slow"]')
    env = environment(HOLDFAST_CONFIG=str(config))
    subprocess.run(argv("backup"), env=env, check=True, capture_output=True)
    with subprocess.Popen(
        argv("restore", "latest", "--database", "slow", "--as", "ended"),
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            sleeping = "SELECT FROM pg_stat_activity WHERE datname = 'ended' AND wait_event = 'PgSleep'"
            while not query(source.conninfo, sleeping):
                assert process.poll() is None, process.communicate()
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 143
    assert "Traceback" not in stderr
    assert "ended" not in databases(source)


@pytest.fixture
def subscribing(source: Cluster, fresh: Cluster) -> Iterator[Conninfo]:
    """Let the database `subscribing` of one server subscribe to the other's `publishing`; give the way to the latter."""
    publisher = create(source, "publishing", "CREATE TABLE p (x int)", "CREATE PUBLICATION pub FOR TABLE p")
    assert source.tcp is not None
    params = {**source.tcp.params, "dbname": "publishing", "password": source.tcp.password}
    where = " ".join(f"{name}={value}" for name, value in params.items())
    table, subscription = (
        "CREATE TABLE p (x int)",
        f"CREATE SUBSCRIPTION \"Sub 'x'\" CONNECTION '{where}' PUBLICATION pub WITH (slot_name = sub)",
    )
    create(fresh, "subscribing", table, subscription)
    execute(fresh.conninfo, "CREATE ROLE hidden", "GRANT CREATE ON DATABASE subscribing TO hidden")
    try:
        yield publisher
    finally:
        with connect(fresh.conninfo, application_name="test") as connection:
            for name in ("copy", "third", "subscribing"):
                drop_database(connection, fresh.conninfo, name)
        execute(fresh.conninfo, "DROP ROLE hidden")
        execute(
            publisher, "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE NOT active"
        )
        drop(source, "publishing")


def test_subscriptions_come_back_unconnected_and_a_failed_restore_leaves_the_publishers_slot(
    subscribing: Conninfo, fresh: Cluster, tmp_path: Path
) -> None:
    # PostgreSQL's own slots of the first copying of tables come and go.
    slots = "SELECT slot_name::text FROM pg_replication_slots WHERE slot_name !~ '_sync_'"
    slot = query(subscribing, slots)
    assert len(slot) == 1

    with world(tmp_path, fresh.conninfo.argv_dsn(), databases=("subscribing",)) as made:
        opened = take(made)
        report = put_back(made, opened, fresh, database="subscribing", rename="copy")
        with pytest.raises(UsageError, match="has the replication slot sub at its publisher") as refused:
            put_back(made, opened, fresh, database="subscribing", options=Options(clean=True))
        freeing = re.findall(r"ALTER SUBSCRIPTION .+?;", str(refused.value.hint))
        execute(fresh.conninfo.with_database("subscribing"), *freeing)
        put_back(made, opened, fresh, database="subscribing", options=Options(clean=True))
        execute(fresh.conninfo, "ALTER ROLE hidden RENAME TO other")
        try:
            with pytest.raises(SourceError, match='role "hidden" does not exist'):
                put_back(made, opened, fresh, database="subscribing", rename="third")
        finally:
            execute(fresh.conninfo, "ALTER ROLE other RENAME TO hidden")

    assert any("Sub 'x'" in note and "ENABLE" in note for note in report.databases[0].notes)
    facts = "SELECT subname, subenabled FROM pg_subscription s JOIN pg_database d ON d.oid = subdbid WHERE datname = 'copy'"
    assert query(fresh.conninfo, facts) == [("Sub 'x'", False)]
    assert databases(fresh) == {"postgres", "subscribing", "copy"}
    assert query(subscribing, slots) == slot


@pytest.mark.extended
def test_jobs_that_stand_in_each_others_way_are_done_in_one(
    source: Cluster, shop: World, opened: Opened
) -> None:
    report = put_back(
        shop, opened, source, database="crowded", rename="again", options=Options(jobs=2, analyze=False)
    )
    assert [text for text in report.warnings if "deadlock" in text] == [
        "database 'again': the jobs stood in each other's way (a deadlock); it is restored anew, in one"
    ]
    assert query(
        source.conninfo.with_database("again"),
        "SELECT indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid WHERE relname = 't'",
    ) == [(True,)]
    drop(source, "again")
