"""Whatever two hosts do in whatever order, killed anywhere, and whoever interferes: no backup goes that may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.stores.local import LocalStore
from holdfast.stores.s3 import S3Store
from support import moto_server as moto
from support.retention_play import play

pytestmark = [
    pytest.mark.unasked("the oracle of `play` asks after each step, of stores without a server beside them"),
    pytest.mark.fault("endurance"),
]


def test_some_random_work_lets_nothing_go_that_may_not(tmp_path: Path) -> None:
    play(tmp_path, 1, {name: LocalStore(name, tmp_path / name) for name in "ab"}, 25)


@pytest.mark.extended
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [41, 42])
def test_long_random_work_lets_nothing_go_that_may_not(tmp_path: Path, seed: int) -> None:
    made = play(tmp_path, seed, {name: LocalStore(name, tmp_path / name) for name in "ab"}, 500)
    assert made.hid


@pytest.mark.extended
@pytest.mark.timeout(900)
def test_the_same_where_one_of_the_stores_is_a_bucket(tmp_path: Path) -> None:
    with moto.moto_server() as url:
        bucket = S3Store(moto.settings(url, name="b", prefix="random"))
        made = play(tmp_path, 60, {"a": LocalStore("a", tmp_path / "a"), "b": bucket}, 300)
    assert made.hid
