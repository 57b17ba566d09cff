"""What one store says does not keep the others from being verified, nor their outcome from being told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.catalog import rebuild
from holdfast.jobs.verify import verify
from holdfast.model.errors import IntegrityError, StoreError
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

ID = "20261121T020000Z-aaaa"
NOWHERE = "postgresql://nobody@127.0.0.1:1/"


class _Away(MemoryStore):
    """A store that can be made unreachable."""

    away = False

    def get(self, key: str) -> Iterator[bytes]:
        if self.away:
            raise StoreError("memory://a: cannot be reached")
        return super().get(key)


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
