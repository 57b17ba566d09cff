"""What a store holds is compared with the ledger: what vanished, was replaced or rolled back is named, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs import differing, keeping, marks, recover
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.repair import repair
from holdfast.jobs.verify import Verified, verify
from holdfast.jobs.writing import Place
from holdfast.ledger.ledger import BackupRow
from holdfast.model.errors import IntegrityError
from holdfast.streams import sign
from support.marked import bury
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

FIRST, SECOND, THIRD = "20261121T020000Z-aaaa", "20261122T020000Z-bbbb", "20261123T020000Z-cccc"
NOWHERE = "postgresql://nobody@127.0.0.1:1/"


@pytest.fixture
def stores() -> dict[str, MemoryStore]:
    return {"a": MemoryStore("a"), "b": MemoryStore("b")}


@pytest.fixture
def home(tmp_path: Path, stores: dict[str, MemoryStore]) -> Iterator[World]:
    with world(tmp_path, NOWHERE, stores=stores) as made:
        made.services = replace(made.services, keys=replace(made.keys, identities=()))
        for backup_id in (FIRST, SECOND, THIRD):
            shelved(made.services, stores["a"], backup_id)
        stores["b"].objects.update(stores["a"].objects)
        rebuild(made.services)
        yield made


def row(home: World, backup_id: str) -> BackupRow:
    found = home.services.ledger.backup(backup_id)
    assert found is not None
    return found


def verified(home: World, backup_id: str = FIRST) -> dict[str, Verified]:
    return {each.store: each for each in verify(home.services, row(home, backup_id), home.stop)}


def lose(store: MemoryStore, *words: str) -> None:
    for key in list(store.objects):
        if all(word in key for word in words):
            del store.objects[key]


def told(home: World, *, forget: bool = False, quick: bool = True) -> str:
    return "\n".join(
        f"{where}: {said}" for where, said in rebuild(home.services, quick=quick, forget=forget).problems
    )


def distrust(home: World) -> None:
    """Sign with another key, and trust the old one no more."""
    key = sign.generate()
    keys = replace(home.keys, signing=key, trusted=(key.public,))
    home.services = replace(home.services, keys=keys)


@pytest.mark.parametrize("forget", [True, False])
def test_backups_of_a_signer_who_is_not_trusted_any_more_are_not_called_gone(
    home: World, stores: dict[str, MemoryStore], *, forget: bool
) -> None:
    old, before = home.keys, dict(stores["a"].objects)
    distrust(home)
    said = told(home, forget=forget, quick=False)
    assert "gone" not in said
    assert "mounted" not in said
    assert "rolled back" not in said
    assert said.count("which is not trusted") == said.count("nothing was removed") == 6
    assert said.count("Signed by RWQsigner") == 6
    assert "encryption.signers" in said
    assert stores["a"].objects == before
    assert not any(each.good for each in home.services.ledger.backups())
    home.services = replace(
        home.services, keys=replace(home.keys, trusted=(*home.keys.trusted, *old.trusted))
    )  # the key is added to the config
    rebuild(home.services)
    assert [each.good for each in home.services.ledger.backups()] == [True] * 3


def test_a_backup_by_a_new_signer_is_listed_once_he_is_trusted(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    trusted = home.keys
    distrust(home)
    new = home.keys
    shelved(home.services, stores["a"], "20261124T020000Z-dddd")
    home.services = replace(home.services, keys=trusted)
    assert "which is not trusted" in told(home)
    assert home.services.ledger.backup("20261124T020000Z-dddd") is None
    home.services = replace(home.services, keys=replace(trusted, trusted=(*trusted.trusted, *new.trusted)))
    rebuild(home.services, quick=True)
    assert row(home, "20261124T020000Z-dddd").good


@pytest.mark.fault("attack.plant")
def test_what_vanished_is_named_unless_a_tombstone_says_so(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    bury(home.services, stores["b"], FIRST)
    for backup_id in (FIRST, SECOND):
        lose(stores["b"], backup_id, "manifest.json")
    said = told(home)
    assert f"memory://b: shop/{SECOND}/: the backup is gone, and no tombstone says" in said
    assert f"memory://b: shop/{FIRST}/" not in said
    assert "rolled back" not in said


@pytest.mark.fault("attack.plant")
def test_a_store_without_its_newest_backups_is_said_to_be_rolled_back(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    lose(stores["b"], SECOND)
    lose(stores["b"], THIRD)
    said = told(home)
    assert (
        f"memory://b: shop/: lacks the 2 newest backups, and holds none after {FIRST}: was the store rolled"
        in said
    )
    assert "rolled" not in told(home)  # it is told once, and the copies are missing from then on
    assert isinstance(verified(home, THIRD)["b"].error, IntegrityError)


@pytest.mark.fault("attack.plant")
def test_a_tombstone_that_vanished_is_named(home: World, stores: dict[str, MemoryStore]) -> None:
    bury(home.services, stores["b"], FIRST)
    assert told(home) == ""
    lose(stores["b"], "tombstone")
    said = told(home)
    assert "its tombstone is gone" in said
    assert "put the store or the ledger back" in said
    assert told(home) == ""
    bury(home.services, stores["b"], SECOND)
    rebuild(home.services, quick=True)
    keeping.undelete(home.services, row(home, SECOND))
    assert told(home) == ""


@pytest.mark.fault("attack.plant")
@pytest.mark.parametrize("how", ["gone", "replaced", "signature gone"])
def test_a_pin_that_vanished_is_named_and_put_back(
    home: World, stores: dict[str, MemoryStore], how: str
) -> None:
    keeping.pin(home.services, row(home, FIRST), why="audit", until=None)
    assert told(home) == ""
    assert {each.error for each in verified(home).values()} == {None}
    pin = next(key for key in stores["b"].objects if "/pin-" in key and not key.endswith("minisig"))
    good = {key: stores["b"].objects[key] for key in (pin, f"{pin}.minisig")}
    if how == "replaced":
        stores["b"].objects[pin] = b"x" * len(good[pin])
    else:
        del stores["b"].objects[pin if how == "gone" else f"{pin}.minisig"]
        assert f"vanished or replaced, though the ledger knows it: {pin.rpartition('/')[2]}" in told(home)
    found = verified(home)
    assert found["a"].error is None
    assert "/pin-" in pin
    assert pin.rpartition("/")[2] in str(found["b"].error)
    assert found["b"].proof is not None
    done = {each.store: each for each in repair(home.services, row(home, FIRST), home.stop)}
    assert (done["b"].error, done["b"].objects) == (None, (pin.rpartition("/")[2],))
    assert {key: stores["b"].objects[key] for key in good} == good
    assert {each.error for each in verified(home).values()} == {None}


@pytest.mark.fault("attack.plant")
def test_another_backup_under_the_same_id_is_said_to_be_replaced_though_it_is_signed(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    lose(stores["b"], FIRST)
    shelved(home.services, stores["b"], FIRST, data=b"other rows")
    found = verified(home)
    assert found["a"].error is None
    assert isinstance(found["b"].error, IntegrityError)
    assert "was replaced" in str(found["b"].error)
    assert {each.store: each.state for each in row(home, FIRST).copies} == {"a": "complete", "b": "damaged"}
    assert "was replaced" in told(home, quick=False)


def test_a_mark_that_comes_while_the_store_is_listed_is_not_missed(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    keeping.pin(home.services, row(home, FIRST), why="audit", until=None)
    place = Place(store=stores["a"], target="shop", backup_id=FIRST)
    assert marks.listed(place, home.keys).kept
    assert differing.lost_marks(home.services, place, {}) is None


def test_a_recovery_tells_hidden_backups_from_those_that_are_not_whole(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    home.services = replace(home.services, stores={"a": stores["a"]})
    home.services.ledger.forget_copy(FIRST, "b")
    bury(home.services, stores["a"], FIRST)
    lose(stores["a"], SECOND, "globals")
    lose(stores["b"], SECOND)
    rebuild(home.services)
    (found,) = recover.look(home.services)
    assert [row.backup.id for row in found.whole] == [THIRD]
    assert (found.hidden, found.broken) == (1, 1)
