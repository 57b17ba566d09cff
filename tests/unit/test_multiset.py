from __future__ import annotations

import random

from hypothesis import assume, given
from hypothesis import strategies as st
from xxhash import xxh3_128_intdigest

from holdfast.postgres.multiset import LongLine, Multiset

_line = st.binary(max_size=40).map(lambda line: line.replace(b"\n", b"N"))
_lines = st.lists(_line, max_size=30)


def _of(lines: list[bytes]) -> tuple[int, str]:
    digest = Multiset()
    digest.add(lines)
    return digest.count, digest.digest


def test_it_is_the_sum_of_the_hashes_of_the_lines() -> None:
    lines = [b"a\tb", b"", b"a\tb"]
    expected = sum(map(xxh3_128_intdigest, lines)) % 2**128
    assert _of(lines) == (3, f"{expected:032x}")
    assert _of([]) == (0, "0" * 32)


@given(_lines, st.randoms(use_true_random=False))
def test_the_order_of_rows_never_matters(lines: list[bytes], chance: random.Random) -> None:
    shuffled = lines.copy()
    chance.shuffle(shuffled)
    assert _of(shuffled) == _of(lines)


@given(_lines, st.data())
def test_a_row_that_is_changed_missing_or_there_twice_is_noticed(
    lines: list[bytes], data: st.DataObject
) -> None:
    assume(lines)
    at = data.draw(st.integers(0, len(lines) - 1))
    other = data.draw(_line)
    before = _of(lines)
    assert _of([*lines[:at], *lines[at + 1 :]]) != before
    assert _of([*lines, lines[at]]) != before
    assert (_of([*lines[:at], other, *lines[at + 1 :]]) == before) == (other == lines[at])


@given(_lines, st.integers(0, 30))
def test_blocks_do_not_matter(lines: list[bytes], cut: int) -> None:
    digest, other = Multiset(), Multiset()
    digest.add(lines[:cut])
    other.add(lines[cut:])
    digest.add_all(other)
    assert (digest.count, digest.digest) == _of(lines)


@given(st.lists(st.binary(max_size=20), max_size=10))
def test_a_long_line_has_the_hash_of_the_whole(pieces: list[bytes]) -> None:
    line = LongLine()
    for piece in pieces:
        line.feed(piece)
    assert line.number == xxh3_128_intdigest(b"".join(pieces))
    assert line.size == sum(map(len, pieces))
