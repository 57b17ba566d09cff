"""A piece of an age file is what a full decryption gives there, or an error."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.streams import age, age_header, age_keys
from holdfast.streams.age_ranges import AgeRanges
from support.streams import noise

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.streams.age_keys import Identity

CHUNK = 64 * 1024
SEALED = CHUNK + 16
IDENTITY = age_keys.generate()
SIZES = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 16 * CHUNK, 16 * CHUNK + 1, 33 * CHUNK + 5]


class File:
    """An age file in memory; `asked` are the ranges that were read."""

    def __init__(self, plain: bytes, identity: Identity = IDENTITY, recipients: int = 1) -> None:
        others = [
            age_keys.generate(post_quantum=identity.recipient.post_quantum) for _ in range(recipients - 1)
        ]
        everyone = [*(other.recipient for other in others), identity.recipient]
        head, *rest = age.encrypt([plain], everyone)
        self.digest = hashlib.sha256(head).hexdigest()
        self.stored = head + b"".join(rest)
        self.payload = len(head)
        self.asked: list[tuple[int, int]] = []

    def read(self, start: int, end: int) -> Iterator[bytes]:
        assert 0 <= start < end
        self.asked.append((start, end))
        for at in range(start, end, 30_000):
            yield self.stored[at : min(end, at + 30_000)]

    def opened(self, *, size: int | None = None, identity: Identity = IDENTITY) -> AgeRanges:
        told = len(self.stored) if size is None else size
        return AgeRanges(self.read, told, [identity], header_sha256=self.digest)

    def last_byte(self) -> bytes:
        found = self.opened()
        return b"".join(found.read(max(0, found.size - 1), found.size))


@pytest.mark.parametrize("size", SIZES)
def test_every_size_opens_whole(size: int) -> None:
    data = noise(size)
    found = File(data).opened()
    assert found.size == size
    assert b"".join(found.read(0, size)) == data


DATA = noise(35 * CHUNK + 77)
FILE = File(DATA)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_any_range_is_the_slice(choose: st.DataObject) -> None:
    near = st.integers(0, 35).map(lambda chunk: chunk * CHUNK) | st.integers(0, len(DATA))
    offsets = near.flatmap(lambda at: st.integers(-2, 2).map(lambda more: at + more))
    start, end = sorted(min(max(choose.draw(offsets), 0), len(DATA)) for _ in range(2))
    assert b"".join(FILE.opened().read(start, end)) == DATA[start:end]


def test_only_the_chunks_of_the_range_are_read() -> None:
    file = File(DATA)
    found = file.opened()
    file.asked.clear()
    assert b"".join(found.read(5 * CHUNK + 1, 7 * CHUNK)) == DATA[5 * CHUNK + 1 : 7 * CHUNK]
    assert file.asked == [(file.payload + 5 * SEALED, file.payload + 7 * SEALED)]
    assert list(found.read(9, 9)) == []
    assert len(file.asked) == 1


@pytest.mark.parametrize("recipients", [1, 20])
@pytest.mark.parametrize("post_quantum", [False, True])
def test_a_header_of_any_length_is_read(recipients: int, *, post_quantum: bool) -> None:
    identity = age_keys.generate(post_quantum=post_quantum)
    file = File(DATA[: 2 * CHUNK], identity, recipients)
    assert b"".join(file.opened(identity=identity).read(7, 70_000)) == DATA[7:70_000]
    assert sum(end - start for start, end in file.asked[:-1]) < file.payload + 9000


@pytest.mark.parametrize(("start", "end"), [(-1, 5), (5, 4), (0, len(DATA) + 1)])
def test_what_is_not_there_cannot_be_asked_for(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="no bytes"):
        FILE.opened().read(start, end)


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_a_flipped_bit_in_the_chunks_of_the_range_raises(choose: st.DataObject) -> None:
    file = File(DATA[: 4 * CHUNK + 9])
    found = file.opened()
    start = choose.draw(st.integers(0, 4 * CHUNK + 8))
    end = choose.draw(st.integers(start + 1, 4 * CHUNK + 9))
    first = file.payload + start // CHUNK * SEALED
    behind = min(len(file.stored), file.payload + -(-end // CHUNK) * SEALED)
    place = choose.draw(st.integers(first, behind - 1))
    stored = bytearray(file.stored)
    stored[place] ^= 1 << choose.draw(st.integers(0, 7))
    file.stored = bytes(stored)
    with pytest.raises(IntegrityError, match="altered"):
        list(found.read(start, end))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 4 * SEALED))
def test_a_file_that_is_cut_short_raises_at_its_end(cut: int) -> None:
    file = File(DATA[: 4 * CHUNK])
    whole = len(file.stored)
    file.stored = file.stored[: whole - cut - 1]
    with pytest.raises(IntegrityError):
        list(file.opened(size=whole).read(3 * CHUNK, 4 * CHUNK))
    with pytest.raises(IntegrityError):  # also where its size is told as it is now
        file.last_byte()


def test_chunks_in_another_order_raise() -> None:
    file = File(DATA[: 4 * CHUNK])
    head, rest = file.stored[: file.payload], file.stored[file.payload :]
    chunks = [rest[at : at + SEALED] for at in range(0, len(rest), SEALED)]
    file.stored = head + chunks[1] + chunks[0] + chunks[3] + chunks[2]
    for number in range(4):
        with pytest.raises(IntegrityError, match="altered"):
            list(file.opened().read(number * CHUNK, number * CHUNK + 1))


def test_a_last_chunk_of_nothing_is_malformed() -> None:
    file = File(DATA[:CHUNK])
    with pytest.raises(IntegrityError, match="altered or cut short") as caught:
        file.opened(size=len(file.stored) + 16)
    assert "an older backup" in str(caught.value.hint)


def test_another_file_to_the_same_recipient_is_refused() -> None:
    theirs = File(b"CREATE FUNCTION evil")
    theirs.digest = File(b"our rows").digest
    with pytest.raises(IntegrityError, match="not the one that was written"):
        theirs.opened()


def test_an_altered_header_is_refused_even_with_its_own_digest() -> None:
    file = File(b"rows")
    at = file.stored.index(b"\n---") - 5
    file.stored = (
        file.stored[:at] + (b"A" if file.stored[at : at + 1] != b"A" else b"B") + file.stored[at + 1 :]
    )
    end = age_header.end_of(file.stored)
    assert end is not None
    file.digest = hashlib.sha256(file.stored[: end + 16]).hexdigest()
    with pytest.raises((IntegrityError, KeyFileError)):
        file.opened()


def test_another_identity_does_not_open_it() -> None:
    with pytest.raises(KeyFileError, match="does not open"):
        FILE.opened(identity=age_keys.generate())
