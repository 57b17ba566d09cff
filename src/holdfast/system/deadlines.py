"""Cuts a connection that takes too long in all: a socket's own timeout begins anew with each byte."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress


@contextmanager
def deadline(connection: Callable[[], socket.socket | None], seconds: float) -> Iterator[None]:
    """Shut the socket down, when it is there, `seconds` after the `with` began; raise TimeoutError then.

    Whoever is blocked in it is woken by that.
    """
    over = threading.Event()

    def cut() -> None:
        over.set()
        found = connection()
        if found is not None:
            with suppress(OSError):  # it was closed, or changes into one with TLS; its own timeout is left
                socket.socket.shutdown(found, socket.SHUT_RDWR)

    timer = threading.Timer(seconds, cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if over.is_set():
            raise TimeoutError(f"it took longer than {seconds:g} s") from error
        raise
    finally:
        timer.cancel()
    if over.is_set():  # what was cut off may look like a whole
        raise TimeoutError(f"it took longer than {seconds:g} s")
