"""Reads the lists of columns in a script of data, and puts the fields of rows into the order of another list."""

from __future__ import annotations

import re
from collections.abc import Sequence

_COLUMN = re.compile(rb'"(?:[^"]|"")*"|[^\s",()]+')


def named(columns: bytes) -> tuple[bytes, ...]:
    """Give the columns of a list, as they are written there."""
    return tuple(_COLUMN.findall(columns))


def places(columns: bytes, wanted: bytes) -> tuple[int, ...]:
    """Tell where each column of the `wanted` list stands in another; nothing where they are not the same, or in that order."""
    have, want = named(columns), named(wanted)
    if have == want or sorted(have) != sorted(want):
        return ()
    at = {name: place for place, name in enumerate(have)}
    return tuple(at[name] for name in want)


def put(lines: Sequence[bytes], order: Sequence[int]) -> list[bytes]:
    """Put the fields of rows, as COPY writes them, into an order."""
    return [b"\t".join([fields[at] for at in order]) for fields in (line.split(b"\t") for line in lines)]
