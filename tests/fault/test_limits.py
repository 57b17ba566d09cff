"""A backup that hangs, or that takes too long, is stopped, fails, and leaves nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.limits import limited
from holdfast.jobs.runner import Meter
from holdfast.model.errors import SourceError
from holdfast.model.target import Limits
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.stores.local import LocalStore
from holdfast.system.clock import SystemClock
from holdfast.system.stop import Stop
from support.faults import assert_failed, assert_nothing_runs, fill
from support.oracle import Oracle
from support.postgres import new_database
from support.world import world


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database)
        yield database


@contextmanager
def locked(shop: Conninfo) -> Iterator[None]:
    """Keep a table from the dump."""
    holding, done = threading.Event(), threading.Event()

    def hold() -> None:
        with psycopg.connect(shop.dsn()) as connection:
            connection.execute("LOCK TABLE item IN ACCESS EXCLUSIVE MODE")
            holding.set()
            done.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert holding.wait(10)
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.fault("store.hang")
@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (Limits(timeout=1.0), r"it took longer than 1 s"),
        (Limits(stall=1.0), r"no byte came or went for 1 s"),
    ],
)
@pytest.mark.extended
def test_a_dump_that_waits_is_stopped(
    cluster: Cluster, shop: Conninfo, tmp_path: Path, limits: Limits, said: str
) -> None:
    with world(tmp_path, shop.argv_dsn(), databases=(str(shop.database),), limits=limits) as stuck:
        free = replace(stuck.target, limits=Limits())
        backup(stuck.services, free, stuck.stop)
        with Oracle(
            services=stuck.services, targets=(free,), folder=tmp_path, cluster=cluster, source=shop
        ) as oracle:
            with locked(shop), pytest.raises(SourceError, match=said):
                backup(stuck.services, stuck.target, stuck.stop)
            assert_failed(stuck, "source")
            assert_nothing_runs(cluster, shop)
            assert oracle.visible("backup", "failed") == "source"
            backup(stuck.services, free, stuck.stop)


class SlowReads(LocalStore):
    """A store that takes its time to read back what was written."""

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        for chunk in super().get(key, start=start, length=length):
            for at in range(0, len(chunk), 64 * 1024):
                threading.Event().wait(0.02)
                yield chunk[at : at + 64 * 1024]


@pytest.mark.extended
def test_reading_back_what_was_written_is_no_stall(shop: Conninfo, tmp_path: Path) -> None:
    stores = {"slow": SlowReads("slow", tmp_path / "store")}
    with world(
        tmp_path, shop.argv_dsn(), databases=(str(shop.database),), stores=stores, limits=Limits(stall=0.8)
    ) as w:
        backup(w.services, w.target, w.stop)


def beats(meter: Meter, seconds: Iterable[float]) -> None:
    for pause in seconds:
        threading.Event().wait(pause)
        meter.add(1)


def test_what_moves_is_not_stalled_however_long_it_takes() -> None:
    meter, stop = Meter(), Stop()
    with limited(Limits(stall=0.4), meter, stop, SystemClock()):
        beats(meter, [0.1] * 8)
        assert not stop.requested


def test_no_limits_watch_nothing() -> None:
    before = threading.active_count()
    with limited(Limits(stall=None), Meter(), Stop(), SystemClock()):
        assert threading.active_count() == before
