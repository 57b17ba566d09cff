"""Takes the rows of tables out of a pg_dump archive: what COPY printed for each, without the archive's framing."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.postgres.archive import TocReader
from holdfast.postgres.cutting import data_blocks
from holdfast.postgres.entries import Entry

_INT_SIZE = 4
# Before each row stands its length: a sign, which is zero, and four bytes. Rows are text and hold no zero byte.
_LENGTH = re.compile(rb"\0[\s\S]{4}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TableData:
    """A block of an archive: `copy` is its COPY statement, in the dump's encoding; `chunks` are still compressed."""

    dump_id: int
    copy: bytes
    compression: str
    chunks: Iterator[bytes]


def table_data(chunks: Iterable[bytes]) -> Iterator[TableData]:
    """Give the blocks of an archive, in its order. Each must be pulled before the next.

    Raise IntegrityError where the archive is not built as it should be.
    """
    reader = TocReader(copies=True, keep=_has_data)
    source = iter(chunks)
    head: list[bytes] = []
    for chunk in source:
        head.append(chunk)
        reader.feed(chunk)
        if reader.done:
            break
    toc = reader.finish()
    header = toc.header
    copies = {entry.dump_id: (entry.copy or "").encode("utf-8", "surrogateescape") for entry in toc.entries}
    text = header.compression == "none" and header.int_size == _INT_SIZE
    for number, block in data_blocks(itertools.chain(head, source), toc):
        next(block)  # its kind and its number
        yield TableData(
            dump_id=number,
            copy=copies.get(number, b""),
            compression=header.compression,
            chunks=_text(block) if text else _content(block, 1 + header.int_size),
        )
        for _ in block:  # what nobody wanted
            pass


def _has_data(entry: Entry) -> bool:
    return entry.has_data


def _text(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        text = _LENGTH.sub(b"", rest + piece)
        cut = text.find(b"\0")  # the first bytes of a length
        text, rest = (text, b"") if cut < 0 else (text[:cut], text[cut:])
        if text:
            yield text


def _content(pieces: Iterable[bytes], width: int) -> Iterator[bytes]:
    """Take the lengths out, each `width` bytes wide, of chunks that may hold anything."""
    left = 0
    raw = b""
    for piece in pieces:
        at = 0
        while at < len(piece):
            if left:
                part = piece[at : at + left]
                at, left = at + len(part), left - len(part)
                yield part
                continue
            part = piece[at : at + width - len(raw)]
            at, raw = at + len(part), raw + part
            if len(raw) == width:
                left, raw = int.from_bytes(raw[1:], "little"), b""
