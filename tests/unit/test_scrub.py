"""The scrub notices what a store lost, in the copy whose turn it is, and remembers when each was looked at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from holdfast.jobs import runner, verify
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.scrub import scrub
from holdfast.ledger import scrubs
from holdfast.model.errors import IntegrityError
from holdfast.model.target import Target
from holdfast.stores.base import Stored
from holdfast.stores.local import LocalStore
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

ID = "20261121T020000Z-aaaa"
NOWHERE = "postgresql://nobody@127.0.0.1:1/"
DAY = timedelta(days=1)
TARGET = Target(name="shop", stores=("disk", "bucket"), scrub_every=60.0)


@pytest.fixture
def bucket() -> MemoryStore:
    return MemoryStore("bucket")


@pytest.fixture
def home(tmp_path: Path, bucket: MemoryStore) -> Iterator[World]:
    disk = LocalStore("disk", tmp_path / "disk")
    with world(tmp_path, NOWHERE, stores={"disk": disk, "bucket": bucket}) as made:
        made.services = replace(made.services, keys=replace(made.keys, identities=()))
        shelved(made.services, disk, ID)
        bucket.objects.update({found.key: b"".join(disk.get(found.key)) for found in disk.list()})
        rebuild(made.services)
        yield made


def problems(home: World, target: Target = TARGET) -> dict[str, str | None]:
    found = scrub(home.services, target, runner.Meter(), home.stop, interval=DAY)
    return {each.store: None if each.error is None else type(each.error).__name__ for each in found}


def states(home: World) -> dict[str, str]:
    (row,) = home.services.ledger.backups()
    return {each.store: each.state for each in row.copies}


def part(store: MemoryStore) -> str:
    return next(key for key in store.objects if key.endswith(".age"))


def test_every_copy_whose_turn_it_is_is_looked_at_and_remembered(home: World) -> None:
    assert problems(home) == {"disk": None, "bucket": None}
    assert set(scrubs.known(home.services.ledger)) == {(ID, "disk"), (ID, "bucket")}
    later = replace(TARGET, scrub_every=30 * 86400.0)
    assert problems(home, later) == {}
    assert problems(home, replace(TARGET, scrub_every=None)) == {}


def test_a_byte_that_a_disk_lost_is_noticed(home: World, tmp_path: Path, bucket: MemoryStore) -> None:
    path = tmp_path / "disk" / part(bucket)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)
    assert problems(home) == {"disk": "IntegrityError", "bucket": None}
    assert states(home) == {"disk": "damaged", "bucket": "complete"}


def test_a_bucket_is_asked_for_sizes_and_read_only_where_that_is_wanted(
    home: World, bucket: MemoryStore
) -> None:
    key = part(bucket)
    good = bucket.objects[key]
    bucket.objects[key] = bytes(len(good))
    assert problems(home)["bucket"] is None  # nobody knows yet which sums it had
    assert problems(home, replace(TARGET, scrub="full"))["bucket"] == IntegrityError.__name__
    bucket.objects[key] = good


def test_an_object_whose_sum_in_the_bucket_is_another_one_is_read(home: World, bucket: MemoryStore) -> None:
    later = replace(TARGET, scrub_every=30 * 86400.0)
    assert problems(home, later) == {}  # nothing's turn, but the sums are noted
    key = part(bucket)
    bucket.objects[key] = bytes(len(bucket.objects[key]))
    assert problems(home)["bucket"] == "IntegrityError"
    assert states(home)["bucket"] == "damaged"


def test_an_object_that_was_only_stored_anew_is_read_once_and_is_good(
    home: World, bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems(home)["bucket"] is None
    reads: list[str] = []
    whole = verify.verify

    def verified(*given: Any, **more: Any) -> list[verify.Verified]:  # noqa: ANN401 - as verify takes it
        reads.append(more["store"])
        return whole(*given, **more)

    monkeypatch.setattr(verify, "verify", verified)
    monkeypatch.setattr(
        bucket,
        "list",
        lambda prefix="": (replace(each, checksum="new") for each in MemoryStore.list(bucket, prefix)),
    )
    assert [problems(home)["bucket"] for _ in range(2)] == [None, None]
    assert reads.count("bucket") == 1


@pytest.mark.fault("damage.gone")
def test_an_object_that_is_gone_from_a_bucket_is_noticed(home: World, bucket: MemoryStore) -> None:
    del bucket.objects[part(bucket)]
    assert problems(home)["bucket"] == "IntegrityError"
    assert states(home)["bucket"] == "damaged"


def test_a_listing_that_is_cut_short_is_no_damage(
    home: World, bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems(home)["bucket"] is None
    monkeypatch.setattr(bucket, "list", lambda prefix="": islice(MemoryStore.list(bucket, prefix), 1))
    assert problems(home)["bucket"] is None
    assert states(home)["bucket"] == "complete"


def test_what_retention_hides_while_it_is_looked_at_is_left_alone(
    home: World, bucket: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert problems(home)["bucket"] is None
    lost = part(bucket)
    for change in (lambda: bucket.objects.update({lost: bytes(9)}), lambda: bucket.objects.pop(lost)):

        def hidden(prefix: str = "", change: Any = change) -> Iterator[Stored]:  # noqa: ANN401
            change()
            home.services.ledger.record_copy(ID, "bucket", "hidden", home.services.clock.now())
            listed = MemoryStore.list(bucket, prefix)
            return (replace(each, size=242, checksum="new") if each.key == lost else each for each in listed)

        home.services.ledger.record_copy(ID, "bucket", "complete", home.services.clock.now())
        monkeypatch.setattr(bucket, "list", hidden)
        assert "bucket" not in problems(home)
        assert states(home)["bucket"] == "hidden"
