"""The seek table that ends a row of zstd frames (the Zstandard Seekable Format), and the note that may lie before it.

Both are skippable frames (RFC 8878, 3.1.2): whoever decompresses the whole passes over them.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Read = Callable[[int, int], bytes]  # the stream's bytes from one offset to another

_FRAME = struct.Struct("<II")  # of a skippable frame: its magic number, and the length of what follows
_ENTRY = struct.Struct("<II")  # of a frame: compressed size, decompressed size
_FOOTER = struct.Struct("<IBI")  # number of entries, descriptor, magic number
_TABLE_MAGIC, _FOOTER_MAGIC = 0x184D2A5E, 0x8F92EAB1
_NOTE_MAGIC = 0x184D2A51
_CHECKSUMS, _RESERVED = 0x80, 0x7C  # bits of the descriptor
_CHECKSUM_BYTES = 4
_TAIL = 64 * 1024  # what is read at first: the table of 16 GiB
_MOST = 32 * 1024**2  # what a reader holds in memory: the table of 8 TiB, the note of two million tables


def entry(stored: int, plain: int) -> bytes:
    """Write the entry of a frame of `stored` bytes that holds `plain` bytes; a skippable one holds 0."""
    return _ENTRY.pack(stored, plain)


def table(entries: bytes | bytearray) -> bytes:
    """Write the seek table, the last frame of all; `entries` are those of all frames before it, in their order."""
    footer = _FOOTER.pack(len(entries) // _ENTRY.size, 0, _FOOTER_MAGIC)
    return _FRAME.pack(_TABLE_MAGIC, len(entries) + len(footer)) + entries + footer


def note(payload: bytes) -> bytes:
    """Write the note, the last frame before the table; one that no reader would take is left empty."""
    kept = payload if len(payload) <= _MOST else b""
    return _FRAME.pack(_NOTE_MAGIC, len(kept)) + kept


@dataclass(frozen=True, slots=True, kw_only=True)
class SeekTable:
    """Where the frames lie: the bytes `plain[n]` to `plain[n + 1]` in those from `stored[n]` to `stored[n + 1]`."""

    stored: Sequence[int]
    plain: Sequence[int]

    @property
    def size(self) -> int:
        """How many bytes the frames hold."""
        return self.plain[-1]

    def frames(self, start: int, end: int) -> range:
        """Tell which frames hold the bytes from `start` to `end`, of which there must be one at least."""
        return range(bisect_right(self.plain, start) - 1, bisect_left(self.plain, end))


def read_table(read: Read, size: int) -> SeekTable | None:
    """Read the table of a stream of `size` bytes; None when it has none, or one that does not fit the stream."""
    tail = read(max(0, size - _TAIL), size)
    if len(tail) < _FRAME.size + _FOOTER.size:
        return None
    count, descriptor, magic = _FOOTER.unpack_from(tail, len(tail) - _FOOTER.size)
    each = _ENTRY.size + (_CHECKSUM_BYTES if descriptor & _CHECKSUMS else 0)
    length = count * each + _FOOTER.size
    start = size - length - _FRAME.size
    if magic != _FOOTER_MAGIC or descriptor & _RESERVED or start < 0 or length > _MOST:
        return None
    if start < size - len(tail):
        tail = read(start, size)
    data = tail[len(tail) - length - _FRAME.size :]
    if _FRAME.unpack_from(data) != (_TABLE_MAGIC, length):
        return None
    numbers = array("I", data[_FRAME.size : -_FOOTER.size])
    if sys.byteorder == "big":
        numbers.byteswap()
    step = each // numbers.itemsize
    stored, plain = (array("Q", accumulate(numbers[place::step], initial=0)) for place in (0, 1))
    return SeekTable(stored=stored, plain=plain) if stored[-1] == start else None


def read_note(read: Read, found: SeekTable) -> bytes | None:
    """Read the payload of the note; None when the stream has none."""
    frames = len(found.stored) - 1
    if frames == 0 or found.plain[frames] != found.plain[frames - 1]:
        return None
    start, end = found.stored[frames - 1], found.stored[frames]
    if not _FRAME.size <= end - start <= _MOST + _FRAME.size:
        return None
    data = read(start, end)
    return (
        data[_FRAME.size :] if _FRAME.unpack_from(data) == (_NOTE_MAGIC, end - start - _FRAME.size) else None
    )
