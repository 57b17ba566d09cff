"""Compresses and decompresses with zstd (RFC 8878), in frames that can be read one without the other."""

from __future__ import annotations

import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

from holdfast.model.errors import IntegrityError
from holdfast.streams import seekable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

# Large enough to compress nearly as well as one long frame does (within 1 % at level 3), small enough to hold some.
FRAME_BYTES = 2 * 1024**2
_PIECE = 1024 * 1024
# A reader allocates the window that a frame asks for. Ours ask for 8 MiB at most (2^23, level 19); four times that
# leaves room for frames made by hand, and keeps a hostile one from asking for gigabytes.
_WINDOW_LOG_MAX = 25


def spare_threads(cpus: int | None) -> int:
    """Tell how many threads may compress beside the one that pulls: one where there is a second processor."""
    return 1 if (cpus or 1) > 1 else 0


def compress(
    chunks: Iterable[bytes], *, level: int = 1, threads: int = 0, note: Callable[[], bytes] | None = None
) -> Iterator[bytes]:
    """Compress into zstd frames of FRAME_BYTES each, the note, and a seek table, each in one piece.

    `level` is zstd's, 1 to 19. `threads` workers compress while the caller pulls; 0 compresses in the caller's own
    thread. `note` is asked after the last chunk for what is to be kept beside the data. Raise ValueError for a level
    that zstd does not know.
    """
    parameter = zstd.CompressionParameter
    options: dict[int, int] = {parameter.compression_level: level, parameter.checksum_flag: 1}
    compressors = [zstd.ZstdCompressor(options=options) for _ in range(max(threads, 1))]
    compressed = _inline(chunks, compressors[0]) if threads < 1 else _pooled(chunks, compressors)
    return _with_table(compressed, note)


def _with_table(compressed: Iterable[tuple[bytes, int]], note: Callable[[], bytes] | None) -> Iterator[bytes]:
    entries = bytearray()
    for frame, plain in compressed:
        entries += seekable.entry(len(frame), plain)
        yield frame
    if note is not None:
        frame = seekable.note(note())
        entries += seekable.entry(len(frame), 0)
        yield frame
    yield seekable.table(entries)


def _inline(chunks: Iterable[bytes], compressor: zstd.ZstdCompressor) -> Iterator[tuple[bytes, int]]:
    """Give each frame, and how many bytes it holds."""
    buffers = [bytearray(FRAME_BYTES)]
    for buffer, filled in _filled(chunks, buffers):
        yield _frame(compressor, buffer, filled), filled
        buffers.append(buffer)


def _pooled(chunks: Iterable[bytes], compressors: list[zstd.ZstdCompressor]) -> Iterator[tuple[bytes, int]]:
    """Give each frame, and how many bytes it holds; each compressor works in a thread, and one frame is filled."""
    threads = len(compressors)
    buffers = [bytearray(FRAME_BYTES) for _ in range(threads + 1)]
    pending: deque[tuple[Future[bytes], bytearray, int]] = deque()

    def work(buffer: bytearray, filled: int) -> bytes:
        compressor = compressors.pop()
        try:
            return _frame(compressor, buffer, filled)
        finally:
            compressors.append(compressor)

    def oldest() -> tuple[bytes, int]:
        future, buffer, filled = pending.popleft()
        frame = future.result()
        buffers.append(buffer)
        return frame, filled

    with ThreadPoolExecutor(threads, thread_name_prefix="compress") as pool:
        for buffer, filled in _filled(chunks, buffers):
            done = oldest() if len(pending) == threads else None
            pending.append((pool.submit(work, buffer, filled), buffer, filled))
            if done is not None:  # given on only now, so that no worker waits for what is done with it
                yield done
        while pending:
            yield oldest()


def _frame(compressor: zstd.ZstdCompressor, buffer: bytearray, filled: int) -> bytes:
    with memoryview(buffer) as whole, whole[:filled] as view:
        return compressor.compress(view, compressor.FLUSH_FRAME)


def _filled(chunks: Iterable[bytes], buffers: list[bytearray]) -> Iterator[tuple[bytearray, int]]:
    """Give buffers filled with the bytes, and how far; only the last is not full. An empty stream fills one with none.

    A buffer is taken from `buffers`, and put back by whoever is done with it.
    """
    buffer, filled, given = buffers.pop(), 0, False
    for chunk in chunks:
        at = 0
        while at < len(chunk):
            taken = min(FRAME_BYTES - filled, len(chunk) - at)
            memoryview(buffer)[filled : filled + taken] = memoryview(chunk)[at : at + taken]
            filled, at = filled + taken, at + taken
            if filled == FRAME_BYTES:
                yield buffer, filled
                buffer, filled, given = buffers.pop(), 0, True
    if filled or not given:
        yield buffer, filled


def decompress(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress zstd frames, one after the other, in pieces of at most 1 MiB.

    Raise IntegrityError when the data is not zstd, is damaged, ends early, or is followed by anything else. Pieces
    given before that may be parts of a damaged whole: only the end of the stream vouches for it.
    """
    for _, piece in _decompressed(chunks):
        yield piece


def decompress_frames(chunks: Iterable[bytes], sizes: Iterable[int]) -> Iterator[bytes]:
    """Decompress as many frames as there are `sizes`, which tell how many bytes each one holds.

    Raise IntegrityError as `decompress` does, and before anything is given from behind a frame of another size.
    """
    wrong = "the frames of the compressed data are of other sizes than its seek table tells"
    told = iter(sizes)
    begun, left = 0, 0
    for frame, piece in _decompressed(chunks):
        while begun <= frame and not left:
            begun, left = begun + 1, next(told, 0)
        if begun != frame + 1 or len(piece) > left:
            raise IntegrityError(wrong)
        left -= len(piece)
        yield piece
    if left or any(told):
        raise IntegrityError(wrong)


def _decompressed(chunks: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Give the bytes in pieces, each with the number of its frame."""
    decoder, frame = _decoder(), 0
    fresh = True
    try:
        for chunk in chunks:
            data = chunk
            while data:
                if decoder.eof:
                    decoder, frame = _decoder(), frame + 1
                for piece in _pieces(decoder, data):
                    yield frame, piece
                data = decoder.unused_data if decoder.eof else b""
                fresh = False
    except zstd.ZstdError as error:
        raise IntegrityError(f"the compressed data is damaged: {error}") from error
    if fresh or not decoder.eof:
        raise IntegrityError("the compressed data ends early")


def _decoder() -> zstd.ZstdDecompressor:
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX})


def _pieces(decoder: zstd.ZstdDecompressor, data: bytes) -> Iterator[bytes]:
    piece = decoder.decompress(data, _PIECE)
    while True:
        if piece:
            yield piece
        if decoder.eof or decoder.needs_input:
            return
        piece = decoder.decompress(b"", _PIECE)
