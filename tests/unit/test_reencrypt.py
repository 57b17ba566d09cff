"""A copy that is encrypted to others is the same backup, opens with their key alone, and is told from a forgery."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs import copies, past
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.copies import catch_up
from holdfast.jobs.copy import copy
from holdfast.jobs.find import open_best
from holdfast.jobs.reading import open_backup, plain_chunks
from holdfast.jobs.reencrypt import copy_to
from holdfast.jobs.repair import repair
from holdfast.jobs.services import Keys, Services
from holdfast.jobs.verify import verify
from holdfast.jobs.writing import Place
from holdfast.ledger.ledger import BackupRow, Ledger
from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.model.kinship import Stored, are_kin
from holdfast.stores.base import RefusedError
from holdfast.streams import age_keys, sign
from support.locked_store import LockedStore
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

IDS = tuple(f"2026112{day}T020000Z-aaaa" for day in (1, 2, 3))
NOWHERE = "postgresql://nobody@127.0.0.1:1/"
PART, MANIFEST = "globals.sql.zst.age", "manifest.json"


@pytest.fixture
def stores() -> dict[str, MemoryStore]:
    return {name: MemoryStore(name) for name in "abc"}


@pytest.fixture
def home(tmp_path: Path, stores: dict[str, MemoryStore]) -> Iterator[World]:
    with world(tmp_path, NOWHERE, stores=stores) as made:
        made.target = dataclasses.replace(made.target, stores=("a", "b"))
        for number, backup_id in enumerate(IDS):
            shelved(made.services, stores["a"], backup_id, data=b"rows" * (number + 1))
        rebuild(made.services)
        yield made


@pytest.fixture
def other() -> age_keys.Identity:
    return age_keys.generate()


def rows(home: World) -> list[BackupRow]:
    return home.services.ledger.backups("shop")


def row(home: World, backup_id: str = IDS[0]) -> BackupRow:
    found = home.services.ledger.backup(backup_id)
    assert found is not None
    return found


def sent(home: World, other: age_keys.Identity, to: str = "c") -> list[str]:
    done = copy_to(home.services, "shop", rows(home), to, (other.recipient,), home.stop)
    assert done.failed == []
    assert done.left == {to: 0}
    return [backup for backup, _ in done.copied]


def holding(services: Services, *identities: age_keys.Identity) -> Services:
    return dataclasses.replace(services, keys=dataclasses.replace(services.keys, identities=identities))


def opened(services: Services, store: MemoryStore, backup_id: str = IDS[0]) -> bytes:
    """What the one part of a copy holds, by the identities of these services."""
    place = Place(store=store, target="shop", backup_id=backup_id)
    found = open_backup(place, services.keys)
    return b"".join(plain_chunks(place, found.backup.parts[0], services.keys))


def states(home: World) -> dict[str, str]:
    return {each.store: each.state for each in row(home).copies}


def test_it_opens_with_the_other_key_alone_and_is_the_same_backup(
    home: World, stores: dict[str, MemoryStore], other: age_keys.Identity
) -> None:
    assert sent(home, other) == list(IDS)
    assert opened(holding(home.services, other), stores["c"]) == b"rows"
    with pytest.raises(KeyFileError):
        opened(home.services, stores["c"])
    assert states(home) == {"a": "complete", "c": "complete"}
    found = row(home)
    assert found.stored_in("a").manifest == stores["a"].objects[f"shop/{IDS[0]}/{MANIFEST}"] == found.manifest
    assert found.stored_in("c").manifest == stores["c"].objects[f"shop/{IDS[0]}/{MANIFEST}"]
    assert found.stored_in("c").backup.parts[0].sha256 == found.backup.parts[0].sha256
    assert found.stored_in("c").backup.parts[0].recipients == (other.recipient.text,)
    assert sent(home, other) == []


def test_each_copy_is_verified_by_its_own_manifest_and_read_where_it_opens(
    home: World, other: age_keys.Identity
) -> None:
    sent(home, other)
    results = verify(holding(home.services), row(home), home.stop)
    assert [(each.store, each.error) for each in results] == [("a", None), ("c", None)]
    (elsewhere,) = verify(home.services, row(home), home.stop, store="c")
    assert elsewhere.error is None  # by its digests, as no identity here opens it
    assert open_best(home.services, row(home)).place.store.name == "a"
    assert open_best(holding(home.services, other), row(home)).place.store.name == "c"


@pytest.mark.parametrize("order", ["abc", "cba"])
def test_a_ledger_that_is_rebuilt_knows_both_whatever_it_finds_first(
    home: World, stores: dict[str, MemoryStore], other: age_keys.Identity, tmp_path: Path, order: str
) -> None:
    sent(home, other)
    with Ledger.open(tmp_path / "new.sqlite", now=home.services.clock.now()) as ledger:
        fresh = dataclasses.replace(
            home.services, ledger=ledger, stores={name: stores[name] for name in order}
        )
        for quick in (False, True, False):
            found = rebuild(fresh, quick=quick)
            assert found.problems == []
            known = ledger.backup(IDS[0])
            assert known is not None
            assert known.manifest == row(home).manifest
            assert {name: each.manifest for name, each in known.variants.items()} == {
                "c": stores["c"].objects[f"shop/{IDS[0]}/{MANIFEST}"]
            }
            assert {each.store: each.state for each in known.copies} == {"a": "complete", "c": "complete"}


def test_catching_up_brings_the_first_manifest_and_leaves_the_other_alone(
    home: World, stores: dict[str, MemoryStore], other: age_keys.Identity
) -> None:
    sent(home, other)
    before = stores["c"].backups
    home.target = dataclasses.replace(home.target, stores=("c", "a", "b"))
    assert {store for _, store in catch_up(home.services, home.target, home.stop).copied} == {"b"}
    assert stores["b"].backups == stores["a"].backups
    assert stores["c"].backups == before
    assert copies.missing(home.services, home.target, "c") == []


def test_a_copy_of_such_a_copy_is_known_as_one(
    home: World, stores: dict[str, MemoryStore], other: age_keys.Identity
) -> None:
    sent(home, other)
    copy(home.services, "shop", IDS[0], "c", "b", home.stop)
    assert row(home).stored_in("b").manifest == row(home).stored_in("c").manifest
    stores["b"].delete(f"shop/{IDS[0]}/{PART}")
    blind = holding(home.services)
    mended = repair(blind, row(home), home.stop, store="b")
    assert [(each.source, each.error) for each in mended] == [("c", None)]
    stores["a"].objects.pop(f"shop/{IDS[0]}/{PART}")
    (broken,) = repair(blind, row(home), home.stop, store="a")
    assert "no store has" in str(broken.error)


def test_what_breaks_off_leaves_no_backup_and_is_made_anew(
    home: World, stores: dict[str, MemoryStore], other: age_keys.Identity
) -> None:
    def stage(name: str) -> None:
        if name == "manifest":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy_to(home.staged(stage), "shop", rows(home), "c", (other.recipient,), home.stop)
    assert stores["c"].backups == {}
    assert states(home) == {"a": "complete", "c": "missing"}
    stores["c"].put(f"shop/{IDS[0]}/{PART}", [b"of a try that was killed"])
    assert sent(home, other) == list(IDS)
    assert opened(holding(home.services, other), stores["c"]) == b"rows"


def test_a_damaged_source_is_never_sealed_as_if_it_were_whole(
    home: World, stores: dict[str, MemoryStore], other: age_keys.Identity
) -> None:
    key = f"shop/{IDS[0]}/{PART}"
    stores["a"].objects[key] = stores["a"].objects[key][:-1]
    done = copy_to(home.services, "shop", rows(home), "c", (other.recipient,), home.stop)
    assert [backup for backup, _, _ in done.failed] == [IDS[0]]
    assert [backup for backup, _ in done.copied] == list(IDS[1:])
    assert not any(IDS[0] in each for each in stores["c"].objects)


def test_without_the_identity_nothing_is_begun(home: World, other: age_keys.Identity) -> None:
    blind = holding(home.services)
    done = copy_to(blind, "shop", rows(home), "c", (other.recipient,), home.stop)
    assert {type(error) for _, _, error in done.failed} == {KeyFileError}
    assert home.identity.recipient.text in done.failed[0][2].message
    assert states(home) == {"a": "complete"}


def test_what_is_encrypted_to_them_already_is_copied_as_it_is(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    assert sent(home, home.identity) == list(IDS)
    assert stores["c"].backups == stores["a"].backups
    assert row(home).variants == {}


def test_another_backup_under_the_same_id_is_no_kin(home: World, other: age_keys.Identity) -> None:
    sent(home, other)
    first, second = row(home).stored_in("a"), row(home).stored_in("c")
    assert are_kin(first, second)
    [part] = second.backup.parts
    changed = dataclasses.replace(second.backup, parts=(dataclasses.replace(part, sha256="0" * 64),))
    assert not are_kin(first, dataclasses.replace(second, backup=changed))
    lone = dataclasses.replace(second.backup, origin=None)
    assert not are_kin(first, Stored(backup=lone, manifest=second.manifest, signature=b""))


def test_a_copy_in_the_place_of_one_that_we_can_open_is_noticed_and_mended(
    home: World, stores: dict[str, MemoryStore], other: age_keys.Identity
) -> None:
    """Both are signed for the same place: whoever can write to the store could exchange them."""
    sent(home, other)
    copy(home.services, "shop", IDS[0], "a", "b", home.stop)
    blind, own = holding(home.services), dict(stores["a"].objects)
    for key, data in stores["c"].objects.items():
        if IDS[0] in key:
            stores["a"].objects[key] = data
    for quick in (True, False):
        rebuild(blind, quick=quick, forget=False)
    (result,) = verify(blind, row(home), home.stop, store="a")
    assert "was replaced" in str(result.error)
    assert states(home) == {"a": "damaged", "b": "complete", "c": "complete"}
    (mended,) = repair(blind, row(home), home.stop, store="a")
    assert mended.error is None
    assert {key: stores["a"].objects[key] for key in own} == own
    assert states(home)["a"] == "complete"


def test_a_signer_that_is_not_trusted_makes_no_copy(home: World, other: age_keys.Identity) -> None:
    key = sign.generate()
    foreign = Keys(identities=(home.identity,), signing=key, trusted=(key.public, *home.keys.trusted))
    services = dataclasses.replace(home.services, keys=foreign)
    copy_to(services, "shop", rows(home), "c", (other.recipient,), home.stop)
    home.services.ledger.forget_copy(IDS[0], "c")
    problems = rebuild(home.services).problems
    assert any("not trusted" in problem for _, problem in problems)
    assert states(home) == {"a": "complete"}


@pytest.mark.parametrize("rights", ["all", "hide only", "none"])
def test_what_a_try_left_that_cannot_be_removed_is_never_taken_for_a_part_of_the_next(
    home: World, stores: dict[str, MemoryStore], other: age_keys.Identity, rights: str
) -> None:
    """Each try encrypts to a key of its own, and in a bucket with versions the first one written would count."""
    bucket = LockedStore("c", rule=None)
    bucket.asked.forbidden = set() if rights == "all" else {"delete"}
    services = home.services
    seen = past.seen_past({**stores, "c": bucket}, services.keys, services.ledger, services.clock)
    home.services = dataclasses.replace(services, stores=seen)

    def stage(name: str) -> None:
        if name == "manifest":
            raise KeyboardInterrupt

    def refused(key: str) -> None:
        raise RefusedError(f"{key} may not be deleted")

    if rights == "none":
        bucket.delete = refused  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        copy_to(home.staged(stage), "shop", rows(home), "c", (other.recipient,), home.stop)
    done = copy_to(home.services, "shop", rows(home), "c", (other.recipient,), home.stop)
    rebuild(home.services, forget=False)
    assert {backup for backup, _ in done.copied} == set(IDS if rights == "all" else IDS[1:])
    assert all("an earlier try left another one" in error.message for _, _, error in done.failed)
    assert states(home)["c"] == ("complete" if rights == "all" else "missing")
    for each in rows(home):
        found = verify(holding(home.services), each, home.stop)
        assert [one.error for one in found] == [None] * len(found)
    for _ in range(2):  # the others were tried no less for the one that cannot be made
        again = copy_to(home.services, "shop", rows(home), "c", (other.recipient,), home.stop)
        assert (again.copied, len(again.failed)) == ([], 0 if rights == "all" else 1)
    bucket.asked.forbidden.clear()
    if rights == "none":
        del bucket.delete
    sent(home, other, "c")
    rebuild(home.services, forget=False)
    (last,) = verify(holding(home.services), row(home), home.stop, store="c")
    assert (last.error, states(home)["c"]) == (None, "complete")


def test_a_copy_over_something_planted_that_cannot_be_removed_is_none(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    bucket = LockedStore("c", rule=None)
    bucket.asked.forbidden = {"delete"}
    services = home.services
    seen = past.seen_past({**stores, "c": bucket}, services.keys, services.ledger, services.clock)
    home.services = dataclasses.replace(services, stores=seen)
    bucket.put(f"shop/{IDS[0]}/{PART}", [b"planted"])
    with pytest.raises(IntegrityError, match="would be read in the place"):
        copy(home.services, "shop", IDS[0], "a", "c", home.stop)
    bucket.put(f"shop/{IDS[1]}/{PART}", [stores["a"].objects[f"shop/{IDS[1]}/{PART}"]])
    bucket.delete(f"shop/{IDS[1]}/{PART}")  # by ourselves: what is there beneath is the same
    copy(home.services, "shop", IDS[1], "a", "c", home.stop)
    rebuild(home.services, forget=False)
    assert [
        each.error for each in verify(holding(home.services), row(home, IDS[1]), home.stop, store="a")
    ] == [None]
