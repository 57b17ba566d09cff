"""Compresses and decompresses with zstd (RFC 8878), in bounded memory."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from holdfast.model.errors import IntegrityError
from holdfast.streams.chunks import rechunk

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_OUT = 256 * 1024
_PIECE = 1024 * 1024
# A reader allocates the window that a frame asks for. Ours ask for 8 MiB at most (2^23, level 19); four times that
# leaves room for frames made by hand, and keeps a hostile one from asking for gigabytes.
_WINDOW_LOG_MAX = 25


def spare_threads(cpus: int | None) -> int:
    """Tell how many threads may compress beside the one that pulls: one where there is a second processor."""
    return 1 if (cpus or 1) > 1 else 0


def compress(chunks: Iterable[bytes], *, level: int = 1, threads: int = 0) -> Iterator[bytes]:
    """Compress into one zstd frame with a content checksum, in pieces of 256 KiB.

    `level` is zstd's, 1 to 19. `threads` workers compress while the caller pulls; 0 compresses in the caller's own
    thread. Raise ValueError for a level that zstd does not know.
    """
    parameter = zstd.CompressionParameter
    compressor = zstd.ZstdCompressor(
        options={
            parameter.compression_level: level,
            parameter.checksum_flag: 1,
            # A library built without threads knows none.
            parameter.nb_workers: min(threads, parameter.nb_workers.bounds()[1]),
        }
    )
    return rechunk(_compressed(compressor, chunks), _OUT)


def _compressed(compressor: zstd.ZstdCompressor, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        yield compressor.compress(chunk)
    yield compressor.flush()


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress one zstd frame or several, one after the other, in pieces of at most 1 MiB.

    Raise IntegrityError when the data is not zstd, is damaged, ends early, or is followed by anything else. Pieces
    given before that may be parts of a damaged whole: only the end of the stream vouches for it.
    """
    decoder = _decoder()
    fresh = True
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if decoder.eof:
                    decoder = _decoder()
                yield from _decompressed(decoder, data)
                data = decoder.unused_data if decoder.eof else b""
                fresh = False
    except zstd.ZstdError as error:
        raise IntegrityError(f"the compressed data is damaged: {error}") from error
    if fresh or not decoder.eof:
        raise IntegrityError("the compressed data ends early")


def _decoder() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})


def _decompressed(decoder: zstd.ZstdDecompressor, data: bytes) -> Iterator[bytes]:
    piece = decoder.decompress(data, _PIECE)
    while True:
        if piece:
            yield piece
        if decoder.eof or decoder.needs_input:
            return
        piece = decoder.decompress(b"", _PIECE)
