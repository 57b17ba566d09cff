"""A copy is the same objects in another store, and never spoils one that is there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.catalog import rebuild
from holdfast.jobs.copy import copy
from holdfast.model.errors import ConfigError, IntegrityError
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

ID = "20261121T020000Z-aaaa"
PART = f"shop/{ID}/globals.sql.zst.age"
NOWHERE = "postgresql://nobody@127.0.0.1:1/"


@pytest.fixture
def stores() -> dict[str, MemoryStore]:
    return {"a": MemoryStore("a"), "b": MemoryStore("b")}


@pytest.fixture
def home(tmp_path: Path, stores: dict[str, MemoryStore]) -> Iterator[World]:
    with world(tmp_path, NOWHERE, stores=stores) as made:
        shelved(made.services, stores["a"], ID)
        rebuild(made.services)
        yield made


def copies(home: World) -> dict[str, str]:
    (row,) = home.services.ledger.backups()
    return {each.store: each.state for each in row.copies}


def test_a_copy_is_the_same_byte_for_byte(home: World, stores: dict[str, MemoryStore]) -> None:
    copy(home.services, "shop", ID, "a", "b", home.stop)
    assert stores["b"].backups == stores["a"].backups
    assert copies(home) == {"a": "complete", "b": "complete"}


def test_what_restore_tests_found_comes_along(home: World, stores: dict[str, MemoryStore]) -> None:
    detail = f"shop/{ID}/detail-20261121T030000Z-0123abcd.json.zst.age"
    stores["a"].objects[detail] = b"names of tables, encrypted"
    stores["a"].objects[f"shop/{ID}/of-somebody-else.json"] = b"{}"
    copy(home.services, "shop", ID, "a", "b", home.stop)
    assert stores["b"].objects[detail] == stores["a"].objects[detail]
    assert f"shop/{ID}/of-somebody-else.json" not in stores["b"].objects


def test_a_copy_that_is_there_is_not_touched(home: World, stores: dict[str, MemoryStore]) -> None:
    """Else a damaged original would take the last good copy with it."""
    copy(home.services, "shop", ID, "a", "b", home.stop)
    good = stores["b"].backups
    stores["a"].objects[PART] = b"damaged"
    copy(home.services, "shop", ID, "a", "b", home.stop)
    assert stores["b"].backups == good
    assert copies(home)["b"] == "complete"


def test_the_rest_of_a_copy_that_broke_off_is_replaced(home: World, stores: dict[str, MemoryStore]) -> None:
    stores["b"].objects[PART] = b"half"
    copy(home.services, "shop", ID, "a", "b", home.stop)
    assert stores["b"].backups == stores["a"].backups


def test_a_copy_that_broke_off_before_its_manifest_is_finished(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    stores["b"].objects.update(
        {k: v for k, v in stores["a"].objects.items() if not k.endswith("manifest.json")}
    )
    copy(home.services, "shop", ID, "a", "b", home.stop)
    assert stores["b"].backups == stores["a"].backups


def test_a_damaged_original_makes_no_copy(home: World, stores: dict[str, MemoryStore]) -> None:
    stores["a"].objects[PART] = b"damaged"
    with pytest.raises(IntegrityError, match="is not what was written"):
        copy(home.services, "shop", ID, "a", "b", home.stop)
    assert not any("manifest" in key for key in stores["b"].objects)
    assert copies(home)["b"] == "missing"


def test_a_store_under_two_names_holds_one_copy(tmp_path: Path) -> None:
    """Else `require_copies = 2` would be met by one directory, with a link to it."""
    place = MemoryStore("a")
    link = MemoryStore("b")
    vars(link).update(vars(place), name="b", location="memory://b")
    with world(tmp_path, NOWHERE, stores={"a": place, "b": link}) as home:
        shelved(home.services, place, ID)
        rebuild(home.services, store="a")
        before = place.backups
        with pytest.raises(ConfigError, match=r"the stores b .* and a .* are one and the same place"):
            copy(home.services, "shop", ID, "a", "b", home.stop)
        assert place.backups == before
        assert copies(home) == {"a": "complete", "b": "missing"}
