"""Pulls a stream in a thread of its own, a little ahead of whoever consumes it."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from contextlib import suppress
from queue import Empty, Queue

_PIECES = 2


def ahead(chunks: Iterable[bytes], *, pieces: int = _PIECES) -> Generator[bytes, None, None]:
    """Give the chunks as they are, up to `pieces` of them pulled before they are asked for.

    What the source raises is raised here, in its place. The thread has ended when the generator has, also when it is
    closed early.
    """
    queue: Queue[bytes | None] = Queue(pieces)
    closed = threading.Event()
    raised: list[BaseException] = []

    def pull() -> None:
        try:
            for chunk in chunks:
                queue.put(chunk)
                if closed.is_set():
                    break
        except BaseException as error:  # noqa: BLE001 - whatever it is, the consumer raises it
            raised.append(error)
        finally:
            queue.put(None)

    thread = threading.Thread(target=pull, name="ahead", daemon=True)
    thread.start()
    try:
        while (chunk := queue.get()) is not None:
            yield chunk
        if raised:
            raise raised[0]
    finally:
        closed.set()
        while thread.is_alive():  # it may wait for room
            with suppress(Empty):
                queue.get(timeout=0.05)
        thread.join()
