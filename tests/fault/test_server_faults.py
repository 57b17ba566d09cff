"""What happens to the whole server in the middle of a dump: a restart, a failover, another password, a damaged page."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from holdfast.jobs.backup import backup
from holdfast.model.errors import SourceError
from holdfast.postgres.scratch import Cluster
from support.faults import assert_failed, fill
from support.oracle import Oracle
from support.postgres import execute, query, running_cluster
from support.runs import at
from support.standby import standby_of
from support.world import World, world

pytestmark = pytest.mark.extended


@pytest.fixture
def server() -> Iterator[Cluster]:
    """Run a server of the test's own, with a database `app`."""
    with running_cluster() as cluster:
        execute(cluster.conninfo, "CREATE DATABASE app")
        fill(cluster.conninfo.with_database("app"))
        yield cluster


@pytest.fixture
def host(server: Cluster, tmp_path: Path) -> Iterator[World]:
    """Give a host that has one good backup of the server."""
    with world(tmp_path, server.conninfo.argv_dsn(), databases=("app",)) as made:
        backup(made.services, made.target, made.stop)
        yield made


def oracle_of(host: World, server: Cluster, folder: Path) -> Oracle:
    return Oracle(
        services=host.services,
        targets=(host.target,),
        folder=folder,
        cluster=server,
        source=server.conninfo.with_database("app"),
    )


def writer(server: Cluster) -> str | None:
    """The process number of the server's background writer, which a restart changes."""
    own = int((server.data_dir / "postmaster.pid").read_text().split()[0])
    for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split():
        if b"background writer" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    return None


def restart_at_once(server: Cluster) -> str:
    """Let the server restart itself, as when one of its processes was killed by the kernel: nobody is asked."""
    killed = writer(server)
    assert killed
    os.kill(int(killed), signal.SIGKILL)
    return killed


def restarted(server: Cluster) -> None:
    """Let it restart, and wait until it is back."""
    wait_for_another(server, restart_at_once(server))


def wait_for_another(server: Cluster, before: str | None) -> None:
    deadline = time.monotonic() + 30
    while writer(server) in {before, None}:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    while True:
        try:
            psycopg.connect(server.conninfo.dsn()).close()
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        else:
            return


@pytest.mark.fault("server.restart", "silence")
def test_a_server_that_restarts_in_the_middle_of_a_dump_fails_the_run_and_is_backed_up_next(
    host: World, server: Cluster, tmp_path: Path
) -> None:
    oracle = oracle_of(host, server, tmp_path)
    for times in (1, 2):
        before = writer(server)
        with pytest.raises(SourceError) as caught:
            backup(
                host.staged(at("streaming:database", lambda: restart_at_once(server))), host.target, host.stop
            )
        assert caught.value.retryable
        assert_failed_run(host)
        wait_for_another(server, before)
        assert oracle.visible("backup", "failed") == "source"
        told = oracle.alerts()
        assert ("HoldfastJobFailing" in told) == (times == 2)
    backup(host.services, host.target, host.stop)
    assert "HoldfastJobFailing" not in oracle.alerts()
    oracle.holds()


def assert_failed_run(host: World) -> None:
    assert assert_failed(host, "source").error


@pytest.mark.fault("server.restart")
def test_a_failover_in_the_middle_of_a_dump_fails_the_run_and_the_new_primary_is_backed_up_next(
    tmp_path: Path,
) -> None:
    with running_cluster(tcp=False) as primary:
        execute(primary.conninfo, "CREATE DATABASE app")
        fill(primary.conninfo.with_database("app"))
        with standby_of(primary) as standby:
            both = (
                f"host='{primary.conninfo.params['host']},{standby.params['host']}'"
                f" port='{primary.conninfo.params['port']},{standby.params['port']}'"
                f" user='{standby.params['user']}' dbname='postgres' target_session_attrs='read-write'"
            )

            def fail_over() -> None:
                own = int((primary.data_dir / "postmaster.pid").read_text().split()[0])
                query(standby, "SELECT 1")
                os.kill(own, signal.SIGQUIT)
                query(standby, "SELECT pg_promote()")

            with world(tmp_path, both, databases=("app",)) as host:
                first = backup(host.services, host.target, host.stop).backup
                with pytest.raises(SourceError):
                    backup(host.staged(at("streaming:database", fail_over)), host.target, host.stop)
                assert_failed_run(host)
                second = backup(host.services, host.target, host.stop).backup
                assert second.server.system_identifier == first.server.system_identifier
                there = replace(primary, conninfo=standby)
                oracle = oracle_of(host, there, tmp_path)
                oracle.recorded("backup", "failed")
                oracle.holds()
                assert oracle.before_of("shop") == {first.id, second.id}


@pytest.mark.fault("server.password", "secrets")
def test_a_password_that_is_changed_between_two_runs_and_within_one_is_said_and_never_shown(
    server: Cluster, tmp_path: Path
) -> None:
    assert server.tcp is not None
    old = server.tcp.password or ""
    assert old
    role = server.tcp.params["user"]
    secrets = {"the old password": old.encode(), "the new password": b"another-Secret-1"}
    keyless = re.sub(r"password=\S+ ?", "", server.tcp.argv_dsn())
    with world(tmp_path, keyless, databases=("app",), password=old) as host:
        oracle = oracle_of(host, server, tmp_path)
        oracle.secrets |= secrets
        change = f"ALTER ROLE {role} PASSWORD 'another-Secret-1'"
        with oracle.watching(), pytest.raises(SourceError) as caught:
            backup(
                host.staged(at("part:database", lambda: execute(server.conninfo, change))),
                host.target,
                host.stop,
            )
        oracle.texts += [caught.value.message, str(caught.value.hint)]
        assert "password authentication failed" in caught.value.message, caught.value
        assert oracle.visible("backup", "failed") == "source"
        with oracle.watching():
            backup(host.services, replace(host.target, password="another-Secret-1"), host.stop)
        oracle.holds()


@pytest.mark.fault("server.damage")
def test_a_damaged_page_fails_the_dump_and_the_last_good_backup_stays(
    host: World, server: Cluster, tmp_path: Path
) -> None:
    oracle = oracle_of(host, server, tmp_path)
    app = server.conninfo.with_database("app")
    [(path,)] = query(app, "SELECT pg_relation_filepath('noise')")
    execute(app, "CHECKPOINT")
    file = server.data_dir / str(path)
    whole = file.read_bytes()
    data = bytearray(whole)
    data[8192 * 3 : 8192 * 3 + 24] = b"\xff" * 24
    file.write_bytes(data)
    restarted(server)
    with pytest.raises(SourceError) as caught:
        backup(host.services, host.target, host.stop)
    assert "noise" in f"{caught.value.message}{caught.value.hint}"
    assert oracle.visible("backup", "failed") == "source"
    file.write_bytes(whole)
    restarted(server)
    backup(host.services, host.target, host.stop)
    oracle.holds()
