"""Marks lie beside the manifest, signed; a rebuilt ledger reads them, copies carry them, and a planted one does nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs import marks, writing
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.copy import copy
from holdfast.jobs.find import find, open_best
from holdfast.ledger import marks as ledger
from holdfast.model import mark as model
from holdfast.model.errors import CancelledError, NotFoundError
from holdfast.model.layout import MarkKind
from holdfast.model.mark import Ack, Pin
from holdfast.model.proof import Proof
from holdfast.stores.base import ExistsError
from holdfast.streams import sign
from support.marked import bury
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

ID, OTHER = "20261121T020000Z-aaaa", "20261122T020000Z-bbbb"
FOLDER = f"shop/{ID}"
NOWHERE = "postgresql://nobody@127.0.0.1:1/"


@pytest.fixture
def stores() -> dict[str, MemoryStore]:
    return {"a": MemoryStore("a"), "b": MemoryStore("b")}


@pytest.fixture
def home(tmp_path: Path, stores: dict[str, MemoryStore]) -> Iterator[World]:
    with world(tmp_path, NOWHERE, stores=stores) as made:
        shelved(made.services, stores["a"], ID)
        shelved(made.services, stores["a"], OTHER)
        rebuild(made.services)
        yield made


def at(store: MemoryStore) -> writing.Place:
    return writing.Place(store=store, target="shop", backup_id=ID)


def pin(home: World, store: MemoryStore, why: str = "quarter") -> None:
    marks.put(home.services, at(store), Pin(why=why), at=home.services.clock.now())


def kinds(home: World) -> list[tuple[str, MarkKind]]:
    return [(kept.store, kept.mark.kind) for kept in ledger.of_backup(home.services.ledger, ID)]


def elsewhere(home: World, tmp_path: Path) -> World:
    """The same stores and keys, seen from a host with a ledger of its own."""
    return replace(home, services=replace(home.services, state_dir=tmp_path / "else"))


def test_a_mark_is_signed_before_it_is_there(home: World, stores: dict[str, MemoryStore]) -> None:
    pin(home, stores["a"])
    (name,) = [key for key in stores["a"].objects if "/pin-" in key and not key.endswith(".minisig")]
    assert f"{name}.minisig" in stores["a"].objects
    kept = marks.read(at(stores["a"]), name.rpartition("/")[2], home.keys)
    assert model.content(kept.mark, Pin) == Pin(why="quarter")
    assert kept.mark.host == "testhost"
    assert kinds(home) == [("a", "pin")]


@pytest.mark.parametrize("quick", [True, False])
def test_a_ledger_that_knows_nothing_learns_the_marks(
    home: World, stores: dict[str, MemoryStore], tmp_path: Path, *, quick: bool
) -> None:
    now = home.services.clock.now()
    pin(home, stores["a"])
    marks.put(home.services, at(stores["a"]), Ack(why="was meant"), at=now)
    proof = Proof(backup_id=ID, target="shop", level="proven", method="restored", at=now, store="a")
    marks.put(home.services, at(stores["a"]), proof, at=now)
    with world(tmp_path / "else", NOWHERE, stores=stores) as other:
        services = replace(other.services, keys=home.keys)
        assert rebuild(services, quick=quick).problems == []
        found = ledger.of_target(services.ledger, "shop")
        assert {kept.mark.kind for kept in found[ID]} == {"pin", "ack", "proof"}
        row = services.ledger.backup(ID)
        assert row is not None
        assert row.proof == "proven"


def test_a_quick_look_learns_marks_of_backups_that_are_known(
    home: World, stores: dict[str, MemoryStore], tmp_path: Path
) -> None:
    with world(tmp_path / "else", NOWHERE, stores=stores) as other:
        services = replace(other.services, keys=home.keys)
        rebuild(services)
        pin(home, stores["a"])
        rebuild(services, quick=True)
        assert [kept.mark.kind for kept in ledger.of_backup(services.ledger, ID)] == ["pin"]


def test_a_planted_mark_is_reported_and_ignored(home: World, stores: dict[str, MemoryStore]) -> None:
    stranger = sign.generate()
    thief = replace(home.services, keys=replace(home.keys, signing=stranger, trusted=(stranger.public,)))
    bury(thief, stores["a"], ID)
    marks.put(thief, at(stores["a"]), Pin(why="mine"), at=home.services.clock.now())
    for kept in ledger.of_backup(home.services.ledger, ID):  # the thief's own ledger is ours in this test
        ledger.forget(home.services.ledger, ID, "a", kept.name)
    for quick in (True, False):
        result = rebuild(home.services, quick=quick)
        assert len([1 for where, problem in result.problems if ID in where and "not trusted" in problem]) == 2
        assert kinds(home) == []
        assert find(home.services, ID).copies[0].state == "complete"


def test_a_mark_of_another_backup_or_kind_is_ignored(home: World, stores: dict[str, MemoryStore]) -> None:
    pin(home, stores["a"])
    objects = stores["a"].objects
    (name,) = [key for key in objects if "/pin-" in key and not key.endswith(".minisig")]
    for other in (name.replace(ID, OTHER), name.replace("/pin-", "/ack-")):
        for suffix in ("", ".minisig"):
            objects[other + suffix] = objects[name + suffix]
    assert len(rebuild(home.services).problems) == 2
    assert kinds(home) == [("a", "pin")]
    assert ledger.of_backup(home.services.ledger, OTHER) == []


def test_a_copy_carries_the_marks_but_no_tombstone(home: World, stores: dict[str, MemoryStore]) -> None:
    pin(home, stores["a"])
    copy(home.services, "shop", ID, "a", "b", home.stop)
    for key, data in stores["a"].objects.items():
        if key.startswith(FOLDER):
            assert stores["b"].objects[key] == data
    assert kinds(home) == [("a", "pin"), ("b", "pin")]
    bury(home.services, stores["a"], OTHER)
    with pytest.raises(NotFoundError, match="tombstone"):
        copy(home.services, "shop", OTHER, "a", "b", home.stop)


def test_a_pin_that_vanished_from_the_store_still_counts(home: World, stores: dict[str, MemoryStore]) -> None:
    pin(home, stores["a"])
    for key in [key for key in stores["a"].objects if "/pin-" in key]:
        stores["a"].delete(key)
    rebuild(home.services)
    assert kinds(home) == [("a", "pin")]


@pytest.mark.parametrize("quick", [True, False])
def test_a_tombstone_hides_and_its_removal_shows(
    home: World, stores: dict[str, MemoryStore], *, quick: bool
) -> None:
    bury(home.services, stores["a"], OTHER)
    rebuild(home.services, quick=quick)
    assert find(home.services, OTHER).hidden
    assert find(home.services, "latest").backup.id == ID
    with pytest.raises(NotFoundError, match="hidden") as caught:
        open_best(home.services, find(home.services, OTHER))
    assert "holdfast undelete" in str(caught.value.hint)
    for suffix in ("", ".minisig"):
        stores["a"].delete(f"shop/{OTHER}/tombstone.json{suffix}")
    rebuild(home.services, quick=quick)
    assert find(home.services, "latest").backup.id == OTHER


def test_a_tombstone_is_written_once(home: World, stores: dict[str, MemoryStore]) -> None:
    kept = bury(home.services, stores["a"], ID)
    with pytest.raises(ExistsError):
        bury(home.services, stores["a"], ID)
    assert marks.tombstone(at(stores["a"]), home.keys) == kept


@pytest.mark.fault("two")
def test_of_two_tombstones_at_once_the_second_is_told_of_the_first(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    def meanwhile(stage: str) -> None:
        if stage == "tombstone_signed":
            stores["a"].objects[f"{FOLDER}/tombstone.json"] = b"another's"

    with pytest.raises(ExistsError, match="is another's"):
        bury(home.staged(meanwhile), stores["a"], ID)
    assert stores["a"].objects[f"{FOLDER}/tombstone.json"] == b"another's"


def test_a_tombstone_that_broke_off_is_begun_anew(home: World, stores: dict[str, MemoryStore]) -> None:
    def die(stage: str) -> None:
        if stage == "tombstone_signed":
            raise CancelledError

    with pytest.raises(CancelledError):
        bury(replace(home.services, stage=die), stores["a"], ID)
    assert marks.tombstone(at(stores["a"]), home.keys) is None
    bury(home.services, stores["a"], ID)
    assert marks.tombstone(at(stores["a"]), home.keys) is not None


def test_what_a_tombstone_accounts_for_is_not_swept(home: World, stores: dict[str, MemoryStore]) -> None:
    bury(home.services, stores["a"], ID)
    stores["a"].delete(f"{FOLDER}/manifest.json")
    before = dict(stores["a"].objects)
    writing.discard(home.services, at(stores["a"]))
    assert stores["a"].objects == before
