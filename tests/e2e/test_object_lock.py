"""A backup in a bucket with Object Lock, by the command: locked as long as it is kept, held while it is pinned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.home import Home
from support.locked_bucket import days_left, held, locked_home, locking_server


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with locking_server() as found:
        yield found


@pytest.fixture
def home(url: str, cluster: Cluster, tmp_path: Path) -> Iterator[Home]:
    with locked_home(url, cluster, tmp_path) as made:
        yield made


def test_a_backup_is_locked_and_held_and_let_go(url: str, home: Home) -> None:
    home.run("backup", "--quiet")
    assert days_left(url, home) == {35}
    [known] = home.facts("show", "latest")["locks"]
    assert (known["store"], known["held"]) == ("cloud", "no")
    home.run("pin", "latest", "--why", "audit", "--quiet")
    assert held(url, home) == {True}
    assert "under a legal hold" in home.run("show", "latest").stdout
    home.run("unpin", "latest", "--quiet")
    assert "released 1 backup" in home.run("prune").stdout
    assert held(url, home) == {False}
    assert days_left(url, home) == {35}
    assert "locks    in cloud: locked until" in home.run("show", "latest").stdout
