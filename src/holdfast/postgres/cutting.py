"""Cuts some entries, with their data, out of a pg_dump archive: what comes out is a smaller archive.

The bytes of entries and data are copied as they are. The format is that of pg_backup_custom.c: behind the table of
contents lie blocks, each with a kind, the dump id of its entry and chunks of bytes, a length before each.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from holdfast.model.errors import IntegrityError
from holdfast.postgres.archive import TocReader
from holdfast.postgres.entries import Entry, Toc
from holdfast.postgres.needless_drops import ASKED

Read = Callable[[int, int], Iterator[bytes]]

_OFFSET_SET, _OFFSET_NOT_SET = 2, 1  # flags before the place of an entry's data
_ROWS, _LARGE_OBJECTS = 1, 3
_USUAL_INT = 4
# Uncompressed rows are text, without a zero byte, and no length before them has more than four in a row.
_END_OF_ROWS = bytes(1 + _USUAL_INT)


def cut(
    chunks: Iterable[bytes], toc: Toc, entries: Sequence[Entry], *, disowned: Collection[int] = ()
) -> Iterator[bytes]:
    """Cut `entries`, some of the table of contents in its order, out of the whole archive.

    Those `disowned` (dump ids) have no owner any more: they will belong to who restores. All of it is read, to the end.
    Raise IntegrityError where it is not built as it should be.
    """
    cursor = _Cursor(chunks)
    yield from _head(cursor, toc, entries, disowned)
    cursor.skip(toc.end - cursor.position)
    wanted = {entry.dump_id for entry in entries if entry.has_data}
    for number, block in _blocks(cursor, toc):
        for piece in block:
            if number in wanted:
                yield piece


def cut_ranges(
    read: Read, toc: Toc, entries: Sequence[Entry], blocks: Mapping[int, int], size: int
) -> Iterator[bytes]:
    """Cut as `cut` does, reading only what is wanted of an archive of `size` bytes.

    `read` gives the bytes from one place to another; `blocks` tells by dump id where each block of data begins.
    """
    yield from _head(_Cursor(read(0, toc.end)), toc, entries)
    for start, end in data_ranges(entries, blocks, size):
        yield from read(start, end)


def data_ranges(entries: Iterable[Entry], blocks: Mapping[int, int], size: int) -> list[tuple[int, int]]:
    """Tell where the data of entries lies, neighbours joined."""
    edges = [*sorted(blocks.values()), size]
    following = dict(itertools.pairwise(edges))
    ranges: list[tuple[int, int]] = []
    for start in sorted(blocks[entry.dump_id] for entry in entries if entry.has_data):
        if ranges and ranges[-1][1] == start:
            ranges[-1] = (ranges[-1][0], following[start])
        else:
            ranges.append((start, following[start]))
    return ranges


def cut_head(
    chunks: Iterable[bytes], toc: Toc, entries: Sequence[Entry], *, disowned: Collection[int] = ()
) -> bytes:
    """Cut entries without their data out of an archive, of which no more is read than its table of contents."""
    return b"".join(_head(_Cursor(chunks), toc, entries, disowned))


def data_blocks(chunks: Iterable[bytes], toc: Toc) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Give the dump id and the bytes of each block of a whole archive; each must be pulled before the next.

    The first piece of a block is its kind and the number. Raise IntegrityError where it is not built as it should be.
    """
    cursor = _Cursor(chunks)
    cursor.skip(toc.end)
    yield from _blocks(cursor, toc)


def without_drops(
    chunks: Iterable[bytes], needless: Callable[[Sequence[Entry]], Collection[int]]
) -> Iterator[bytes]:
    """Leave the DROP statements out of a whole archive that `needless` names by dump id.

    It is asked once, about the entries that `needless_drops` knows of.
    """
    reader = TocReader(keep=lambda entry: entry.desc in ASKED, relations=True)
    source = iter(chunks)
    begun: list[bytes] = []
    for chunk in source:
        begun.append(chunk)
        reader.feed(chunk)
        if reader.done:
            break
    toc = reader.finish()
    gone = needless(toc.entries)
    cursor = _Cursor(itertools.chain(begun, source))
    for entry in toc.entries:
        if entry.dump_id in gone:
            start, end = entry.drop
            yield from cursor.some(start - cursor.position)
            cursor.skip(end - start)
            yield bytes(1 + toc.header.int_size)  # an empty text
    yield from cursor.rest()


def moved_last(chunks: Iterable[bytes], last: Callable[[Entry], bool]) -> Iterator[bytes]:
    """Put entries at the end of the table of contents of a whole archive, which is the order that pg_restore follows.

    One that is not understood is given as it is: pg_restore may know more.
    """
    reader = TocReader(keep=last)
    source = iter(chunks)
    begun: list[bytes] = []
    for chunk in source:
        begun.append(chunk)
        try:
            reader.feed(chunk)
        except IntegrityError:
            break
        if reader.done:
            break
    cursor = _Cursor(itertools.chain(begun, source))
    if reader.done and reader.entries:
        moved = []
        for entry in reader.entries:
            yield from cursor.some(entry.start - cursor.position)
            moved.append(cursor.take(entry.end - entry.start))
        yield from cursor.some(reader.position - cursor.position)
        yield from moved
    yield from cursor.rest()


def held_back(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pass chunks on, the last byte only after the source has ended well: until then nobody has the whole."""
    last = b""
    for chunk in chunks:
        if chunk:
            yield last + chunk[:-1]
            last = chunk[-1:]
    yield last


class _Cursor:
    """Reads on in a stream of chunks."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._at = 0
        self.position = 0

    def ended(self) -> bool:
        """Whether nothing is left."""
        while self._at == len(self._chunk):
            try:
                self._chunk, self._at = next(self._chunks), 0
            except StopIteration:
                return True
        return False

    def some(self, count: int) -> Iterator[bytes]:
        """Give the next `count` bytes, in pieces. Raise IntegrityError when the stream ends before."""
        while count:
            self._require()
            piece = self._forward(count)
            count -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """Give all that is left."""
        while not self.ended():
            yield self._forward(len(self._chunk) - self._at)

    def take(self, count: int) -> bytes:
        """Give the next `count` bytes."""
        return b"".join(self.some(count))

    def skip(self, count: int) -> None:
        """Leave bytes out."""
        for _ in self.some(count):
            pass

    def until(self, end: bytes) -> Iterator[bytes]:
        """Give everything up to the first `end`, and that."""
        while True:
            self._require()
            found = self._chunk.find(end, self._at)
            if found >= 0:
                yield self._forward(found + len(end) - self._at)
                return
            if (rest := len(self._chunk) - self._at - len(end) + 1) > 0:
                yield self._forward(rest)
            try:
                self._chunk, self._at = self._chunk[self._at :] + next(self._chunks), 0
            except StopIteration:
                raise _too_short() from None

    def _forward(self, count: int) -> bytes:
        piece = self._chunk[self._at : self._at + count]
        self._at += len(piece)
        self.position += len(piece)
        return piece

    def _require(self) -> None:
        if self.ended():
            raise _too_short()


def _too_short() -> IntegrityError:
    return IntegrityError(
        "the archive of pg_dump ends too early",
        hint="The dump is damaged: restore from another copy or another backup.",
    )


def _head(
    cursor: _Cursor, toc: Toc, entries: Sequence[Entry], disowned: Collection[int] = ()
) -> Iterator[bytes]:
    header = toc.header
    yield cursor.take(header.end)
    yield b"\0" + len(entries).to_bytes(header.int_size, "little")
    for entry in entries:
        cursor.skip(entry.start - cursor.position)
        raw = cursor.take(entry.end - entry.start)
        flag = len(raw) - 1 - header.offset_size
        if raw[flag] == _OFFSET_SET:  # the data lies elsewhere now
            raw = raw[:flag] + bytes([_OFFSET_NOT_SET]) + bytes(header.offset_size)
        if entry.dump_id in disowned:
            first, last = (place - entry.start for place in entry.owned)
            raw = raw[:first] + bytes(1 + header.int_size) + raw[last:]  # a text of no length
        yield raw


def _blocks(cursor: _Cursor, toc: Toc) -> Iterator[tuple[int, Iterator[bytes]]]:
    """Give the dump id and the bytes of each block; each must be pulled before the next."""
    int_size = toc.header.int_size
    text = toc.header.compression == "none" and int_size == _USUAL_INT
    while not cursor.ended():
        head = cursor.take(2 + int_size)
        number = int.from_bytes(head[2:], "little")
        if head[0] == _ROWS:
            yield number, _block(head, cursor.until(_END_OF_ROWS) if text else _counted(cursor, int_size))
        elif head[0] == _LARGE_OBJECTS:
            yield number, _block(head, _large_objects(cursor, int_size))
        else:
            raise IntegrityError(f"the archive of pg_dump holds a block of the unknown kind {head[0]}")


def _block(head: bytes, body: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from body


def _counted(cursor: _Cursor, int_size: int) -> Iterator[bytes]:
    """Give chunks, each behind its length, and the length of zero that ends them."""
    while True:
        raw = cursor.take(1 + int_size)
        yield raw
        length = int.from_bytes(raw[1:], "little")
        if raw[0] or not length:
            return
        yield from cursor.some(length)


def _large_objects(cursor: _Cursor, int_size: int) -> Iterator[bytes]:
    while True:
        oid = cursor.take(1 + int_size)
        yield oid
        if not any(oid):
            return
        yield from _counted(cursor, int_size)
