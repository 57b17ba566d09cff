"""Finds where each data block of a pg_dump archive (custom format) begins while the archive streams by.

A block is a type, the dump id of its entry, and chunks: a length, then as many bytes; a length of 0 ends it. A block
of large objects holds several such rows of chunks, each after an OID; an OID of 0 ends it. Numbers are a sign and
four bytes, the lowest first. (PostgreSQL's pg_backup_custom.c.)
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterable, Iterator, Mapping

from holdfast.model.errors import IntegrityError
from holdfast.postgres.archive import TocReader

_TABLE, _LARGE_OBJECTS = 1, 3
_INT_SIZE = 4
_END = bytes(1 + _INT_SIZE)
_NOTE = b"pgblocks\x01"  # the last byte is the version
_PLACE = struct.Struct("<IQ")  # dump id, offset

_LOST = object()
_Walk = Generator[None, None, None]


class BlockFinder:
    """Takes an archive chunk by chunk, each after `reader` had it; `found` fills as it goes.

    `found` tells at which byte of the archive the block of a dump id begins; `size` is how many bytes there were;
    `inside` says that the last block found has not come to its end yet.
    Nothing is ever raised: from where an archive is not understood, its blocks are not found.
    """

    def __init__(self, reader: TocReader) -> None:
        self.found: dict[int, int] = {}
        self.size = 0
        self.inside = False
        self._reader = reader
        self._chunk = b""
        self._at = 0
        self._walk: _Walk | None = self._blocks()

    def feed(self, chunk: bytes) -> None:
        """Look through the next bytes."""
        self._at = max(0, self._reader.position - self.size)
        self._chunk = chunk
        self.size += len(chunk)
        if self._reader.done and self._walk is not None and next(self._walk, _LOST) is _LOST:
            self._walk = None

    # The walk is one coroutine: it yields when it is through with its chunk, and ends where it is lost.

    def _blocks(self) -> _Walk:
        header = self._reader.header
        if header is None or header.int_size != _INT_SIZE:
            return
        expected = {entry.dump_id for entry in self._reader.entries if entry.has_data}
        while True:
            start = self.size - len(self._chunk) + self._at
            kind, sign, *number = yield from self._take(1 + len(_END))
            dump_id = int.from_bytes(number, "little")
            if sign or dump_id not in expected or kind not in {_TABLE, _LARGE_OBJECTS}:
                return
            expected.remove(dump_id)
            self.found[dump_id] = start
            self.inside = True
            if kind == _LARGE_OBJECTS:
                while any((yield from self._take(len(_END)))[1:]):
                    yield from self._pass_chunks()
            elif header.compression == "none":
                yield from self._pass_text()
            else:
                yield from self._pass_chunks()
            self.inside = False

    def _pass_text(self) -> _Walk:
        """Pass over rows, which are text and hold no NUL: five in a row are the length that ends the block.

        A length has four at most beside one another: one of its own bytes is not 0, and neither is the text around it.
        """
        most = len(_END) - 1  # of its bytes that the chunks before may hold
        before = b""
        while True:
            seam = before + self._chunk[self._at : self._at + most]
            if (found := seam.find(_END)) >= 0:
                self._at += found + len(_END) - len(before)
                return
            # Nearly always there is none, which is found out twice as fast from behind.
            if self._chunk.rfind(_END, self._at) >= 0:
                self._at = self._chunk.find(_END, self._at) + len(_END)
                return
            before = (before + self._chunk[max(self._at, len(self._chunk) - most) :])[-most:]
            yield

    def _pass_chunks(self) -> _Walk:
        """Pass over bytes of any kind, from length to length."""
        while length := int.from_bytes((yield from self._take(len(_END)))[1:], "little"):
            while length > (here := len(self._chunk) - self._at):
                length -= here
                yield
            self._at += length

    def _take(self, count: int) -> Generator[None, None, bytes]:
        taken = self._chunk[self._at : self._at + count]
        self._at += len(taken)
        while len(taken) < count:
            yield
            more = self._chunk[self._at : self._at + count - len(taken)]
            self._at += len(more)
            taken += more
        return taken


def watch_blocks(chunks: Iterable[bytes], finder: BlockFinder) -> Iterator[bytes]:
    """Pass an archive through, unchanged, while `finder` looks for its blocks."""
    for chunk in chunks:
        finder.feed(chunk)
        yield chunk


def dump_note(found: Mapping[int, int]) -> bytes:
    """Write down where the blocks begin, 12 bytes for each."""
    return _NOTE + b"".join(_PLACE.pack(dump_id, start) for dump_id, start in found.items())


def parse_note(data: bytes) -> dict[int, int]:
    """Read what `dump_note` wrote; a note of another kind or version tells of no blocks.

    Raise IntegrityError when it is damaged.
    """
    if not data.startswith(_NOTE):
        return {}
    places = memoryview(data)[len(_NOTE) :]
    if len(places) % _PLACE.size:
        raise IntegrityError("the note of the data blocks is damaged")
    return dict(_PLACE.iter_unpack(places))
