"""Counts, cuts and joins streams of bytes without holding more than a block of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from xxhash import xxh3_128

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Tally:
    """Bytes counted so far (`size`), and their SHA-256. Complete only once the stream ended without an error."""

    __slots__ = ("_digest", "size")

    def __init__(self) -> None:
        self.size = 0
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        """The digest of the bytes so far: 64 lowercase hexadecimal digits."""
        return self._digest.hexdigest()

    def add(self, chunk: bytes) -> None:
        """Count these bytes too."""
        self.size += len(chunk)
        self._digest.update(chunk)


class Checksum:
    """Bytes counted so far (`size`), and a digest of them that costs next to nothing.

    It tells what was damaged by accident, and not who forges on purpose: for that there is the Tally.
    """

    __slots__ = ("_digest", "size")

    def __init__(self) -> None:
        self.size = 0
        self._digest = xxh3_128()

    @property
    def value(self) -> str:
        """XXH3, 128 bits, of the bytes so far: 32 lowercase hexadecimal digits."""
        return self._digest.hexdigest()

    def add(self, chunk: bytes) -> None:
        """Count these bytes too."""
        self.size += len(chunk)
        self._digest.update(chunk)


def tally(chunks: Iterable[bytes], into: Tally | Checksum) -> Iterator[bytes]:
    """Pass the chunks on unchanged, each counted before it goes."""
    for chunk in chunks:
        into.add(chunk)
        yield chunk


def counted(chunks: Iterable[bytes], on_bytes: Callable[[int], None]) -> Iterator[bytes]:
    """Pass the chunks on unchanged, telling `on_bytes` the length of each before it goes."""
    for chunk in chunks:
        on_bytes(len(chunk))
        yield chunk


def rechunk(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Give the same bytes in blocks of exactly `size` bytes, the last one shorter; none for an empty stream."""
    return map(bytes, views(chunks, size))


def views(chunks: Iterable[bytes], size: int) -> Iterator[memoryview]:
    """Give the same bytes in blocks as `rechunk` does, copying only those that lie in several chunks."""
    if size < 1:
        raise ValueError(f"a block of {size} bytes")
    return _views(chunks, size)


def _views(chunks: Iterable[bytes], size: int) -> Iterator[memoryview]:
    block = bytearray()  # what was begun; a new one each time, as its view is out
    for chunk in chunks:
        view = memoryview(chunk)
        if block:
            missing = size - len(block)
            block += view[:missing]
            view = view[missing:]
            if len(block) < size:
                continue
            yield memoryview(block)
            block = bytearray()
        whole = len(view) - len(view) % size
        for at in range(0, whole, size):
            yield view[at : at + size]
        block += view[whole:]
    if block:
        yield memoryview(block)


def split(chunks: Iterable[bytes], limit: int) -> Iterator[Iterator[bytes]]:
    """Cut a stream into segments of `limit` bytes, the last one shorter; an empty stream is one empty segment.

    Nothing is held back but one chunk, so each segment has to be read before the next is asked for (RuntimeError
    otherwise). A segment ends only after the source has shown that there is more, or has ended without an error:
    when all fits into one segment, a source that fails at its end fails that segment.
    """
    if limit < 1:
        raise ValueError(f"a segment of {limit} bytes")
    return _split(filter(None, chunks), limit)


def _split(source: Iterator[bytes], limit: int) -> Iterator[Iterator[bytes]]:
    chunk, start, ended = b"", 0, False

    def segment() -> Iterator[bytes]:
        nonlocal chunk, start, ended
        room = limit
        while True:
            if start == len(chunk):
                chunk, start = next(source, b""), 0
                ended = not chunk
            if ended or not room:
                return
            piece = chunk[start : start + room]
            start += len(piece)
            room -= len(piece)
            yield piece

    while not ended:
        current = segment()
        yield current
        if next(current, None) is not None:
            raise RuntimeError("a segment has to be read to its end before the next")
