"""Knows rows again that come in the order in which they were seen before, without looking at each.

Most tables come back from an archive in its own order. So whoever reads it first leaves a trail: for each piece of a
table's rows how long it is, a hash of its text, and what its lines add up to. Where the same text comes again its
lines add up to the same; where another comes, its lines are hashed one by one.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.postgres.multiset import NO_LINES, LongLine, Multiset, Sum

PIECE_BYTES = 1024 * 1024  # at least, but at the end
_PIECE = struct.Struct("<QQ16s16s")


@dataclass(frozen=True, slots=True)
class Piece:
    """Some whole lines: how many bytes they are, the hash of those, and what they add up to."""

    size: int
    text: int
    lines: Sum


class Trail:
    """What the rows of one COPY were, to which `before` came others. Some 50 bytes are kept for each piece."""

    __slots__ = ("_before", "_pieces", "_text")

    def __init__(self, before: Sum = NO_LINES) -> None:
        self._pieces = bytearray()
        # Of the piece under way. Its state is large for one that is kept.
        self._text: LongLine | None = LongLine()
        self._before = before

    def note(self, text: bytes | memoryview, lines: Multiset) -> None:
        """Note whole lines, each with its line break, which were just added to `lines`."""
        if self._text is None:
            return
        self._text.feed(text)
        if self._text.size >= PIECE_BYTES:
            self._close(self._text, lines.sum)
            self._text = LongLine()

    def end(self, lines: Multiset) -> None:
        """Note nothing of what comes after `lines`: there is no more, or too much to be held."""
        if self._text is not None and self._text.size:
            self._close(self._text, lines.sum)
        self._text = None

    def _close(self, text: LongLine, now: Sum) -> None:
        lines, total = now.minus(self._before)
        self._pieces += _PIECE.pack(text.size, lines, *map(_bytes, (text.number, total)))
        self._before = now

    @property
    def size(self) -> int:
        """How many bytes of rows were noted."""
        return sum(piece.size for piece in self.pieces())

    def pieces(self) -> Iterator[Piece]:
        """Give the pieces in their order."""
        for size, lines, text, total in _PIECE.iter_unpack(self._pieces):
            yield Piece(size, int.from_bytes(text, "big"), Sum(lines, int.from_bytes(total, "big")))


class Follower:
    """Takes the text of rows for as long as it may be what a trail says. At most a piece is held."""

    def __init__(self, trail: Trail) -> None:
        self._pieces = trail.pieces()
        self._piece = next(self._pieces, None)
        self._held: list[bytes] = []
        self._text = LongLine()

    def take(self, data: bytes) -> tuple[Sum | None, bytes]:
        """Take data. Give what a piece adds up to that came again, and the data after it; or None and nothing, as yet.

        Where it is another text, or no more is known, give None and all data since the last piece.
        """
        if self._piece is None:
            return None, data
        more = data[: self._piece.size - self._text.size]
        self._held.append(more)
        self._text.feed(more)
        if self._text.size < self._piece.size:
            return None, b""
        if self._text.number != self._piece.text:
            return None, self.give_up() + data[len(more) :]
        known = self._piece.lines
        self._piece = next(self._pieces, None)
        self._held, self._text = [], LongLine()
        return known, data[len(more) :]

    def give_up(self) -> bytes:
        """Give what is held, and hold no more."""
        held, self._held = b"".join(self._held), []
        return held


def _bytes(number: int) -> bytes:
    return number.to_bytes(16, "big")
