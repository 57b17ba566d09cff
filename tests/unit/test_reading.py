"""What is read back is what was written, and what is not ours is refused before a byte of it is used."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing

import pytest

from holdfast.jobs import reading, writing
from holdfast.jobs.services import Keys
from holdfast.methods.base import Source
from holdfast.model.backup import Part
from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.model.target import Compression
from holdfast.streams import age_keys
from support.memory_store import MemoryStore

IDENTITY = age_keys.generate()
KEYS = Keys(recipients=(IDENTITY.recipient,), identities=(IDENTITY,))


class Watched(MemoryStore):
    """A store that knows how many of its objects are being read; they come in pieces."""

    reading = 0

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """See Store."""
        self.reading += 1
        try:
            data = b"".join(super().get(key, start=start, length=length))
            yield from (data[at : at + 200] for at in range(0, len(data), 200))
        finally:
            self.reading -= 1


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


STRANGER = Keys(recipients=(), identities=(age_keys.generate(),))


@pytest.mark.parametrize("threads", [True, False], ids=["in threads", "in one thread"])
@pytest.mark.parametrize("keys", [KEYS, STRANGER], ids=["damaged", "not ours"])
def test_an_object_that_does_not_open_is_not_kept_open_for_as_long_as_its_error(
    keys: Keys, *, threads: bool
) -> None:
    """A look at thousands of backups keeps the error of each; their files and connections would be too many."""
    store = Watched()
    part = written(store, iter([random.Random(1).randbytes(9000)]))
    if keys is KEYS:
        [(key, data)] = store.objects.items()
        store.objects[key] = data[:60] + b"~" + data[61:]
    error = None
    try:
        for _ in reading.plain_chunks(place(store), part, keys, threads=threads):
            pass
    except (IntegrityError, KeyFileError) as caught:
        error = caught
    assert error is not None
    assert error.__traceback__ is not None
    assert store.reading == 0


@pytest.mark.parametrize("threads", [True, False], ids=["in threads", "in one thread"])
def test_an_object_that_is_read_in_part_is_closed_with_its_reader(*, threads: bool) -> None:
    store = Watched()
    chunks = reading.plain_chunks(
        place(store), written(store, iter([random.Random(1).randbytes(12_000_000)])), KEYS, threads=threads
    )
    with closing(chunks):
        next(chunks)  # threads run ahead by a few megabytes
        assert store.reading == 1
    assert store.reading == 0
