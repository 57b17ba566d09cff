"""Begins a context in a thread of its own, ahead of the `with` that it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import TracebackType
from typing import Generic, TypeVar

from holdfast.system.stop import Stop

T = TypeVar("T")


@contextmanager
def begun(make: Callable[[Stop], AbstractContextManager[T]], stop: Stop) -> Iterator[Begun[T]]:
    """Enter what `make` gives at once, beside what is done in this `with`; in it, what is given may be entered, once.

    That waits until the other is entered, or raises what it raised. Where nobody enters it, it is stopped and left.
    """
    with stop.derived() as limited, ThreadPoolExecutor(1, thread_name_prefix="begun") as pool:
        held = ExitStack()
        early = Begun(pool.submit(held.enter_context, make(limited)), held, limited)
        try:
            yield early
        finally:
            early.abandon()


class Begun(AbstractContextManager[T], Generic[T]):
    """What was begun: a context that is entered, or about to be."""

    def __init__(self, entering: Future[T], held: ExitStack, limited: Stop) -> None:
        self._entering, self._held, self._limited = entering, held, limited

    def __enter__(self) -> T:
        """Wait until it is entered, and give what it gives; or raise what it raised."""
        return self._entering.result()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Leave it."""
        return self._held.__exit__(kind, error, trace)

    def abandon(self) -> None:
        """Stop and leave it, unless that was done."""
        if not self._entering.done():
            self._limited.request()
            wait([self._entering])
        self._held.close()
