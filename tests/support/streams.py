"""Streams for tests: data cut in many ways."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class SourceError(Exception):
    """What a failing source raises in tests."""


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, the same ones every time."""
    return random.Random(seed).randbytes(size)


def cut(data: bytes, sizes: Iterable[int]) -> list[bytes]:
    """Cut data at the given lengths, over and over until it is used up."""
    lengths = [*sizes] if any(sizes) else [max(len(data), 1)]
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        for length in lengths:
            pieces.append(data[at : at + length])
            at += length
    return pieces


def then_failing(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks, and then an error where the end should be."""
    yield from chunks
    raise SourceError


def cuttings(largest: int) -> st.SearchStrategy[list[int]]:
    """Ways to cut a stream, empty chunks among them."""
    return st.lists(st.integers(min_value=0, max_value=largest), min_size=1, max_size=6)
