"""A streaming standby can be backed up; a conflict with recovery fails the run."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.verify import verify
from holdfast.model.errors import SourceError
from holdfast.postgres.conninfo import Conninfo, parse
from holdfast.postgres.scratch import Cluster
from support.faults import assert_failed, fill
from support.postgres import execute, query, running_cluster
from support.world import world

pytestmark = pytest.mark.extended


@contextmanager
def standby_of(primary: Cluster) -> Iterator[Conninfo]:
    """Run a hot standby that gives way to its primary at once."""
    owner, data = primary.data_dir.stat(), primary.data_dir.parent / "standby"
    hba = primary.data_dir / "pg_hba.conf"
    hba.write_text(hba.read_text() + "local replication all trust\n")
    execute(primary.conninfo, "SELECT pg_reload_conf()")
    as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if owner.st_uid else {}
    copy = ["pg_basebackup", "-D", str(data), "-R", "-c", "fast", "-d", primary.conninfo.argv_dsn()]
    subprocess.run([str(primary.bin_dir / copy[0]), *copy[1:]], check=True, cwd="/", **as_owner)  # type: ignore[call-overload]
    options = {"port": "5433", "hot_standby": "on", "max_standby_streaming_delay": "0"}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with (primary.data_dir.parent / "standby.log").open("wb") as log:
        process = subprocess.Popen(  # type: ignore[call-overload]
            [str(primary.bin_dir / "postgres"), "-D", str(data), *settings],
            cwd="/",
            stdout=log,
            stderr=log,
            **as_owner,
        )
    try:
        where = parse(_at_port(primary, "5433"))
        deadline = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(where.dsn()).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield where
    finally:
        process.terminate()
        process.wait(20)


def _at_port(primary: Cluster, port: str) -> str:
    params = primary.conninfo.params
    return f"host='{params['host']}' port='{port}' user='{params['user']}' dbname='postgres'"


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


def test_a_standby_is_backed_up_like_any_server(standby: Conninfo, tmp_path: Path) -> None:
    assert query(standby, "SELECT pg_is_in_recovery()") == [(True,)]
    with world(tmp_path, standby.argv_dsn()) as host:
        taken = backup(host.services, host.target, host.stop)
        assert "app" in taken.backup.databases
        [row] = host.services.ledger.backups()
        assert [result.error for result in verify(host.services, row, host.stop)] == [None]


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
