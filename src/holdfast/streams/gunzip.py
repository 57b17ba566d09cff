"""Decompresses gzip (RFC 1952), of one member or several."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from holdfast.model.errors import IntegrityError

MAGIC = b"\x1f\x8b\x08"
_GZIP = 16 + zlib.MAX_WBITS
_PIECE = 1024 * 1024


def gunzip(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the plain bytes in pieces of at most 1 MiB.

    Raise IntegrityError when the data is not gzip, is damaged, ends early, or is followed by anything but zeroes, as
    a tape would have them. Only the end of the stream vouches for what was given before.
    """
    inflater, fresh, padding = zlib.decompressobj(_GZIP), True, False
    for chunk in chunks:
        data = chunk
        while data:
            if padding or (inflater.eof and not data[0]):
                padding = True
                if data.strip(b"\0"):
                    raise IntegrityError("something that is not gzip follows the compressed data")
                break
            if inflater.eof:
                inflater = zlib.decompressobj(_GZIP)
            fresh = False
            yield from _pieces(inflater, data)
            data = inflater.unused_data
    if fresh or not inflater.eof:
        raise IntegrityError("the compressed data ends early")


def _pieces(inflater: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while data:
        try:
            piece = inflater.decompress(data, _PIECE)
        except zlib.error as error:
            raise IntegrityError(f"the compressed data is damaged: {error}") from error
        if piece:
            yield piece
        data = inflater.unconsumed_tail
