"""What is read back is what was written, and what is not ours is refused before a byte of it is used."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from holdfast.jobs import reading, writing
from holdfast.jobs.services import Keys
from holdfast.methods.base import Source
from holdfast.model.backup import Part
from holdfast.model.errors import IntegrityError
from holdfast.model.target import Compression
from holdfast.streams import age_keys
from support.memory_store import MemoryStore

IDENTITY = age_keys.generate()
KEYS = Keys(recipients=(IDENTITY.recipient,), identities=(IDENTITY,))


def place(store: MemoryStore) -> writing.Place:
    return writing.Place(store=store, target="shop", backup_id="20261122T020000Z-7f3a")


def written(store: MemoryStore, chunks: Iterator[bytes], *, encrypted: bool = True) -> Part:
    source = Source(role="database", format="custom", stem="app", database="app", chunks=chunks)
    return writing.write_part(
        place(store),
        source,
        recipients=KEYS.recipients if encrypted else (),
        compression=Compression(),
        on_bytes=lambda _: None,
    )


@pytest.mark.parametrize("encrypted", [True, False])
def test_a_part_is_read_as_it_was_printed(*, encrypted: bool) -> None:
    store = MemoryStore()
    part = written(store, iter([b"one", b"two"]), encrypted=encrypted)
    assert b"".join(reading.plain_chunks(place(store), part, KEYS)) == b"onetwo"
    assert (part.header_sha256 is not None) == encrypted


def test_a_dump_that_a_stranger_encrypted_to_us_gives_no_byte() -> None:
    """pg_restore runs what it is given while it still reads: that the digest differs at the end is too late."""
    ours, theirs = MemoryStore(), MemoryStore()
    part = written(ours, iter([b"our rows"]))
    written(theirs, iter([b"CREATE FUNCTION evil"]))
    ours.objects = theirs.objects
    with pytest.raises(IntegrityError, match="not the one that was written"):
        next(reading.plain_chunks(place(ours), part, KEYS))
