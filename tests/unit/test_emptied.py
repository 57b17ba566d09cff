"""A store that has lost all that it should hold is not written to as if it were new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs import emptied
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.copy import copy
from holdfast.ledger.ledger import GONE
from holdfast.model.errors import StoreError
from holdfast.stores.base import Store
from holdfast.stores.local import LocalStore
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

pytestmark = pytest.mark.fault("readonly")

IDS = ("20261121T020000Z-aaaa", "20261122T020000Z-bbbb")
NOWHERE = "postgresql://nobody@127.0.0.1:1/"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[World]:
    stores: dict[str, Store] = {"a": MemoryStore("a"), "b": LocalStore("b", tmp_path / "disk" / "b")}
    with world(tmp_path, NOWHERE, stores=stores) as made:
        for backup_id in IDS:
            shelved(made.services, stores["a"], backup_id)
        rebuild(made.services)
        copy(made.services, "shop", IDS[0], "a", "b", made.stop)
        yield made


def states(home: World, store: str) -> list[str]:
    rows = home.services.ledger.backups()
    return [copy.state for row in rows for copy in row.copies if copy.store == store]


def test_a_disk_that_is_not_mounted_is_not_written_to(home: World, tmp_path: Path) -> None:
    """Else the backup would fill the disk beneath, and the store look well again."""
    disk, away = tmp_path / "disk", tmp_path / "away"
    disk.rename(away)
    disk.mkdir()
    with pytest.raises(
        StoreError, match="holds nothing of target shop, and should hold 1 backup: nothing is"
    ) as caught:
        copy(home.services, "shop", IDS[1], "a", "b", home.stop)
    assert "Is the disk mounted" in (caught.value.hint or "")
    (found,) = emptied.check(home.services, [home.target])
    assert (found.level, found.subject) == ("fail", "target shop, store b")
    home.services.ledger.record_copy(IDS[0], "b", "missing", home.services.clock.now(), GONE)
    with pytest.raises(StoreError, match="nothing is written there"):
        emptied.look(home.services, home.services.store("b"), "shop")
    assert not [path for path in disk.rglob("*") if path.name == "manifest.json"]
    (disk / "b").rename(tmp_path / "rest")
    disk.rmdir()
    away.rename(disk)
    copy(home.services, "shop", IDS[1], "a", "b", home.stop)
    rebuild(home.services)
    assert states(home, "b") == ["complete", "complete"]


def test_a_new_place_is_written_to_once_the_old_one_is_forgotten(home: World, tmp_path: Path) -> None:
    (tmp_path / "disk").rename(tmp_path / "away")
    rebuild(home.services, store="b")
    copy(home.services, "shop", IDS[1], "a", "b", home.stop)
    assert states(home, "b") == ["complete"]


def test_an_emptied_bucket_is_told_and_takes_new_backups(home: World) -> None:
    store = home.services.store("a")
    assert isinstance(store, MemoryStore)
    store.objects.clear()
    emptied.look(home.services, store, "shop")
    assert states(home, "a") == ["missing", "missing"]
    assert "should hold 2 backups" in str(home.recorder.warnings[-1])
    shelved(home.services, store, "20261123T020000Z-cccc")
    emptied.look(home.services, store, "shop")
    assert len(home.recorder.warnings) == 1


def test_a_list_that_is_empty_by_mistake_is_not_believed(
    home: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = home.services.store("a")
    monkeypatch.setattr(store, "list", lambda _prefix="": iter(()))
    emptied.look(home.services, store, "shop")
    assert states(home, "a") == ["complete", "complete"]


def test_a_new_target_and_a_new_store_are_empty_as_they_should_be(home: World) -> None:
    emptied.look(home.services, home.services.store("b"), "blog")
    emptied.look(home.services, MemoryStore("c"), "shop")
    assert list(emptied.check(home.services, [home.target])) == []
    assert home.recorder.warnings == []
