"""What one store says does not keep the others from being verified, nor their outcome from being told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.catalog import rebuild
from holdfast.jobs.sweep import sweep
from holdfast.jobs.verify import verify
from holdfast.model.errors import IntegrityError, StoreError
from support.marked import bury
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

ID, LATER = "20261121T020000Z-aaaa", "20261122T020000Z-bbbb"
NOWHERE = "postgresql://nobody@127.0.0.1:1/"


class _Away(MemoryStore):
    """A store that can be made unreachable."""

    away = False

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        if self.away:
            raise StoreError("memory://a: cannot be reached")
        return super().get(key, start=start, length=length)


@pytest.fixture
def stores() -> dict[str, _Away]:
    return {"a": _Away("a"), "b": _Away("b")}


@pytest.fixture
def home(tmp_path: Path, stores: dict[str, _Away]) -> Iterator[World]:
    with world(tmp_path, NOWHERE, stores=stores) as made:
        made.services = replace(made.services, keys=replace(made.keys, identities=()))
        shelved(made.services, stores["a"], ID)
        stores["b"].objects.update(stores["a"].objects)
        rebuild(made.services)
        yield made


def copies(home: World) -> dict[str, str]:
    (row,) = home.services.ledger.backups()
    return {each.store: each.state for each in row.copies}


def test_a_store_out_of_reach_is_told_and_the_next_is_verified(home: World, stores: dict[str, _Away]) -> None:
    stores["a"].away = True
    stores["b"].objects[f"shop/{ID}/manifest.json"] = b"{}"
    (row,) = home.services.ledger.backups()
    first, second = verify(home.services, row, home.stop)
    assert (first.store, type(first.error)) == ("a", StoreError)
    assert (second.store, type(second.error)) == ("b", IntegrityError)
    assert copies(home) == {"a": "complete", "b": "damaged"}  # of the first nothing new is known
    runs = home.services.ledger.runs("shop", "verify")
    assert [run.error_code for run in runs] == ["integrity", "store"]


def test_a_stop_is_no_outcome(home: World) -> None:
    (row,) = home.services.ledger.backups()
    home.stop.request(StoreError("told to stop"))
    with pytest.raises(StoreError, match="told to stop"):
        verify(home.services, row, home.stop)


def without_manifest(store: _Away) -> None:
    store.delete(f"shop/{ID}/manifest.json")


@pytest.mark.parametrize("looked", [True, False])
def test_a_copy_whose_manifest_is_gone_is_missing_each_time_and_the_others_are_verified(
    home: World, stores: dict[str, _Away], *, looked: bool
) -> None:
    without_manifest(stores["b"])
    for _ in range(2):
        if looked:
            rebuild(home.services, quick=True, forget=False)
        (row,) = home.services.ledger.backups()
        results = {each.store: each for each in verify(home.services, row, home.stop)}
        assert results["a"].error is None
        assert isinstance(results["b"].error, IntegrityError)
        assert f"memory://b: shop/{ID}/manifest.json is missing" in str(results["b"].error)
        assert copies(home) == {"a": "complete", "b": "missing"}
    (row,) = home.services.ledger.backups()
    assert row.proof == "verified"


def test_the_only_copy_is_missing_not_forgotten_and_not_proven(home: World, stores: dict[str, _Away]) -> None:
    home.services = replace(home.services, stores={"a": stores["a"]})
    home.services.ledger.forget_copy(ID, "b")
    (row,) = home.services.ledger.backups()
    verify(home.services, row, home.stop)
    shelved(home.services, stores["a"], LATER)
    without_manifest(stores["a"])
    problems = rebuild(home.services, quick=True, forget=False).problems
    assert (f"memory://a: shop/{ID}/", "the backup is gone") in [
        (w, p.partition(",")[0]) for w, p in problems
    ]
    _, row = home.services.ledger.backups()
    (result,) = verify(home.services, row, home.stop)
    assert isinstance(result.error, IntegrityError)
    _, row = home.services.ledger.backups()
    assert (row.proof, row.copies[0].state) == ("stored", "missing")


def test_what_is_left_of_a_copy_that_is_gone_is_not_swept(home: World, stores: dict[str, _Away]) -> None:
    without_manifest(stores["b"])
    shelved(home.services, stores["b"], LATER)
    rebuild(home.services, quick=True, forget=False)
    before = dict(stores["b"].objects)
    sweep(home.services, home.target)
    assert stores["b"].objects == before
    assert copies_of(home, ID) == {"a": "complete", "b": "missing"}


def test_a_copy_that_came_back_is_whole_again(home: World, stores: dict[str, _Away]) -> None:
    before = dict(stores["b"].objects)
    without_manifest(stores["b"])
    shelved(home.services, stores["b"], LATER)
    rebuild(home.services, quick=True, forget=False)
    assert copies_of(home, ID)["b"] == "missing"
    stores["b"].objects.update(before)
    rebuild(home.services, quick=True, forget=False)
    assert copies_of(home, ID)["b"] == "complete"


def test_a_copy_with_a_tombstone_is_hidden_and_forgotten_when_it_is_gone(
    home: World, stores: dict[str, _Away]
) -> None:
    bury(home.services, stores["b"], ID)
    shelved(home.services, stores["b"], LATER)
    rebuild(home.services, quick=True, forget=False)
    assert copies_of(home, ID) == {"a": "complete", "b": "hidden"}
    stores["b"].delete(f"shop/{ID}/manifest.json")
    rebuild(home.services, quick=True, forget=False)
    assert copies_of(home, ID) == {"a": "complete"}


def copies_of(home: World, backup_id: str) -> dict[str, str]:
    row = home.services.ledger.backup(backup_id)
    assert row is not None
    return {each.store: each.state for each in row.copies}
