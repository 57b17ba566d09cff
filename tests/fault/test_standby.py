"""A streaming standby can be backed up; a conflict with recovery fails the run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.checks.check import check
from holdfast.model.errors import SourceError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.faults import assert_failed, fill, sessions
from support.leftovers import gone
from support.oracle import Oracle
from support.postgres import execute, query, running_cluster
from support.standby import standby_of
from support.world import World, world

MARKER = "plaintext of the customers"

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module")
def primary() -> Iterator[Cluster]:
    with running_cluster(tcp=False) as cluster:
        execute(cluster.conninfo, "CREATE DATABASE app")
        fill(cluster.conninfo.with_database("app"))
        told = f"CREATE TABLE told AS SELECT '{MARKER}' AS word"
        execute(cluster.conninfo.with_database("app"), told)
        yield cluster


@pytest.fixture(scope="module")
def standby(primary: Cluster) -> Iterator[Conninfo]:
    with standby_of(primary) as found:
        yield found


@contextmanager
def oracle_of(host: World, primary: Cluster, standby: Conninfo, folder: Path) -> Iterator[Oracle]:
    """Give an oracle that restores at the primary, the only one that can take it, and looks for sessions at both."""
    with Oracle(
        services=host.services,
        targets=(host.target,),
        folder=folder,
        cluster=primary,
        source=primary.conninfo.with_database("app"),
        secrets={"a row": MARKER.encode()},
    ) as oracle:
        yield oracle
        assert gone(lambda: sessions(replace(primary, conninfo=standby))) == []


@pytest.mark.fault("server.standby")
def test_a_standby_is_backed_up_like_any_server(primary: Cluster, standby: Conninfo, tmp_path: Path) -> None:
    assert query(standby, "SELECT pg_is_in_recovery()") == [(True,)]
    with (
        world(tmp_path, standby.argv_dsn()) as host,
        oracle_of(host, primary, standby, tmp_path) as oracle,
    ):
        taken = backup(host.services, host.target, host.stop)
        assert "app" in taken.backup.databases
        assert [row.backup.id for row in host.services.ledger.backups()] == [taken.backup.id]
        oracle.visible("backup", "succeeded")


def test_a_standby_that_falls_behind_is_told_of(standby: Conninfo, tmp_path: Path) -> None:
    told = "a standby whose replay is paused: "
    with world(tmp_path, standby.argv_dsn(), databases=("app",)) as host:
        execute(standby, "SELECT pg_wal_replay_pause()")
        try:
            found = [each.message for each in check(host.services, (host.target,), encrypted=True)]
            backup(host.services, host.target, host.stop)
        finally:
            execute(standby, "SELECT pg_wal_replay_resume()")
        assert any(each.startswith(told) for each in found)
        warned = host.recorder.warnings
        assert any(each.startswith(told) and "as old" in each for each, _ in warned)
        warned.clear()
        backup(host.services, host.target, host.stop)
        assert warned == []


@pytest.mark.fault("server.standby")
def test_a_dump_that_recovery_cancels_fails_the_run(
    primary: Cluster, standby: Conninfo, tmp_path: Path
) -> None:
    app = primary.conninfo.with_database("app")

    def conflict(name: str) -> None:
        if name == "streaming:database":
            execute(app, "ALTER TABLE noise ADD COLUMN IF NOT EXISTS more int")
            time.sleep(1)  # the change arrives; the session is told as soon as it can send again

    with world(tmp_path, standby.argv_dsn(), databases=("app",)) as host:
        backup(host.services, host.target, host.stop)
        with oracle_of(host, primary, standby, tmp_path) as oracle:
            with pytest.raises(SourceError, match="conflict with recovery") as caught:
                backup(host.staged(conflict), host.target, host.stop)
            assert_failed(host, "source")
            oracle.told(caught.value)
            assert oracle.visible("backup", "failed") == "source"
            backup(host.services, host.target, host.stop)
            assert len(host.services.ledger.backups()) == 2
