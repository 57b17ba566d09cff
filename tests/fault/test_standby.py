"""A streaming standby can be backed up; a conflict with recovery fails the run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.verify import verify
from holdfast.model.errors import SourceError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.faults import assert_failed, fill
from support.postgres import execute, query, running_cluster
from support.standby import standby_of
from support.world import world

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module")
def primary() -> Iterator[Cluster]:
    with running_cluster(tcp=False) as cluster:
        execute(cluster.conninfo, "CREATE DATABASE app")
        fill(cluster.conninfo.with_database("app"))
        yield cluster


@pytest.fixture(scope="module")
def standby(primary: Cluster) -> Iterator[Conninfo]:
    with standby_of(primary) as found:
        yield found


@pytest.mark.fault("server.standby")
def test_a_standby_is_backed_up_like_any_server(standby: Conninfo, tmp_path: Path) -> None:
    assert query(standby, "SELECT pg_is_in_recovery()") == [(True,)]
    with world(tmp_path, standby.argv_dsn()) as host:
        taken = backup(host.services, host.target, host.stop)
        assert "app" in taken.backup.databases
        [row] = host.services.ledger.backups()
        assert [result.error for result in verify(host.services, row, host.stop)] == [None]


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
        with pytest.raises(SourceError, match="conflict with recovery"):
            backup(host.staged(conflict), host.target, host.stop)
        assert_failed(host, "source")
        backup(host.services, host.target, host.stop)
        assert len(host.services.ledger.backups()) == 1
