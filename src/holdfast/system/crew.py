"""Does several things at the same time, of which none is worth anything without the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from holdfast.system.stop import Stop

T = TypeVar("T")


@contextmanager
def crew(hands: int, stop: Stop) -> Iterator[Crew]:
    """Give a crew of so many threads. Leaving waits until all is done.

    When one thing fails, or what is done in the `with`, the others are stopped, and what failed first is raised.
    """
    with stop.derived() as limited, ThreadPoolExecutor(hands, thread_name_prefix="crew") as pool:
        mine = Crew(pool, limited)
        try:
            with mine.failing():
                yield mine
        finally:
            pool.shutdown()
            mine.raise_first()


class Crew:
    """Does what it is given in that order, each thing as soon as somebody is free."""

    def __init__(self, pool: Executor, stop: Stop) -> None:
        self._pool, self._stop = pool, stop
        self._failures: list[BaseException] = []

    def begin(self, work: Callable[[Stop], T]) -> Future[T]:
        """Have something done. What it gives is to be had when the crew was left."""
        return self._pool.submit(self._do, work)

    def _do(self, work: Callable[[Stop], T]) -> T:
        with self.failing():
            self._stop.check()
            return work(self._stop)

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Stop everybody where what is done in the `with` fails."""
        try:
            yield
        except BaseException as error:
            self._failures.append(error)  # before the others fail for being stopped
            self._stop.request()
            raise

    def raise_first(self) -> None:
        """Raise what failed first, if anything did."""
        if self._failures:
            raise self._failures[0]
