"""Decrypts pieces of an age file (age-encryption.org/v1) without reading the rest of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.streams.age import CHUNK, TAG, altered, chunk_nonce, decrypt_chunks, open_head
from holdfast.streams.chunks import rechunk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.streams.age_keys import Identity

    Read = Callable[[int, int], Iterator[bytes]]  # the file's bytes from one offset to another

_SEALED = CHUNK + TAG
_BATCH = 16
_HEAD = 8 * 1024  # what is read of a header at a time: some recipients, or four post-quantum ones


class AgeRanges:
    """An age file of which pieces are decrypted. `size` is how many bytes are encrypted in it.

    Every byte given is authentic and from its very place: a chunk is bound to its number and to the key that the
    header wraps. That holds for the file that was written, and for no other to the same recipients, only because the
    header's digest is known.
    """

    def __init__(
        self, read: Read, stored_size: int, identities: Sequence[Identity], *, header_sha256: str
    ) -> None:
        """Open the header of a file of `stored_size` bytes, which `read` gives. Errors as those of `age.decrypt`."""
        self._read = read
        pieces = (
            piece for at in range(0, stored_size, _HEAD) for piece in read(at, min(stored_size, at + _HEAD))
        )
        self._key, self._payload, _ = open_head(pieces, identities, header_sha256=header_sha256)
        sealed = stored_size - self._payload
        self._chunks = max(1, -(-sealed // _SEALED))
        self._end = stored_size
        self.size = sealed - self._chunks * TAG
        if self.size < 0 or (self._chunks > 1 and self.size <= (self._chunks - 1) * CHUNK):
            raise altered()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Give the encrypted bytes from `start` to `end`. Raise IntegrityError where a chunk was altered or is missing."""
        if not 0 <= start <= end <= self.size:
            raise ValueError(f"no bytes {start} to {end} among {self.size}")
        return self._decrypted(start, end) if start < end else iter(())

    def _decrypted(self, start: int, end: int) -> Iterator[bytes]:
        first, behind = start // CHUNK, -(-end // CHUNK)
        at = self._payload + first * _SEALED
        stored = self._read(at, min(self._end, self._payload + behind * _SEALED))
        number, skip, left = first, start - first * CHUNK, end - start
        for block in rechunk(stored, _SEALED * _BATCH):
            view = memoryview(block)
            batch = [view[place : place + _SEALED] for place in range(0, len(block), _SEALED)]
            plain = decrypt_chunks(self._key, self._numbered(batch, number))
            number += len(batch)
            piece = plain[skip : skip + left]
            skip, left = 0, left - len(piece)
            yield piece
        if left:
            raise altered()

    def _numbered(self, batch: Sequence[memoryview], first: int) -> Iterator[tuple[bytes, memoryview]]:
        for number, chunk in enumerate(batch, first):
            yield chunk_nonce(number, last=number == self._chunks - 1), chunk
