"""A digest of lines in any order: how many there are, and the sum of a 128-bit hash of each.

Two heaps with the same rows in another order have the same digest. A row that is changed, missing or there twice
changes it, except by a chance of one in 2^128; somebody who can choose the rows could make two sets collide, but
whoever can do that to a restored database can do worse.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from xxhash import xxh3_128, xxh3_128_intdigest

_MODULUS = 1 << 128


def each_hash(lines: Iterable[bytes]) -> Iterator[int]:
    """Give the hash of each line."""
    return map(xxh3_128_intdigest, lines)


class Sum(NamedTuple):
    """How many lines there are, and the sum of their hashes."""

    lines: int
    total: int

    def minus(self, earlier: Sum) -> Sum:
        """Give what was added since."""
        return Sum(self.lines - earlier.lines, (self.total - earlier.total) % _MODULUS)


NO_LINES = Sum(0, 0)


class Multiset:
    """Lines that were counted and hashed."""

    __slots__ = ("_sum", "count")

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, lines: Sequence[bytes]) -> None:
        """Take whole lines, without their line breaks."""
        self.count += len(lines)
        self._sum = (self._sum + sum(each_hash(lines))) % _MODULUS

    def add_hash(self, number: int) -> None:
        """Take one line, of which the hash is known."""
        self.count += 1
        self._sum = (self._sum + number) % _MODULUS

    def add_all(self, other: Multiset) -> None:
        """Take what another has taken."""
        self.add_sum(other.sum)

    def add_sum(self, other: Sum) -> None:
        """Take lines, of which the sum is known."""
        self.count += other.lines
        self._sum = (self._sum + other.total) % _MODULUS

    @property
    def sum(self) -> Sum:
        """All that was taken."""
        return Sum(self.count, self._sum)

    @property
    def digest(self) -> str:
        """The sum, as 32 hex digits."""
        return f"{self._sum:032x}"


class LongLine:
    """The hash of a line, or of any text, that comes in pieces."""

    __slots__ = ("_state", "size")

    def __init__(self) -> None:
        self._state = xxh3_128()
        self.size = 0

    def feed(self, piece: bytes | memoryview) -> None:
        """Take the next piece."""
        self._state.update(piece)
        self.size += len(piece)

    @property
    def number(self) -> int:
        """The hash of all pieces: that of the whole line."""
        return self._state.intdigest()
