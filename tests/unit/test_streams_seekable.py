"""Where the frames lie is told by the table; a table that lies is passed over, whatever it claims."""

from __future__ import annotations

import struct
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.streams import seekable
from holdfast.streams.compress import compress, decompress, decompress_frames
from support.frames import FRAMES, frames_of, small_frames
from support.streams import noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.streams.seekable import SeekTable


def packed(data: bytes, note: bytes | None = None) -> bytes:
    return b"".join(compress([data], note=None if note is None else lambda: note))


def reading(stream: bytes) -> Callable[[int, int], bytes]:
    def read(start: int, end: int) -> bytes:
        assert 0 <= start <= end <= len(stream)
        return stream[start:end]

    return read


def table_of(stream: bytes) -> SeekTable | None:
    return seekable.read_table(reading(stream), len(stream))


def footer(count: int, descriptor: int = 0, magic: int = 0x8F92EAB1) -> bytes:
    return struct.pack("<IBI", count, descriptor, magic)


def skippable(payload: bytes, magic: int = 0x184D2A5E, size: int | None = None) -> bytes:
    return struct.pack("<II", magic, len(payload) if size is None else size) + payload


@settings(deadline=None)
@given(st.binary(min_size=1, max_size=1000), FRAMES, st.data())
def test_any_range_lies_in_the_frames_that_the_table_tells(
    data: bytes, frame: int, choose: st.DataObject
) -> None:
    with small_frames(frame):
        stream = packed(data, choose.draw(st.none() | st.binary(max_size=20)))
    table = table_of(stream)
    assert table is not None
    assert table.size == len(data)
    start = choose.draw(st.integers(0, len(data) - 1))
    end = choose.draw(st.integers(start + 1, len(data)))
    frames = table.frames(start, end)
    assert frames == range(start // frame, -(-end // frame))
    piece = stream[table.stored[frames.start] : table.stored[frames.stop]]
    sizes = [table.plain[each + 1] - table.plain[each] for each in frames]
    found = b"".join(decompress_frames([piece], sizes))
    at = table.plain[frames.start]
    assert found[start - at : end - at] == data[start:end]


@pytest.mark.parametrize("note", [b"", b"x", noise(100_000), None])
@pytest.mark.parametrize("data", [b"", b"rows"])
def test_the_note_is_found_again(note: bytes | None, data: bytes) -> None:
    stream = packed(data, note)
    table = table_of(stream)
    assert table is not None
    assert table.size == len(data)
    assert seekable.read_note(reading(stream), table) == note
    assert b"".join(decompress([stream])) == data


def test_a_table_longer_than_the_first_look_is_read_whole() -> None:
    data = noise(20_000)
    with small_frames(1):
        stream = packed(data)
    table = table_of(stream)
    assert table is not None
    assert len(table.plain) == 20_001


def test_the_table_is_the_one_of_the_seekable_format() -> None:
    """Its specification, read for a stream of two frames and a note."""
    with small_frames(3):
        stream = packed(b"oneTW", b"note")
    one, two, note, table = frames_of(stream)
    entries = struct.pack("<6I", len(one), 3, len(two), 2, len(note), 0)
    assert table == struct.pack("<II", 0x184D2A5E, 24 + 9) + entries + struct.pack("<IBI", 3, 0, 0x8F92EAB1)


def test_a_table_with_checksums_is_read() -> None:
    frame, _ = frames_of(packed(b"rows"))
    stream = frame + skippable(struct.pack("<III", len(frame), 4, 12345) + footer(1, 0x80))
    table = table_of(stream)
    assert table is not None
    assert list(table.stored) == [0, len(frame)]
    assert list(table.plain) == [0, 4]


FRAME = frames_of(packed(b"rows"))[0]
ENTRY = struct.pack("<II", len(FRAME), 4)


@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"short",
        FRAME,
        FRAME + skippable(ENTRY + footer(1, magic=0x8F92EAB2)),
        FRAME + skippable(ENTRY + footer(1), magic=0x184D2A5D),
        FRAME + skippable(ENTRY + footer(1), size=18),
        FRAME + skippable(ENTRY + footer(1, 0x40)),
        FRAME + skippable(ENTRY + footer(1, 0x80)),
        FRAME + skippable(ENTRY + footer(2)),
        FRAME + skippable(ENTRY + footer(0)),
        FRAME + skippable(ENTRY + footer(2**32 - 1)),
        FRAME + skippable(ENTRY + footer(0x8000000)),
        FRAME + skippable(struct.pack("<II", len(FRAME) - 1, 4) + footer(1)),
        FRAME + skippable(struct.pack("<II", 2**32 - 1, 4) + footer(1)),
        FRAME + skippable(struct.pack("<IIII", len(FRAME), 4, 1, 0) + footer(2)),
        FRAME + skippable(ENTRY + footer(1)) + b"\0",
    ],
)
def test_a_table_that_does_not_fit_its_stream_is_none(stream: bytes) -> None:
    assert table_of(stream) is None


def test_a_table_that_claims_much_takes_no_memory() -> None:
    length = 2**40
    asked: list[int] = []

    def read(start: int, end: int) -> bytes:
        asked.append(end - start)
        return bytes(end - start - 9) + footer(0x8000000)

    tracemalloc.start()
    try:
        assert seekable.read_table(read, length) is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert max(asked) <= 64 * 1024


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_of_the_table_never_breaks_the_reader(place: int, flip: int) -> None:
    with small_frames(10):
        stream = bytearray(packed(b"rows of a table" * 5, b"a note"))
    table_bytes = len(frames_of(bytes(stream))[-1])
    stream[-1 - place % table_bytes] ^= flip
    table = table_of(bytes(stream))
    if table is not None:
        note = seekable.read_note(reading(bytes(stream)), table)
        assert note in (None, b"a note")


@pytest.mark.parametrize(
    "note",
    [
        skippable(b"note", magic=0x184D2A52),
        skippable(b"note", magic=0x184D2A51, size=3),
        b"\x51\x2a\x4d\x18",
    ],
)
def test_what_is_no_note_is_none(note: bytes) -> None:
    entries = ENTRY + struct.pack("<II", len(note), 0)
    stream = FRAME + note + skippable(entries + footer(2))
    table = table_of(stream)
    assert table is not None
    assert seekable.read_note(reading(stream), table) is None


def test_a_note_that_no_reader_would_take_is_left_empty() -> None:
    assert seekable.note(bytes(32 * 1024**2 + 1)) == skippable(b"", magic=0x184D2A51)
