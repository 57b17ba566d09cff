"""Locks that a kill left half laid, or a hold that it left half ended, are mended by the next prune."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.home import Home
from support.locked_bucket import days_left, held, locked_home, locking_server
from support.oracle import asked_of

pytestmark = [pytest.mark.extended, pytest.mark.fault("attack.lock")]
Kill = Callable[..., int]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with locking_server() as found:
        yield found


@pytest.fixture
def home(url: str, cluster: Cluster, tmp_path: Path) -> Iterator[Home]:
    with locked_home(url, cluster, tmp_path) as made:
        yield made


@pytest.mark.parametrize("point", ["stage:locking", "stage:lock:extend", "stage:lock:extend#4"])
def test_locks_that_were_not_extended_are_by_the_next_prune(
    kill: Kill, cluster: Cluster, url: str, home: Home, point: str
) -> None:
    with asked_of(home.config, cluster=cluster, source=home.database) as oracle:
        assert kill(home.config, point) == -9
        assert 3 in days_left(url, home)
        home.run("prune", "--quiet")
        assert days_left(url, home) == {35}
        home.run("backup", "--quiet")
        oracle.visible("backup", "succeeded", later=1)  # it was committed


@pytest.mark.parametrize("point", ["stage:lock:hold", "stage:lock:hold#3"])
def test_a_backup_that_was_half_held_is_held_by_the_next_prune(
    kill: Kill, cluster: Cluster, url: str, home: Home, point: str
) -> None:
    home.config.write_text(home.config.read_text().replace("yearly = 0", 'yearly = "forever"'))
    with asked_of(home.config, cluster=cluster, source=home.database) as oracle:
        assert kill(home.config, point) == -9
        assert False in held(url, home)
        home.run("prune", "--quiet")
        assert held(url, home) == {True}
        home.run("backup", "--quiet")
        oracle.visible("backup", "succeeded", later=1)  # it was committed


@pytest.mark.parametrize("point", ["stage:lock:extend#2", "stage:lock:release", "stage:lock:release#3"])
def test_a_hold_that_was_half_ended_is_ended_by_the_next_prune(
    kill: Kill, cluster: Cluster, url: str, home: Home, point: str
) -> None:
    home.run("backup", "--quiet")
    home.run("pin", "latest", "--why", "audit", "--quiet")
    home.run("unpin", "latest", "--quiet")
    with asked_of(home.config, cluster=cluster, source=home.database) as oracle:
        assert kill(home.config, point, job="prune") == -9
        assert held(url, home) == {True, False}
        home.run("prune", "--quiet")
        assert held(url, home) == {False}
        assert days_left(url, home) == {35}
        oracle.visible("prune", "lost", later=1)
