"""Cutting a stream into blocks of one size, and sending one in a thread while the next is filled: two are in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

_GROWN = 4  # times as large: to grow a little each time would be to copy again and again


def blocks(chunks: Iterable[bytes], size: int) -> Iterator[bytearray]:
    """Give the bytes in blocks of exactly `size`, the last one shorter; one empty block when there are none.

    Two blocks take turns: one is the caller's until the second after it is asked for.
    """
    block, other = bytearray(), bytearray()  # grown once it is needed: most objects are small
    filled, given = 0, False
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            taken = view[: size - filled]
            end = filled + len(taken)
            if end > len(block):
                block += bytes(min(size, max(end, _GROWN * len(block))) - len(block))
            block[filled:end] = taken
            filled, view = end, view[len(taken) :]
            if filled == size:
                yield block
                block, other = other, block
                filled, given = 0, True
    if filled or not given:
        yield block[:filled]


class Sender:
    """Runs one job at a time in a thread of its own; leaving the `with` sets `stop` and waits for the last one."""

    def __init__(self, name: str) -> None:
        self.stop = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=name)
        self._running: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop.set()
        self._pool.shutdown()

    def begin(self, job: Callable[[], None]) -> None:
        """Begin the job once the one before has ended. Raise what that one raised."""
        self.wait()
        self._running = self._pool.submit(job)

    def wait(self) -> None:
        """Wait for the job that runs. Raise what it raised."""
        if self._running is not None:
            self._running.result()
