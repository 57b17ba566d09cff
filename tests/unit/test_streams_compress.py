from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from holdfast.model.errors import IntegrityError
from holdfast.streams.compress import FRAME_BYTES, compress, decompress, decompress_frames, spare_threads
from support.frames import FRAMES, frames_of, small_frames
from support.streams import SourceError, cut, cuttings, noise, then_failing

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = bytes.fromhex("28b52ffd")


def squeezed(data: bytes, level: int = 1, threads: int = 0) -> bytes:
    return b"".join(compress([data], level=level, threads=threads))


def opened(data: bytes) -> bytes:
    return b"".join(decompress([data]))


@settings(deadline=None)
@given(st.binary(max_size=2000), cuttings(300), cuttings(50), st.sampled_from([0, 1, 3]), FRAMES)
def test_any_chunking_round_trips(
    data: bytes, sizes: list[int], other: list[int], threads: int, frame: int
) -> None:
    with small_frames(frame):
        packed = b"".join(compress(cut(data, sizes), threads=threads))
    assert b"".join(decompress(cut(packed, other))) == data


@settings(deadline=None)
@given(st.binary(max_size=500), cuttings(100), st.sampled_from([0, 1, 3]), FRAMES)
def test_frames_depend_on_the_data_alone(data: bytes, sizes: list[int], threads: int, frame: int) -> None:
    with small_frames(frame):
        packed = b"".join(compress(cut(data, sizes), threads=threads))
        assert packed == squeezed(data)
    expected = [data[at : at + frame] for at in range(0, len(data), frame)] or [b""]
    assert [opened(each) for each in frames_of(packed)[:-1]] == expected


@pytest.mark.parametrize("level", [1, 3, 19])
def test_every_level_that_the_config_knows_opens_again(level: int) -> None:
    data = noise(300_000) + bytes(3_000_000) + noise(300_000)
    packed = squeezed(data, level, threads=1)
    assert len(packed) < 700_000
    assert opened(packed) == data


def test_each_frame_has_a_checksum_and_tells_its_size() -> None:
    packed = squeezed(b"rows" * (FRAME_BYTES // 2))
    *frames, table = frames_of(packed)
    assert [len(opened(frame)) for frame in frames] == [FRAME_BYTES, FRAME_BYTES]
    for frame in frames:
        # The flags of the frame header (RFC 8878, 3.1.1.1.1): content checksum, and a content size of four bytes.
        assert frame[4] & 0b11000100 == 0b10000100
    assert not opened(table)


def test_every_truncation_inside_a_frame_is_refused() -> None:
    """A row of frames that ends between two of them is a shorter row: that, the digest of the part tells."""
    data = b"row\t1\n" * 50 + noise(40)
    with small_frames(200):
        packed = squeezed(data)
    borders: dict[int, bytes] = {}
    at = 0
    for frame in frames_of(packed):
        at += len(frame)
        borders[at] = data[: len(borders) * 200 + 200]
    for end in range(len(packed)):
        if end in borders:
            assert opened(packed[:end]) == borders[end]
        else:
            with pytest.raises(IntegrityError):
                opened(packed[:end])


def test_altered_content_is_refused() -> None:
    packed = squeezed(noise(5000))
    for place in range(20, len(packed), 97):
        with pytest.raises(IntegrityError):
            opened(packed[:place] + bytes([packed[place] ^ 1]) + packed[place + 1 :])


@pytest.mark.parametrize("tail", [b"\0", b"garbage", MAGIC, noise(4096)])
def test_anything_behind_the_frame_is_refused(tail: bytes) -> None:
    with pytest.raises(IntegrityError):
        opened(squeezed(b"rows") + tail)
    with pytest.raises(IntegrityError):
        list(decompress([squeezed(b"rows"), tail]))


def test_data_that_is_not_zstd_is_refused() -> None:
    with pytest.raises(IntegrityError, match="damaged"):
        opened(b"-- PostgreSQL database dump\n")


def test_frames_one_after_the_other_are_read_as_one_stream() -> None:
    assert opened(squeezed(b"one ") + squeezed(b"") + squeezed(b"two")) == b"one two"
    assert b"".join(decompress([squeezed(b"one "), b"", squeezed(b"two")])) == b"one two"


def test_an_empty_stream_is_a_frame_and_no_bytes_are_not() -> None:
    assert squeezed(b"").startswith(MAGIC)
    assert opened(squeezed(b"")) == b""
    with pytest.raises(IntegrityError, match="ends early"):
        opened(b"")


def test_a_small_frame_that_unfolds_to_much_comes_in_small_pieces() -> None:
    packed = b"".join(compress(bytes(1_000_000) for _ in range(100)))
    assert len(packed) < 50_000
    sizes = [len(piece) for piece in decompress([packed])]
    assert sum(sizes) == 100_000_000
    assert max(sizes) <= 1024 * 1024


def test_a_frame_comes_in_one_piece_whatever_the_chunks_were() -> None:
    pieces = list(compress(noise(1000, seed) for seed in range(5000)))
    assert pieces == frames_of(b"".join(pieces))
    assert len(pieces) == 4  # three frames and the table


@pytest.mark.parametrize(("window", "accepted"), [(23, True), (25, True), (26, False), (31, False)])
def test_the_memory_that_a_frame_may_ask_for_is_bounded(window: int, *, accepted: bool) -> None:
    # A frame made by hand (RFC 8878, 3.1.1): no flags, a window of 2^window bytes, one last raw block of three bytes.
    frame = MAGIC + bytes([0, (window - 10) << 3]) + bytes([3 << 3 | 1, 0, 0]) + b"row"
    if accepted:
        assert opened(frame) == b"row"
    else:
        with pytest.raises(IntegrityError):
            opened(frame)


@pytest.mark.parametrize("threads", [0, 1, 3])
@pytest.mark.parametrize("size", [0, 1000, 2 * FRAME_BYTES + 1])
def test_an_error_of_the_source_ends_the_stream_and_every_thread(threads: int, size: int) -> None:
    with pytest.raises(SourceError):
        list(compress(then_failing([noise(size)]), threads=threads))
    assert not compressing()


def test_an_error_of_the_source_ends_the_reading_too() -> None:
    with pytest.raises(SourceError):
        list(decompress(then_failing([squeezed(noise(1000))])))


def compressing() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("compress")]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_stream_that_is_closed_early_ends_its_threads(threads: int) -> None:
    stream = compress((noise(FRAME_BYTES, seed) for seed in range(20)), threads=threads)
    assert next(stream)
    assert compressing()
    stream.close()  # type: ignore[attr-defined]
    assert not compressing()


def test_the_note_is_asked_for_after_the_last_chunk() -> None:
    told: list[bytes] = []

    def source() -> Iterator[bytes]:
        yield b"rows"
        told.append(b"known at the end")

    packed = b"".join(compress(source(), note=lambda: told[0]))
    assert opened(packed) == b"rows"
    assert frames_of(packed)[1].endswith(b"known at the end")


@pytest.mark.parametrize(
    ("sizes", "given"),
    [
        ([3, 2], b"one"),
        ([4, 2], b"one"),
        ([4, 3], b"one"),
        ([2, 4], b""),
        ([6], b"one"),
        ([3], b"one"),
        ([3, 0, 3], b"one"),
        ([3, 3, 1], b"oneTWO"),
        ([0, 6], b""),
        ([], b""),
    ],
)
def test_nothing_is_given_from_behind_a_frame_of_another_size_than_told(
    sizes: list[int], given: bytes
) -> None:
    with small_frames(3):
        packed = b"".join(frames_of(squeezed(b"oneTWO"))[:-1])
    assert b"".join(decompress_frames([packed], [3, 3])) == b"oneTWO"
    found: list[bytes] = []
    with pytest.raises(IntegrityError, match="other sizes"):
        found.extend(decompress_frames([packed], sizes))
    assert b"".join(found) == given


def test_a_thread_is_spared_where_there_is_a_second_processor() -> None:
    assert [spare_threads(cpus) for cpus in (None, 1, 2, 64)] == [0, 0, 1, 1]


def test_compression_stays_small_in_memory() -> None:
    program = """
import random, resource
from holdfast.streams.compress import compress, decompress
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
def source():
    for number in range(3000):
        yield random.Random(number).randbytes(32768) + bytes(32768)
before = peak()
for _ in decompress(compress(source(), level=1, threads=1)):
    pass
print((peak() - before) // 1024)
"""
    env = {**os.environ, "PYTHONPATH": str(Path(holdfast.__file__).parents[1])}
    found = subprocess.run(
        [sys.executable, "-c", program], env=env, check=True, capture_output=True, text=True
    )
    assert int(found.stdout) < 60  # MiB, for 190 MiB that went through


def test_nothing_is_pulled_before_it_is_asked_for() -> None:
    def source() -> Iterator[bytes]:
        raise AssertionError("pulled")
        yield b""

    compress(source())
    decompress(source())
