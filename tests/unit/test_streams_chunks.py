from __future__ import annotations

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.streams.chunks import Checksum, Tally, counted, rechunk, split, tally, views
from support.streams import SourceError, cut, cuttings, noise, then_failing


@given(st.binary(max_size=300), cuttings(40))
def test_a_tally_counts_and_digests_what_passes(data: bytes, sizes: list[int]) -> None:
    seen = Tally()
    assert b"".join(tally(cut(data, sizes), seen)) == data
    assert (seen.size, seen.sha256) == (len(data), hashlib.sha256(data).hexdigest())


@given(data=st.binary(max_size=300), sizes=cuttings(40), at=st.integers(min_value=0))
def test_a_checksum_is_of_the_bytes_however_they_are_cut(data: bytes, sizes: list[int], at: int) -> None:
    whole, cut_up, other = Checksum(), Checksum(), Checksum()
    whole.add(data)
    assert b"".join(tally(cut(data, sizes), cut_up)) == data
    assert (cut_up.size, cut_up.value) == (len(data), whole.value)
    if data:
        place = at % len(data)
        other.add(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        assert other.value != whole.value


def test_a_tally_knows_each_chunk_before_it_is_passed_on() -> None:
    seen = Tally()
    assert [seen.size for _ in tally([b"ab", b"c"], seen)] == [2, 3]


def test_counted_tells_the_length_of_every_chunk() -> None:
    told: list[int] = []
    assert list(counted([b"ab", b"", b"c"], told.append)) == [b"ab", b"", b"c"]
    assert told == [2, 0, 1]


@given(st.binary(max_size=300), cuttings(40), st.integers(min_value=1, max_value=50))
def test_rechunk_gives_exact_blocks(data: bytes, sizes: list[int], size: int) -> None:
    assert list(rechunk(cut(data, sizes), size)) == [data[at : at + size] for at in range(0, len(data), size)]


def test_a_block_that_lies_in_one_chunk_is_not_copied() -> None:
    chunk = b"abcdefg"
    first, second, third = views([b"12", chunk], 3)
    assert (bytes(first), bytes(second), bytes(third)) == (b"12a", b"bcd", b"efg")
    assert (first.obj is chunk, second.obj is chunk, third.obj is chunk) == (False, True, True)


def test_rechunk_passes_an_error_on() -> None:
    with pytest.raises(SourceError):
        list(rechunk(then_failing([b"abc"]), 2))


def test_rechunk_gives_a_block_as_soon_as_it_is_full() -> None:
    blocks = rechunk(then_failing([b"abc"]), 2)
    assert next(blocks) == b"ab"


def test_rechunk_of_tiny_chunks_takes_linear_time() -> None:
    started = time.perf_counter()
    assert sum(map(len, rechunk((b"x" for _ in range(500_000)), 400_000))) == 500_000
    assert time.perf_counter() - started < 20


@pytest.mark.parametrize("size", [0, -1])
def test_blocks_and_segments_of_no_size_are_refused_at_once(size: int) -> None:
    with pytest.raises(ValueError, match="block"):
        rechunk([], size)
    with pytest.raises(ValueError, match="segment"):
        split([], size)


@given(st.binary(max_size=300), cuttings(40), st.integers(min_value=1, max_value=50))
def test_split_gives_full_segments_and_none_that_is_empty(data: bytes, sizes: list[int], limit: int) -> None:
    segments = [b"".join(segment) for segment in split(cut(data, sizes), limit)]
    assert segments == ([data[at : at + limit] for at in range(0, len(data), limit)] or [b""])


def test_split_pulls_no_more_than_the_segment_needs() -> None:
    pulled: list[int] = []
    segments = split(counted([b"abc", b"def", b"g"], pulled.append), 2)
    first = next(segments)
    assert not pulled
    assert next(first) == b"ab"
    assert pulled == [3]


def test_a_single_segment_fails_when_its_source_fails_at_the_end() -> None:
    segment = next(split(then_failing([b"abc"]), 3))
    with pytest.raises(SourceError):
        list(segment)


def test_an_unread_segment_is_an_error_not_a_loss() -> None:
    segments = split([b"abcd"], 2)
    next(segments)
    with pytest.raises(RuntimeError, match="read to its end"):
        next(segments)


def test_a_reader_that_stops_at_the_last_byte_has_read_the_segment() -> None:
    found = [next(segment) for segment in split([noise(64)], 16)]
    assert b"".join(found) == noise(64)
