"""What PostgreSQL and its programs do wrong ends the run as failed, says why, and leaves nothing in the store."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.find import open_best
from holdfast.jobs.reading import read_catalog
from holdfast.model.errors import Error, IntegrityError, SourceError
from holdfast.postgres import tools
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.errors import PermanentSourceError
from holdfast.postgres.scratch import Cluster
from support.faults import assert_failed, fill, programs
from support.oracle import Oracle
from support.postgres import execute, new_database, query, toolset
from support.world import World, world


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database)
        yield database


@pytest.fixture
def home(cluster: Cluster, shop: Conninfo, tmp_path: Path) -> Iterator[World]:
    """Give a world on the filled database. Whatever the test broke, the next run is good and nothing runs on."""
    with world(tmp_path, shop.argv_dsn(), databases=(str(shop.database),)) as made:
        oracle = Oracle(services=made.services, targets=(made.target,), folder=tmp_path, cluster=cluster)
        yield made
        oracle.nothing_leaks()
        oracle.nothing_secret()
        oracle.visible("backup", made.services.ledger.runs("shop", "backup")[0].status)
        taken = backup(made.services, made.target, made.stop)
        [row] = made.services.ledger.backups()
        assert row.backup == taken.backup
        oracle.holds()


def failure(home: World, stage: Callable[[str], None] | None = None, **target_keys: object) -> Error:
    """Take a backup that fails; nothing of it may be left. Give its error."""
    services = home.services if stage is None else home.staged(stage)
    target = dataclasses.replace(home.target, **target_keys)  # type: ignore[arg-type]
    with pytest.raises(Error) as caught:
        backup(services, target, home.stop)
    run = assert_failed(home, caught.value.code)
    assert run.error == caught.value.message
    assert home.services.ledger.backups() == []
    return caught.value


def at(name: str, action: Callable[[], object]) -> Callable[[str], None]:
    """Give a stage callback that acts once, when the stage begins."""
    left = [action]

    def stage(found: str) -> None:
        if found == name and left:
            left.pop()()

    return stage


# The connection


def test_an_unreachable_server_is_named_with_its_address(home: World) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        error = failure(home, url=f"postgresql://postgres@127.0.0.1:{port}/postgres")
    assert isinstance(error, SourceError)
    assert f"127.0.0.1:{port}" in error.message
    assert error.retryable


@pytest.mark.fault("server.password")
def test_a_wrong_password_is_said_and_not_shown(home: World, cluster: Cluster) -> None:
    assert cluster.tcp is not None
    error = failure(home, url=cluster.tcp.argv_dsn(), password="hunter2-wrong")
    assert "authentication failed" in error.message
    assert "password_file" in str(error.hint)
    assert "hunter2" not in f"{error.message}{error.hint}"
    assert not error.retryable


@pytest.mark.fault("server.password")
def test_a_table_that_the_role_may_not_read_is_named_with_the_grant(
    home: World, cluster: Cluster, shop: Conninfo
) -> None:
    execute(cluster.conninfo, "CREATE ROLE limited LOGIN")
    execute(shop, "GRANT SELECT ON item TO limited")
    try:
        limited = shop.argv_dsn().replace("postgres", "limited", 1)
        assert "user='limited'" in limited or "//limited@" in limited
        error = failure(home, url=limited)
    finally:
        execute(shop, "DROP OWNED BY limited")
        execute(cluster.conninfo, "DROP ROLE limited")
    assert isinstance(error, SourceError)
    # pg_dump 16 and later adds its statement, which locks all the tables: what it says of `noise` comes before that.
    assert "permission denied for table noise" in error.message.partition("Query was:")[0]
    assert "denied for table item" not in error.message
    assert error.message.startswith(f"database {shop.database!r}: pg_dump ")
    assert "GRANT" in str(error.hint)


# The programs


@pytest.mark.fault("server.version")
def test_a_server_newer_than_every_client_is_refused_with_what_to_install(
    home: World, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    major = cluster.version_num // 10_000
    older = tools.Toolset(
        bin_dir=tmp_path / "none", version_num=(major - 1) * 10_000 + 2, text=f"{major - 1}.2"
    )
    started: list[str] = []
    with monkeypatch.context() as patched:
        patched.setattr(tools, "find_toolsets", lambda: (older,))
        error = failure(home, started.append)
    assert f"the server is PostgreSQL {major}" in error.message
    assert f"{major - 1}.2" in error.message
    assert f"postgresql-client-{major}" in str(error.hint)
    assert not error.retryable
    assert not any(name.startswith("part:") for name in started)


def pretend(folder: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a pg_dump before the real one; `$REAL` is the real one."""
    real = toolset(cluster)
    fake = folder / "fake"
    fake.mkdir()
    for name in ("pg_dumpall", "pg_restore", "psql"):
        (fake / name).symlink_to(real.program(name))
    program = fake / "pg_dump"
    program.write_text(
        f'#!/bin/sh\nREAL={real.program("pg_dump")}\n[ "$1" = --version ] && exec $REAL --version\n{script}\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    found = tools.find_toolsets([fake])
    assert found[0].bin_dir == fake
    # Only its own: the real pg_dumpall would look for a pg_dump beside itself.
    monkeypatch.setattr(tools, "find_toolsets", lambda: found)


@pytest.mark.fault("child")
@pytest.mark.parametrize(
    ("script", "kind", "says"),
    [
        ("exit 0", IntegrityError, "ends inside its table of contents"),
        pytest.param("echo hello", IntegrityError, "not a custom-format archive", marks=pytest.mark.extended),
        pytest.param(
            '$REAL "$@" | head -c 1000',
            IntegrityError,
            "ends inside its table of contents",
            marks=pytest.mark.extended,
        ),
        ('$REAL "$@" | head -c 3000000', IntegrityError, "ends inside"),
        ('$REAL "$@" | head -c -1', IntegrityError, "ends inside"),
        ('$REAL "$@"; exit 1', SourceError, "pg_dump exited with status 1"),
        pytest.param(
            '$REAL "$@"; kill -SEGV $$',
            SourceError,
            "pg_dump was killed by SIGSEGV",
            marks=pytest.mark.extended,
        ),
        ("echo 'pg_dump: error: out of memory' >&2; exit 1", SourceError, "out of memory"),
    ],
    ids=["nothing", "rubbish", "head", "half", "almost all", "status", "crash", "stderr"],
)
@pytest.mark.sampled(2)
def test_a_pg_dump_that_does_wrong_is_not_believed(
    home: World,
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    kind: type[Error],
    says: str,
) -> None:
    with monkeypatch.context() as patched:
        pretend(tmp_path, cluster, patched, script)
        error = failure(home)
    assert isinstance(error, kind)
    assert says in error.message


@pytest.mark.fault("child")
def test_a_pg_dump_that_is_killed_half_way_fails_the_run(home: World, shop: Conninfo) -> None:
    def kill() -> None:
        [pid] = programs(shop)
        os.kill(pid, signal.SIGKILL)

    error = failure(home, at("streaming:database", kill))
    assert isinstance(error, SourceError)
    assert "pg_dump was killed by SIGKILL" in error.message


# The sessions


def terminate(cluster: Cluster, condition: str) -> None:
    found = query(
        cluster.conninfo, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {condition}"
    )
    assert found == [(True,)]


@pytest.mark.fault("server.backend")
def test_a_dump_whose_backend_is_terminated_half_way_fails(home: World, cluster: Cluster) -> None:
    error = failure(
        home, at("streaming:database", lambda: terminate(cluster, "query LIKE 'COPY public.noise %'"))
    )
    assert isinstance(error, SourceError)
    assert "noise" in error.message


@pytest.mark.fault("server.backend")
def test_a_lock_session_that_is_lost_half_way_fails_the_run(home: World, cluster: Cluster) -> None:
    error = failure(
        home,
        at(
            "streaming:database",
            lambda: terminate(cluster, "application_name LIKE 'holdfast backup of shop%'"),
        ),
    )
    assert "lost the session that holds the backup lock" in error.message


@pytest.mark.fault("server.backend")
def test_a_snapshot_session_that_is_lost_before_the_dump_fails_the_run(home: World, cluster: Cluster) -> None:
    error = failure(
        home, at("part:database", lambda: terminate(cluster, "application_name LIKE 'holdfast dump%'"))
    )
    assert isinstance(error, SourceError)


# Locks


def lock_session(shop: Conninfo) -> psycopg.Connection:
    return psycopg.connect(shop.dsn(), autocommit=True, application_name="deploy")


@pytest.mark.fault("server.locks")
def test_a_dump_that_others_wait_behind_too_long_gives_way(home: World, shop: Conninfo) -> None:
    changed = threading.Event()

    def alter() -> None:
        with lock_session(shop) as connection:
            connection.execute("ALTER TABLE noise ADD COLUMN IF NOT EXISTS more int")
        changed.set()

    def stall() -> None:
        threading.Thread(target=alter).start()
        assert changed.wait(20)  # nobody reads pg_dump meanwhile: it would hold its locks for ever

    before = time.monotonic()
    error = failure(home, at("streaming:database", stall), blocking_limit=0.4)
    assert time.monotonic() - before < 15
    assert isinstance(error, SourceError)
    assert "waited" in error.message
    assert "noise" in error.message
    assert "blocking_limit" in str(error.hint)
    assert query(shop, "SELECT 1 FROM pg_attribute WHERE attname = 'more'") == [(1,)]


def test_without_a_limit_others_wait_until_the_dump_ends(home: World, shop: Conninfo) -> None:
    altering: list[threading.Thread] = []

    def alter() -> None:
        with lock_session(shop) as connection:
            connection.execute("ALTER TABLE noise ADD COLUMN IF NOT EXISTS other int")

    def begin() -> None:
        altering.append(threading.Thread(target=alter))
        altering[0].start()
        time.sleep(0.5)

    target = dataclasses.replace(home.target, blocking_limit=None)
    taken = backup(home.staged(at("streaming:database", begin)), target, home.stop)
    altering[0].join(20)
    assert not altering[0].is_alive()
    home.services.ledger.forget_backup(taken.backup.id)


@pytest.mark.fault("server.locks")
@pytest.mark.extended
def test_a_table_locked_by_another_ends_the_run_after_lock_wait_timeout(home: World, shop: Conninfo) -> None:
    with lock_session(shop) as connection, connection.transaction():
        connection.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
        before = time.monotonic()
        error = failure(home, lock_wait_timeout=1.0)
        assert time.monotonic() - before < 10
    assert isinstance(error, SourceError)
    assert "lock_wait_timeout" in str(error.hint)


@pytest.mark.extended
def test_a_table_locked_once_the_catalog_is_read_ends_the_run_too(home: World, shop: Conninfo) -> None:
    connection = lock_session(shop)

    def lock() -> None:
        connection.execute("BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE")

    try:
        error = failure(home, at("part:database", lock), lock_wait_timeout=1.0)
    finally:
        connection.close()
    assert isinstance(error, SourceError)
    assert "lock_wait_timeout" in str(error.hint)


@pytest.mark.extended
def test_a_count_that_gets_no_lock_does_not_fail_a_dump_that_gets_its_own(
    home: World, shop: Conninfo
) -> None:
    with lock_session(shop) as connection:
        connection.execute("BEGIN; LOCK TABLE item IN ACCESS EXCLUSIVE MODE")

        def give_up() -> None:
            time.sleep(2)  # the count waits for no longer
            connection.rollback()

        target = dataclasses.replace(home.target, lock_wait_timeout=0.3)
        taken = backup(home.staged(at("part:database", give_up)), target, home.stop)
    assert [event for event, _ in home.recorder.warnings if "public.item: rows are not counted" in event]
    catalog = read_catalog(open_best(home.services, home.services.ledger.backups()[0]), home.keys)
    (database,) = catalog.databases
    counts = {table.name: table.rows for table in database.tables}
    assert counts["item"] is None
    assert counts["noise"]
    home.services.ledger.forget_backup(taken.backup.id)


@pytest.mark.fault("server.gone")
def test_a_table_dropped_after_the_catalog_was_read_fails_the_run(home: World, shop: Conninfo) -> None:
    execute(shop, "CREATE TABLE gone (n int)")
    error = failure(home, at("part:database", lambda: execute(shop, "DROP TABLE gone")))
    assert isinstance(error, SourceError | IntegrityError)
    assert "gone" in error.message
    assert not isinstance(error, PermanentSourceError)


@pytest.mark.fault("server.gone")
@pytest.mark.extended
def test_a_database_dropped_before_its_turn_fails_the_run(
    home: World, cluster: Cluster, shop: Conninfo
) -> None:
    with new_database(cluster) as other:
        names = (str(shop.database), str(other.database))
        drop = f'ALTER DATABASE "{other.database}" ALLOW_CONNECTIONS false'
        try:
            error = failure(
                home, at("part:globals", lambda: execute(cluster.conninfo, drop)), databases=names
            )
        finally:
            execute(cluster.conninfo, f'ALTER DATABASE "{other.database}" ALLOW_CONNECTIONS true')
    assert isinstance(error, SourceError)
    assert str(other.database) in error.message
