"""A backup that fails or does not begin takes nothing from another one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from holdfast.jobs.backup import backup
from holdfast.model.errors import BusyError, StoreError
from holdfast.postgres import server
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.memory_store import MemoryStore
from support.world import World, world


class _Frozen:
    """A clock that stands still, as one that was set back may seem to."""

    def now(self) -> datetime:
        return datetime.fromisoformat("2026-11-22T02:00:00+00:00")

    def monotonic(self) -> float:
        return 0.0

    def boot(self) -> tuple[str, float]:
        return "first", 0.0


class _Sweepable(MemoryStore):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.aborted: list[tuple[str, datetime]] = []

    def abort_stale(self, prefix: str, before: datetime) -> int:
        self.aborted.append((prefix, before))
        return 0


@pytest.fixture
def store() -> _Sweepable:
    return _Sweepable("a")


@pytest.fixture
def home(tmp_path: Path, cluster: Cluster, database: Conninfo, store: _Sweepable) -> Iterator[World]:
    chosen = (str(database.database),)
    url = cluster.conninfo.argv_dsn()
    with world(tmp_path, url, stores={"a": store}, databases=chosen, globals=False) as made:
        yield made


def test_an_id_that_is_taken_fails_the_run_and_leaves_the_other_backup(
    home: World, store: _Sweepable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "token_hex", lambda count: "ab" * (count or 0))
    services = replace(home.services, clock=_Frozen())
    first = backup(services, home.target, home.stop).backup
    before = dict(store.objects)
    with pytest.raises(StoreError, match=f"{first.id}/ is there already"):
        backup(services, home.target, home.stop)
    assert store.objects == before


def test_ids_of_one_second_differ_enough_for_many_hosts(home: World) -> None:
    made = backup(home.services, home.target, home.stop).backup
    assert len(made.id.partition("-")[2]) >= 8


@pytest.mark.fault("store.uploads")
def test_uploads_of_another_host_that_holds_the_lock_are_left_alone(
    home: World, cluster: Cluster, store: _Sweepable
) -> None:
    """A slow upload of its may be older than a day, or our clock wrong."""
    with (
        server.backup_lock(cluster.conninfo, "shop", application_name="another host"),
        pytest.raises(BusyError, match="another host"),
    ):
        backup(home.services, home.target, home.stop)
    assert store.aborted == []
    backup(home.services, home.target, home.stop)
    assert [prefix for prefix, _ in store.aborted].count("shop/") == 1
