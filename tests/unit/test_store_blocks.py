"""A stream is cut into blocks in two buffers that take turns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.stores.blocks import blocks
from support.streams import cut, cuttings


@given(st.binary(max_size=300), cuttings(40), st.integers(min_value=1, max_value=50))
def test_blocks_are_exact_and_stay_as_they_are_until_the_second_after(
    data: bytes, sizes: list[int], size: int
) -> None:
    expected = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    before: tuple[bytes, bytearray] | None = None
    found = []
    for block in blocks(cut(data, sizes), size):
        found.append(bytes(block))
        assert before is None or before[0] == before[1]  # it may be on its way still
        before = (bytes(block), block)
    assert found == expected


def test_no_more_than_two_buffers_are_ever_made() -> None:
    given = [id(block) for block in blocks([b"x" * 100] * 10, 100)]
    assert len(set(given)) == 2


def test_a_small_object_takes_little_memory() -> None:
    (block,) = blocks([b"abc"], 8 * 1024**2)
    assert block == b"abc"
    assert block.__sizeof__() < 1000
