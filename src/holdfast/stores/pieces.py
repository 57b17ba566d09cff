"""Reading an object as ranges that are asked for one by one: each is tried again by itself, and two are never mixed."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast.model.errors import StoreError
from holdfast.stores.base import NoRangesError

READ_BYTES = 1024 * 1024
PIECE_BYTES = 8 * READ_BYTES  # held in memory


class Sink:
    """A file to write to that holds `size` bytes and no more."""

    def __init__(self, size: int) -> None:
        self.data = bytearray()
        self._size = size

    def write(self, data: bytes) -> int:
        """Take the data. Raise NoRangesError when more comes than was asked for."""
        if len(self.data) + len(data) > self._size:
            raise NoRangesError("more bytes came than were asked for")
        self.data += data
        return len(data)


def in_pieces(
    fetch: Callable[[int, int], bytearray],
    *,
    what: str,
    size: int,
    start: int,
    length: int | None,
) -> Iterator[bytes]:
    """Give the bytes of an object of `size` bytes from `start` on. `fetch` gives those from one place up to another.

    `what` names the object in errors: StoreError when a piece is too short, NoRangesError when too much comes.
    """
    end = size if length is None else min(size, start + length)
    for at in range(start, end, PIECE_BYTES):
        until = min(end, at + PIECE_BYTES)
        try:
            data = fetch(at, until)
        except NoRangesError as error:
            raise NoRangesError(
                f"{what} came whole when a piece of it was asked for",
                hint="The store, or a proxy before it, ignores the Range header.",
            ) from error
        if len(data) != until - at:
            raise StoreError(f"{what} broke off after {at - start + len(data)} of {end - start} bytes")
        view = memoryview(data)
        for piece in range(0, len(data), READ_BYTES):
            yield bytes(view[piece : piece + READ_BYTES])
