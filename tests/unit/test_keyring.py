"""Which key opens what, when an identity may go, and whether the canary notices one that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import canary, runner, scheduled
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.checks.keys import check_known
from holdfast.jobs.keyring import Keyring, Opening, keyring
from holdfast.jobs.prune import Wish, prune
from holdfast.jobs.reencrypt import copy_to
from holdfast.jobs.services import Services
from holdfast.jobs.status import status
from holdfast.ledger import canaries
from holdfast.model import manifest
from holdfast.model.errors import StoreError
from holdfast.model.retention import FOREVER
from holdfast.model.run import MANUAL
from holdfast.render import keys as render_keys
from holdfast.streams import age_keys, sign
from holdfast.streams.age_keys import Identity
from support.yard import DAY, Yard, yard


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path, ("a", "b")) as made:
        made.target = replace(made.target, stores=("a",))
        yield made


@pytest.fixture
def new() -> Identity:
    return age_keys.generate()


def rotate(place: Yard, new: Identity, *identities: Identity) -> None:
    """New backups go to the new recipient; the identities at hand are those given."""
    keys = replace(place.made.keys, recipients=(new.recipient,), identities=identities)
    place.made.services = replace(place.made.services, keys=keys)


def ring(place: Yard) -> Keyring:
    return keyring(place.services, [place.target])


def of(place: Yard, identity: Identity) -> Opening:
    return next(each for each in ring(place).openings if each.recipient == identity.recipient.text)


def test_each_key_is_told_with_what_it_opens(place: Yard, new: Identity) -> None:
    old = place.made.identity
    first = place.take(3)
    rotate(place, new, new)
    second = place.take(2)
    before, after = of(place, old), of(place, new)
    assert (before.current, before.here, before.backups, before.only) == (False, False, 3, 3)
    assert (before.oldest, before.newest, before.last) == (first[0], first[2], first[2])
    assert (after.current, after.here, after.backups, after.copies) == (True, True, 2, 2)
    assert after.newest == second[-1]


def test_an_identity_may_go_when_its_last_backup_is_removed(place: Yard, new: Identity) -> None:
    """It is, on the day that was told and not before: by retention, backup after backup."""
    place.take(3)
    rotate(place, new, new)
    place.take()
    told = of(place, place.made.identity).expires_at
    assert told is not None
    while any(each.recipient == place.made.identity.recipient.text for each in ring(place).openings):
        place.take()
        place.prune()
        assert place.clock.now() < told + 3 * DAY
    assert place.clock.now() >= told


def test_what_is_kept_for_good_keeps_its_identity(
    place: Yard, new: Identity, capsys: pytest.CaptureFixture[str]
) -> None:
    first = place.take()
    rotate(place, new)
    place.take()
    place.rules(yearly=FOREVER)
    found = of(place, place.made.identity)
    assert (found.expires_at, found.last) == (None, first[0])
    render_keys.keys(ring(place), place.clock.now())
    said = capsys.readouterr().out
    assert f"never, by today's rules: {first[0]} is kept for good" in said
    assert "not while new backups are encrypted to it" in said


def test_a_copy_for_others_needs_no_other_key(place: Yard, new: Identity) -> None:
    [only] = place.take()
    rows = place.services.ledger.backups()
    copy_to(place.services, "shop", rows, "b", (new.recipient,), place.made.stop)
    old, theirs = of(place, place.made.identity), of(place, new)
    assert (old.backups, old.only, old.copies) == (1, 0, 1)
    assert (theirs.backups, theirs.only, theirs.current, theirs.here) == (1, 0, False, False)
    assert theirs.expires_at is None  # no target names that store: nobody prunes it
    assert theirs.last == only


def test_signers_are_told_with_what_they_signed(place: Yard) -> None:
    taken = place.take(2)
    signer = next(each for each in ring(place).signers if each.newest is not None)
    assert (signer.backups, signer.newest) == (2, taken[-1])
    own = next(each for each in ring(place).signers if each.own)
    assert (own.public, own.named) == (place.made.keys.signer().public.text, False)


def tried(place: Yard, services: Services | None = None) -> dict[tuple[str, str], str | None]:
    found = canary.canary(services or place.services, "shop", place.made.stop)
    return {(each.recipient[-6:], each.which): each.error for each in found}


def test_the_canary_opens_the_oldest_and_the_newest_with_each_identity(place: Yard, new: Identity) -> None:
    old = place.made.identity
    place.take(2)
    rotate(place, new, old, new)
    place.take(2)
    ends = [(key.recipient.text[-6:], which) for key in (old, new) for which in ("oldest", "newest")]
    assert tried(place) == dict.fromkeys(ends)
    assert {each.error for each in canaries.known(place.services.ledger, "shop")} == {None}
    assert [each.which for each in of(place, old).tried] == ["oldest", "newest"]
    run = place.services.ledger.last_run("shop", "canary", ["succeeded"])
    assert run is not None


def test_an_identity_that_was_taken_away_too_early_is_noticed(place: Yard, new: Identity) -> None:
    place.take(2)
    rotate(place, new, new)
    place.take(2)
    [finding] = check_known(place.services)
    assert (finding.level, "2 backups" in finding.message) == ("warn", True)
    found = tried(place)
    assert "no identity here is one of its recipients" in str(found["", "oldest"])
    assert found[new.recipient.text[-6:], "newest"] is None
    assert any(
        "the oldest backup does not open" in text
        for text in status(place.services, [place.target])[0].problems
    )
    kind = next(each for each in scheduled.KINDS if each.job == "canary")
    with pytest.raises(canary.CanaryError, match="does not open"):
        kind.run(place.services, place.target, place.made.stop, MANUAL)
    failed = place.services.ledger.last_run("shop", "canary", ["failed"])
    assert failed is not None
    assert failed.error_code == "key"
    rotate(place, new, place.made.identity, new)
    assert set(tried(place).values()) == {None}
    assert list(check_known(place.services)) == []
    assert status(place.services, [place.target])[0].problems == ()


def test_each_identity_is_tried_alone(place: Yard, new: Identity) -> None:
    """A manifest may name a recipient whom the file was not encrypted to: others that open it prove nothing for him."""
    old = place.made.identity
    rotate(place, new, old, new)
    [backup_id] = place.take()
    made, objects = place.row(backup_id).backup, place.stores["a"].objects
    both = (old.recipient.text, new.recipient.text)
    data = manifest.dump(replace(made, parts=tuple(replace(part, recipients=both) for part in made.parts)))
    key, comment = f"shop/{backup_id}/manifest.json", f"holdfast shop/{backup_id}/manifest.json"
    objects[key] = data
    objects[f"{key}.minisig"] = sign.sign(data, place.made.keys.signer(), trusted_comment=comment)
    place.services.ledger.forget_backup(backup_id)
    rebuild(place.services)
    found = tried(place)
    assert "does not open the age file" in str(found[old.recipient.text[-6:], "newest"])
    assert found[new.recipient.text[-6:], "newest"] is None


def test_a_header_that_is_another_is_noticed(place: Yard) -> None:
    taken = place.take(2)
    key = f"shop/{taken[0]}/globals.sql.zst.age"
    place.stores["a"].objects[key] = place.stores["a"].objects[f"shop/{taken[1]}/globals.sql.zst.age"]
    found = tried(place)
    recipient = place.made.identity.recipient.text[-6:]
    assert "not the one that was written" in str(found[recipient, "oldest"])
    assert found[recipient, "newest"] is None


def test_a_store_that_is_away_says_nothing_of_keys(place: Yard) -> None:
    place.take(2)
    assert set(tried(place).values()) == {None}
    before = canaries.known(place.services.ledger, "shop")

    def away(*_: object, **__: object) -> Iterator[bytes]:
        raise StoreError("a is away")

    place.stores["a"].get = away  # type: ignore[method-assign]
    with pytest.raises(StoreError):
        tried(place)
    assert canaries.known(place.services.ledger, "shop") == before


def test_a_backup_that_is_only_in_a_store_of_the_past_keeps_nobody_from_trying_the_others(
    place: Yard,
) -> None:
    taken, ledger = place.take(3), place.services.ledger
    ledger.forget_copy(taken[0], "a")
    ledger.record_copy(taken[0], "sold", "complete", place.clock.now())
    assert set(tried(place).values()) == {None}


def test_without_a_backup_there_is_nothing_to_open(place: Yard) -> None:
    with pytest.raises(runner.SkippedError):
        tried(place)


def test_only_the_beginning_of_a_large_part_is_read(place: Yard) -> None:
    place.put(place.clock.now(), size=1)
    rebuild(place.services)
    read: list[int] = []
    get = place.stores["a"].get

    def counted(key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        for chunk in get(key, start=start, length=length):
            if key.endswith(".age"):
                read.append(length or -1)
            yield chunk

    place.stores["a"].get = counted  # type: ignore[method-assign]
    assert set(tried(place).values()) == {None}
    assert read
    assert -1 not in read


def test_what_waits_to_be_removed_still_needs_its_key(place: Yard, new: Identity) -> None:
    place.take(4)
    rotate(place, new, new)
    prune(place.services, place.target, place.made.stop, wish=Wish())
    [hidden] = place.hidden()
    found = of(place, place.made.identity)
    assert found.oldest == hidden
    assert found.expires_at is not None
    assert found.expires_at > place.clock.now() + timedelta(days=3)
