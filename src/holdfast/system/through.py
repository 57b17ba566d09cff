"""Passes a stream through a program, and what it prints to whoever wants it, while it goes on."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable

from holdfast.model.errors import Error, SourceError
from holdfast.system import proc
from holdfast.system.stop import Stop

Take = Callable[[bytes], None]


def through(command: proc.Command, chunks: Iterable[bytes], stop: Stop, take: Take) -> None:
    """Feed `chunks` to a program and call `take`, from a thread of its own, with each piece that it prints.

    Ends when the program exited 0 and all it printed was taken; else raises as `proc.feed`, or what `take` raised.
    """
    read, write = os.pipe()
    with stop.derived() as limited:
        taker = _Taker(read, take, limited)
        taker.start()
        try:
            try:
                proc.feed(command, chunks, limited, stdout=write)
            finally:
                os.close(write)
        except BaseException:
            taker.give_up()
            taker.join()
            if taker.error is not None:  # it is why the program was ended
                raise taker.error from None
            raise
        finally:
            taker.join()
            os.close(read)
        if taker.error is not None:
            raise taker.error


class _Taker:
    """Reads the pipe to its end; an error ends the program, so that nobody waits for a reader that is gone."""

    def __init__(self, pipe: int, take: Take, stop: Stop) -> None:
        self.error: BaseException | None = None
        self._pipe = pipe
        self._take = take
        self._limited = stop
        self._wanted = True
        # Not a subclass of Thread: the names that one has for itself differ from one version of Python to the next.
        self._thread = threading.Thread(target=self._run, name="through", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def give_up(self) -> None:
        """What comes from now on is of no interest."""
        self._wanted = False

    def _run(self) -> None:
        while chunk := os.read(self._pipe, proc.READ_BYTES):
            if not self._wanted or self.error is not None:
                continue
            try:
                self._take(chunk)
            except Error as error:
                self._fail(error, error)
            except BaseException as error:  # noqa: BLE001 - it is raised in the thread that waits for this one
                self._fail(error, SourceError(f"reading what a program prints failed: {error!r}"))

    def _fail(self, error: BaseException, reason: Error) -> None:
        self.error = error
        self._limited.request(reason)
