"""A damaged copy is mended from a whole one, and a good object is never written over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.catalog import rebuild
from holdfast.jobs.repair import Repaired, repair
from holdfast.jobs.verify import verify
from holdfast.model.errors import IntegrityError, NotFoundError
from support.marked import bury
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

ID = "20261121T020000Z-aaaa"
NOWHERE = "postgresql://nobody@127.0.0.1:1/"
FOLDER = f"shop/{ID}/"
PART = f"{FOLDER}globals.sql.zst.age"
MANIFEST = f"{FOLDER}manifest.json"


class Watched(MemoryStore):
    """A store that remembers what was put into a backup."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.puts: list[str] = []

    def put(self, key: str, chunks: object, *, absent: bool = False) -> bool:
        if key.startswith("shop/"):
            self.puts.append(key)
        return super().put(key, chunks, absent=absent)  # type: ignore[arg-type] # as it came


@pytest.fixture
def stores() -> dict[str, Watched]:
    return {"a": Watched("a"), "b": Watched("b")}


@pytest.fixture
def home(tmp_path: Path, stores: dict[str, Watched]) -> Iterator[World]:
    with world(tmp_path, NOWHERE, stores=stores) as made:
        made.services = replace(made.services, keys=replace(made.keys, identities=()))
        shelved(made.services, stores["a"], ID)
        stores["b"].objects.update(stores["a"].objects)
        rebuild(made.services)
        for store in stores.values():
            store.puts.clear()
        yield made


def mended(home: World, store: str | None = None) -> dict[str, Repaired]:
    (row,) = home.services.ledger.backups()
    return {each.store: each for each in repair(home.services, row, home.stop, store=store)}


def states(home: World) -> dict[str, str]:
    (row,) = home.services.ledger.backups()
    return {each.store: each.state for each in row.copies}


def test_whole_copies_are_left_alone(home: World, stores: dict[str, Watched]) -> None:
    assert all(each.error is None and each.objects == () for each in mended(home).values())
    assert stores["a"].puts == stores["b"].puts == []


@pytest.mark.fault("damage.gone")
@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_a_damaged_object_comes_back_and_no_other_is_touched(
    home: World, stores: dict[str, Watched], damage: str
) -> None:
    good = stores["b"].backups
    if damage == "changed":
        stores["b"].objects[PART] = b"damaged"
    else:
        del stores["b"].objects[PART]
    (row,) = home.services.ledger.backups()
    verify(home.services, row, home.stop)
    assert states(home) == {"a": "complete", "b": "damaged"}
    done = mended(home)["b"]
    assert (done.error, done.source, done.objects) == (None, "a", ("globals.sql.zst.age",))
    assert {key: stores["b"].objects[key] for key in good} == good
    assert [key for key in stores["b"].puts if "/proof-" not in key] == [PART]
    assert states(home) == {"a": "complete", "b": "complete"}


def test_a_manifest_that_is_gone_comes_back_from_the_ledger(home: World, stores: dict[str, Watched]) -> None:
    good = stores["b"].objects.pop(MANIFEST)
    assert mended(home, "b")["b"].error is None
    assert stores["b"].objects[MANIFEST] == good


def test_each_store_mends_the_other(home: World, stores: dict[str, Watched]) -> None:
    stores["a"].objects[f"{MANIFEST}.minisig"] = b"damaged"
    stores["b"].objects[PART] = b"damaged"
    done = mended(home)
    assert [each.error for each in done.values()] == [None, None]
    assert done["a"].objects == ("manifest.json.minisig", "manifest.json")
    assert (done["b"].objects, done["b"].source) == (("globals.sql.zst.age",), "a")


def test_what_is_whole_nowhere_is_an_error_and_nothing_is_put(
    home: World, stores: dict[str, Watched]
) -> None:
    for store in stores.values():
        store.objects[PART] = f"damaged in {store.name}".encode()
    before = {name: store.backups for name, store in stores.items()}
    for done in mended(home).values():
        assert isinstance(done.error, IntegrityError)
    assert {name: store.backups for name, store in stores.items()} == before


def test_a_backup_on_its_way_out_is_not_mended(home: World, stores: dict[str, Watched]) -> None:
    bury(home.services, stores["b"], ID)
    del stores["b"].objects[PART]
    assert isinstance(mended(home)["b"].error, NotFoundError)
