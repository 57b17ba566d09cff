"""Cutting a stream into blocks of one size, and sending one in a thread while the next is filled: two are in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self


def blocks(chunks: Iterable[bytes], size: int) -> Iterator[bytearray]:
    """Give the bytes in blocks of exactly `size`, the last one shorter; one empty block when there are none."""
    # Made at full size, because one that grows takes an eighth more; pages that stay untouched cost nothing.
    block, filled, given = bytearray(size), 0, False
    for chunk in chunks:
        view = memoryview(chunk)
        while view:
            taken = view[: size - filled]
            block[filled : filled + len(taken)] = taken
            filled += len(taken)
            view = view[len(taken) :]
            if filled == size:
                yield block
                block, filled, given = bytearray(size), 0, True
    if filled or not given:
        del block[filled:]
        yield block


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
