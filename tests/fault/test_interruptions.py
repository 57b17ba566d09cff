"""What rivals and signals do to a backup under way: it ends, says why, and leaves nothing behind."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from holdfast.app import open_app
from holdfast.jobs.backup import backup
from holdfast.jobs.copies import catch_up
from holdfast.model.errors import BusyError, CancelledError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.system.stop import Stop
from support.faults import assert_failed, assert_nothing_runs, fill, programs
from support.home import Done, Home
from support.oracle import Oracle, asked_of
from support.postgres import new_database
from support.runs import assert_next_is_good, at, files, home, last_run
from support.world import Recorder, argv, environment, world

TWO = {"a": 'url = "a"', "b": 'url = "b"'}


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database)
        yield database


# Two at once


@pytest.mark.extended
def test_a_second_backup_on_the_same_host_is_told_who_holds_the_lock(shop: Conninfo, tmp_path: Path) -> None:
    busy = home(tmp_path, shop)
    said: list[str] = []

    with open_app(busy.config, (), reporter=Recorder(), quiet=True) as app:
        [target] = app.targets
        services = dataclasses.replace(
            app.services,
            stage=at("streaming:database", lambda: said.append(busy.spawn("backup", code=11).stderr)),
        )
        backup(services, target, app.stop)
        assert len(app.services.ledger.runs()) == 1
    assert f"target shop is locked by process {os.getpid()} on" in said[0]
    assert len(busy.ids()) == 1
    assert_next_is_good(busy, 2)


@pytest.mark.fault("two")
@pytest.mark.extended
def test_a_second_backup_on_another_host_is_told_who_holds_the_lock(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    with (
        world(tmp_path / "one", shop.argv_dsn(), databases=(str(shop.database),)) as one,
        world(tmp_path / "two", shop.argv_dsn(), databases=(str(shop.database),)) as two,
        Oracle(
            services=one.services,
            targets=(one.target,),
            folder=tmp_path / "one",
            cluster=cluster,
            source=shop,
        ) as first,
        Oracle(
            services=two.services,
            targets=(two.target,),
            folder=tmp_path / "two",
            cluster=cluster,
            source=shop,
        ) as second,
    ):

        def rival() -> None:
            with pytest.raises(BusyError, match=f"holdfast backup of shop on testhost pid {os.getpid()}"):
                backup(two.services, two.target, two.stop)
            assert_failed(two, "busy")
            second.visible("backup", "failed")

        first.silent("it is the other that fails")
        backup(one.staged(at("streaming:database", rival)), one.target, one.stop)
        assert len(one.services.ledger.backups()) == 1
        backup(two.services, two.target, two.stop)
        assert len(two.services.ledger.backups()) == 1


# Signals


SIGNALS = [(signal.SIGTERM, 143), (signal.SIGINT, 130)]


def interrupted(folder: Home, number: signal.Signals, ready: Callable[[], bool]) -> Done:
    """Start a backup, send it the signal when it is where the test wants it; give how it ended."""
    with subprocess.Popen(
        argv("backup", "--config", folder.config),
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            deadline = time.monotonic() + 30
            while not ready():
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < deadline
                time.sleep(0.005)
            process.send_signal(number)
            _, said = process.communicate(timeout=10)
        finally:
            process.kill()
    return Done(process.args, process.returncode, "", said)


def assert_cancelled(folder: Home, cluster: Cluster, shop: Conninfo) -> None:
    assert programs(shop) == {}
    assert_nothing_runs(cluster, shop)
    assert last_run(folder) == ("cancelled", "cancelled")
    assert files(folder.store) == []
    assert folder.ids() == []


@pytest.mark.fault("stop")
@pytest.mark.parametrize(
    ("number", "code"), [SIGNALS[1], pytest.param(*SIGNALS[0], marks=pytest.mark.extended)]
)
def test_a_signal_in_the_middle_of_the_stream_cancels_the_run(
    cluster: Cluster, shop: Conninfo, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    slow = home(tmp_path, shop, target="compression_level = 19\ncompression_threads = 0")

    def half_way() -> bool:
        return any(
            path.stat().st_size > 0 for path in files(slow.store) if path.name.startswith(".")
        ) and bool(programs(shop))

    with asked_of(slow.config, cluster=cluster, source=shop) as oracle:
        done = interrupted(slow, number, half_way)
        assert done.returncode == code
        assert f"cancelled by {number.name}" in done.stderr
        assert_cancelled(slow, cluster, shop)
        oracle.told(done)
        oracle.visible("backup", "cancelled")
        text = slow.config.read_text().replace("compression_level = 19", "compression_level = 1")
        slow.config.write_text(text)
        assert_next_is_good(slow)


@pytest.mark.fault("stop")
@pytest.mark.parametrize(
    ("number", "code"), [SIGNALS[0], pytest.param(*SIGNALS[1], marks=pytest.mark.extended)]
)
@pytest.mark.extended
def test_a_signal_while_pg_dump_waits_for_a_lock_cancels_the_run(
    cluster: Cluster, shop: Conninfo, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    stuck = home(tmp_path, shop)
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with psycopg.connect(shop.dsn()) as connection:
            connection.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
            holding.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    with asked_of(stuck.config, cluster=cluster, source=shop) as oracle:
        thread.start()
        try:
            assert holding.wait(10)
            ended = interrupted(stuck, number, lambda: bool(programs(shop)))
        finally:
            done.set()
            thread.join()
        assert (ended.returncode, f"cancelled by {number.name}" in ended.stderr) == (code, True)
        assert_cancelled(stuck, cluster, shop)
        oracle.told(ended)
        oracle.visible("backup", "cancelled")
        assert_next_is_good(stuck)


@pytest.mark.fault("stop")
def test_a_signal_while_copying_keeps_the_backup(cluster: Cluster, shop: Conninfo, tmp_path: Path) -> None:
    """The backup is committed by then; only the copy is cancelled, and the command says so."""
    folder = home(tmp_path, shop, stores=TWO)
    with (
        open_app(folder.config, (), reporter=Recorder(), quiet=True) as app,
        asked_of(folder.config, cluster=cluster) as oracle,
    ):
        [target] = app.targets
        calls: list[str] = []

        def stage(name: str) -> None:
            calls.append(name)
            if calls.count("begun") == 2:
                app.stop.request()

        with pytest.raises(CancelledError):
            backup(dataclasses.replace(app.services, stage=stage), target, app.stop)
        [row] = app.services.ledger.backups()
        assert {copy.store: copy.state for copy in row.copies} == {"a": "complete", "b": "missing"}
        assert [run.status for run in app.services.ledger.runs()] == ["cancelled", "succeeded"]
        oracle.visible("copy", "cancelled")
        assert catch_up(app.services, target, Stop()).failed == []
