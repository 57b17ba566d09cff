"""Reads a tar archive of pg_dump (-Ft) while it streams by: its table of contents, and whether it is whole.

The first member is `toc.dat`, the table of contents; each entry with data names a member of its own. (PostgreSQL's
pg_backup_tar.c; POSIX's ustar.)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.model.errors import IntegrityError
from holdfast.postgres.archive import TocReader
from holdfast.postgres.entries import Entry

TOC = b"toc.dat\0"
BLOCK = 512
_NAME, _SIZE, _CHECKSUM, _MAGIC = slice(0, 100), slice(124, 136), slice(148, 156), slice(257, 262)
_BINARY = 0x80  # a size of 8 GiB or more stands there as a number, not as digits


def begins_tar(head: bytes) -> bool:
    """Whether bytes, the first 512 of a file, begin a tar archive of pg_dump."""
    return head.startswith(TOC) and head[_MAGIC] == b"ustar"


class TarReader:
    """Takes a tar archive in chunks of any size; `toc` takes its table of contents. Raise IntegrityError early."""

    def __init__(self, toc: TocReader) -> None:
        self._toc = toc
        self._held = bytearray()
        self._left = 0  # of the member under way, its padding included
        self._in_toc = 0  # of those, how many bytes are of the table of contents
        self._members: set[str] = set()
        self._ended = 0  # blocks of zeroes

    def feed(self, chunk: bytes) -> None:
        """Read on."""
        view = memoryview(chunk)
        while view:
            if self._left:
                piece, view = view[: self._left], view[self._left :]
                self._left -= len(piece)
                if self._in_toc:
                    self._toc.feed(bytes(piece[: self._in_toc]))
                    self._in_toc -= min(len(piece), self._in_toc)
                continue
            missing = BLOCK - len(self._held)
            self._held += view[:missing]
            view = view[missing:]
            if len(self._held) == BLOCK:
                self._header(bytes(self._held))
                self._held.clear()

    def finish(self) -> None:
        """Raise IntegrityError when the archive ended too early, or lacks the data of an entry."""
        if self._left or self._held or not self._ended:
            raise IntegrityError("the tar archive ends early")
        self._toc.finish()
        for entry in self._toc.entries:
            if entry.has_data and entry.file and self._members.isdisjoint(_members_of(entry)):
                raise IntegrityError(
                    f"the tar archive lacks {entry.file}, the data of {entry.desc} {entry.tag}"
                )

    def _header(self, block: bytes) -> None:
        if not any(block):
            self._ended += 1
            return
        name = block[_NAME].split(b"\0", 1)[0].decode("utf-8", "replace")
        if self._ended or block[_MAGIC] != b"ustar" or not _is_whole(block):
            raise IntegrityError(
                f"the tar archive is damaged{f' behind {name}' if name.isprintable() else ''}"
            )
        size = _number(block[_SIZE])
        self._left = size + -size % BLOCK
        self._in_toc = 0 if self._members else size
        self._members.add(name)


def _members_of(entry: Entry) -> tuple[str, ...]:
    """Give the names that an entry's data may have; large objects have a list of their own, numbered since 16."""
    if entry.desc.startswith("BLOB"):
        return ("blobs.toc", f"blobs_{entry.dump_id}.toc")
    return (entry.file or "",)


def watch_tar(chunks: Iterable[bytes], reader: TarReader) -> Iterator[bytes]:
    """Pass a tar archive through, unchanged, while `reader` looks at it."""
    for chunk in chunks:
        reader.feed(chunk)
        yield chunk
    reader.finish()


def _is_whole(block: bytes) -> bool:
    """Whether the header's sum is that of its bytes, those of the sum taken as blanks."""
    total = sum(block) - sum(block[_CHECKSUM]) + len(block[_CHECKSUM]) * ord(" ")
    return _number(block[_CHECKSUM]) == total


def _number(digits: bytes) -> int:
    if digits[0] & _BINARY:
        return int.from_bytes(digits[1:], "big")
    text = digits.strip(b" \0")
    if text.strip(b"01234567"):
        raise IntegrityError("the tar archive is damaged: a header holds no number where one belongs")
    return int(text or b"0", 8)
