"""Finds one row, or one large object, that only one of two sides has, without holding any: a sketch of each side.

Hashes are summed in buckets. Where the two sides differ by one row in a bucket, the difference of the sums is that row's
hash. Of many differences a bucket holds several: so there are sketches of thinner and thinner slices of all hashes, in one
of which some row is alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from holdfast.postgres.data_digest import Name
from holdfast.postgres.multiset import each_hash

Side = Literal["archive", "restored"]
_BUCKETS = 1024
_SLICES = 5
_BITS = 6  # each slice is the 64th part of the one before
_SHIFT = 10  # of the bits that choose the bucket
_PRIME = (1 << 127) - 1
_MAX_OID = 2**32


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """The hash of a row, in hex, and which side has it, or has it more often."""

    row: str
    side: Side


@dataclass(frozen=True, slots=True, kw_only=True)
class LargeObject:
    """A large object that is not the same on both sides; `only` where one of them lacks it."""

    number: int
    only: Side | None


class _Rows:
    def __init__(self) -> None:
        self.counts = [[0] * _BUCKETS for _ in range(_SLICES)]
        self.sums = [[0] * _BUCKETS for _ in range(_SLICES)]
        self.squares = [[0] * _BUCKETS for _ in range(_SLICES)]

    def add(self, number: int) -> None:
        bucket, rest = number % _BUCKETS, number >> _SHIFT
        for counts, sums, squares in zip(self.counts, self.sums, self.squares, strict=True):
            counts[bucket] += 1
            sums[bucket] += number
            squares[bucket] += number * number
            if rest % (1 << _BITS):
                return
            rest >>= _BITS


class Sketch:
    """Listens to the data of one side: keeps sums for some tables, and for all large objects."""

    def __init__(self, tables: Mapping[Name, Name]) -> None:
        """Listen to `tables`; each counts as the one that it leads to, which is itself or its root."""
        self._sketches = {name: _Rows() for name in tables.values()}
        self._tables = {name: self._sketches[counts_as] for name, counts_as in tables.items()}
        self._sums = [0] * _BUCKETS
        self._weighted = [0] * _BUCKETS
        self._made = [0] * _BUCKETS

    def lines(self, table: Name, lines: Sequence[bytes]) -> None:
        """Take rows of a table."""
        rows = self._tables.get(table)
        if rows is not None:
            for number in each_hash(lines):
                rows.add(number)

    def long_line(self, table: Name, number: int) -> None:
        """Take the hash of a row that was too long to be held."""
        rows = self._tables.get(table)
        if rows is not None:
            rows.add(number)

    def large_object(self, oid: int, number: int, *, made: bool) -> None:
        """Take the hash of one thing that is known of a large object; `made` says that it is that it exists."""
        bucket = oid % _BUCKETS
        self._sums[bucket] += number
        self._weighted[bucket] += oid * number
        self._made[bucket] += made

    def example(self, other: Sketch, table: Name) -> Example | None:
        """Give a row of a table that this side, the archive's, and the other do not have the same number of times.

        One that the archive has is preferred. None where no row stands alone.
        """
        found = list(_lone(self._sketches[table], other._sketches[table]))
        return min(found, key=lambda each: each.side, default=None)

    def large_objects(self, other: Sketch) -> tuple[LargeObject, ...]:
        """Name large objects that differ; of several that share a bucket none."""
        return tuple(self._differing(other))

    def _differing(self, other: Sketch) -> Iterator[LargeObject]:
        for bucket in range(_BUCKETS):
            change = (self._sums[bucket] - other._sums[bucket]) % _PRIME
            if not change:
                continue
            weighted = (self._weighted[bucket] - other._weighted[bucket]) % _PRIME
            oid = weighted * pow(change, -1, _PRIME) % _PRIME
            if oid < _MAX_OID and oid % _BUCKETS == bucket:
                made = self._made[bucket] - other._made[bucket]
                yield LargeObject(
                    number=oid, only="archive" if made > 0 else "restored" if made < 0 else None
                )


def _lone(ours: _Rows, theirs: _Rows) -> Iterator[Example]:
    for part in range(_SLICES):
        for bucket in range(_BUCKETS):
            count = ours.counts[part][bucket] - theirs.counts[part][bucket]
            number = count * (ours.sums[part][bucket] - theirs.sums[part][bucket])
            square = count * (ours.squares[part][bucket] - theirs.squares[part][bucket])
            if abs(count) == 1 and number * number == square:  # else it is the sum of several
                yield Example(row=f"{number:032x}", side="archive" if count > 0 else "restored")
