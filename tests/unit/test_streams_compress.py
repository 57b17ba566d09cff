from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import holdfast
from holdfast.model.errors import IntegrityError
from holdfast.streams.compress import compress, decompress, spare_threads
from support.streams import SourceError, cut, cuttings, noise, then_failing

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = bytes.fromhex("28b52ffd")


def squeezed(data: bytes, level: int = 1, threads: int = 0) -> bytes:
    return b"".join(compress([data], level=level, threads=threads))


def opened(data: bytes) -> bytes:
    return b"".join(decompress([data]))


@settings(deadline=None)
@given(st.binary(max_size=2000), cuttings(300), cuttings(50), st.sampled_from([0, 1]))
def test_any_chunking_round_trips(data: bytes, sizes: list[int], other: list[int], threads: int) -> None:
    packed = b"".join(compress(cut(data, sizes), threads=threads))
    assert b"".join(decompress(cut(packed, other))) == data


@pytest.mark.parametrize("level", [1, 3, 19])
def test_every_level_that_the_config_knows_opens_again(level: int) -> None:
    data = noise(300_000) + bytes(3_000_000) + noise(300_000)
    packed = squeezed(data, level, threads=1)
    assert len(packed) < 700_000
    assert opened(packed) == data


def test_a_backup_is_one_frame_with_a_checksum() -> None:
    packed = squeezed(b"rows" * 100)
    assert packed.startswith(MAGIC)
    assert packed[4] & 0b100  # the content checksum flag of the frame header (RFC 8878, 3.1.1.1.1)


def test_every_truncation_is_refused() -> None:
    packed = squeezed(b"row\t1\n" * 50 + noise(40))
    for end in range(len(packed)):
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


def test_compressed_pieces_are_large_whatever_the_chunks_were() -> None:
    pieces = list(compress(noise(1000, seed) for seed in range(1000)))
    assert all(len(piece) == 256 * 1024 for piece in pieces[:-1])
    assert len(pieces) == 4


@pytest.mark.parametrize(("window", "accepted"), [(23, True), (25, True), (26, False), (31, False)])
def test_the_memory_that_a_frame_may_ask_for_is_bounded(window: int, *, accepted: bool) -> None:
    # A frame made by hand (RFC 8878, 3.1.1): no flags, a window of 2^window bytes, one last raw block of three bytes.
    frame = MAGIC + bytes([0, (window - 10) << 3]) + bytes([3 << 3 | 1, 0, 0]) + b"row"
    if accepted:
        assert opened(frame) == b"row"
    else:
        with pytest.raises(IntegrityError):
            opened(frame)


@pytest.mark.parametrize("threads", [0, 1])
def test_an_error_of_the_source_ends_the_stream(threads: int) -> None:
    with pytest.raises(SourceError):
        list(compress(then_failing([noise(1000)]), threads=threads))
    with pytest.raises(SourceError):
        list(decompress(then_failing([squeezed(noise(1000))])))


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
