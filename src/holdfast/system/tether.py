"""Ties a child's group to this process: when it dies, however it dies, the kernel ends the group."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tether:
    """`fds` are for the child to inherit; `tie` is called with its process group as soon as there is one."""

    fds: tuple[int, ...]
    tie: Callable[[int], None]


@contextmanager
def tether() -> Iterator[Tether]:
    """Give a pipe of which the child holds one end, and this process the other.

    When the last descriptor of our end is closed, which SIGKILL does too, the kernel sends SIGTERM to the group: a
    program of PostgreSQL then cancels what it has the server do. A pg_restore that works from a file would notice
    nothing. Linux only: elsewhere nothing is tied.
    """
    if not hasattr(fcntl, "F_SETSIG"):
        yield Tether(fds=(), tie=lambda _: None)
        return
    theirs, ours = os.pipe()  # inherited by nobody, unless it is told so
    held = [theirs]

    def tie(group: int) -> None:
        fcntl.fcntl(theirs, fcntl.F_SETOWN, -group)
        fcntl.fcntl(theirs, fcntl.F_SETSIG, signal.SIGTERM)
        fcntl.fcntl(theirs, fcntl.F_SETFL, os.O_ASYNC)
        os.close(held.pop())  # at our death the child's has to be the one that is left

    try:
        yield Tether(fds=(theirs,), tie=tie)
    finally:
        for handle in (*held, ours):
            os.close(handle)
