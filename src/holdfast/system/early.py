"""Begins a context in a thread of its own, ahead of the `with` that it is for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TypeVar

from holdfast.system.stop import Stop

T = TypeVar("T")


@contextmanager
def begun(
    make: Callable[[Stop], AbstractContextManager[T]], stop: Stop
) -> Iterator[AbstractContextManager[T]]:
    """Enter what `make` gives at once, beside what is done in this `with`; in it, what is given may be entered, once.

    That waits until the other is entered, or raises what it raised. Where nobody enters it, it is stopped and left.
    """
    with (
        stop.derived() as limited,
        ExitStack() as held,
        ThreadPoolExecutor(1, thread_name_prefix="begun") as pool,
    ):
        entering = pool.submit(held.enter_context, make(limited))
        try:
            yield _taken_over(entering, held)
        finally:
            if not entering.done():
                limited.request()


@contextmanager
def _taken_over(entering: Future[T], held: ExitStack) -> Iterator[T]:
    value = entering.result()
    with held.pop_all():
        yield value
