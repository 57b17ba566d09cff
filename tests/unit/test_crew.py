from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest

from holdfast.model.errors import CancelledError, IntegrityError, SourceError
from holdfast.system.crew import crew
from holdfast.system.stop import Stop


def _do(
    hands: int,
    *works: Callable[[Stop], None],
    then: Callable[[Future[None]], None] = lambda _: None,
    stop: Stop | None = None,
) -> None:
    """Let a crew do all of it, and do something with the last thing in the `with`."""
    with crew(hands, stop or Stop()) as crew_of_it:
        *_, last = [crew_of_it.begin(work) for work in works]
        then(last)


def test_gives_what_was_done() -> None:
    with crew(2, Stop()) as hands:
        number, text = hands.begin(lambda _: 1), hands.begin(lambda _: "two")
    assert (number.result(), text.result()) == (1, "two")


def test_does_things_at_the_same_time() -> None:
    together = threading.Barrier(2, timeout=10)
    with crew(2, Stop()) as hands:
        for _ in range(2):
            hands.begin(lambda _: together.wait())


def test_does_no_more_at_once_than_it_has_hands() -> None:
    both, free = threading.Barrier(3, timeout=10), threading.Event()
    order: list[int] = []
    begun = threading.Event()

    def busy(_: Stop) -> None:
        both.wait()
        assert free.wait(10)

    def third(_: Stop) -> None:
        order.append(3)
        begun.set()

    with crew(2, Stop()) as hands:
        hands.begin(busy)
        hands.begin(busy)
        hands.begin(third)
        hands.begin(lambda _: order.append(4))
        both.wait()
        too_early = begun.wait(0.05)
        free.set()
    assert not too_early
    assert sorted(order) == [3, 4]


def test_raises_what_failed_first_and_stops_the_others() -> None:
    began: list[str] = []

    def waits(stop: Stop) -> None:
        stop.wait(30)
        stop.check()

    def fails(_: Stop) -> None:
        raise IntegrityError("damaged")

    with pytest.raises(IntegrityError, match="damaged"):
        _do(2, waits, fails, lambda _: began.append("too late"))
    assert began == []


def test_an_error_in_the_with_stops_the_crew_and_is_raised() -> None:
    ended = threading.Event()

    def waits(stop: Stop) -> None:
        stop.wait(30)
        ended.set()

    def fail(_: Future[None]) -> None:
        raise SourceError("gone")

    with pytest.raises(SourceError, match="gone"):
        _do(1, waits, then=fail)
    assert ended.is_set()


def test_a_failure_counts_before_what_it_made_fail_in_the_with() -> None:
    def fails(_: Stop) -> None:
        raise IntegrityError("damaged")

    def fail(work: Future[None]) -> None:
        assert isinstance(work.exception(10), IntegrityError)
        raise SourceError("for want of it")

    with pytest.raises(IntegrityError, match="damaged"):
        _do(1, fails, then=fail)


def test_is_stopped_from_outside() -> None:
    stop = Stop()

    def waits(inner: Stop) -> None:
        stop.request()
        inner.wait(30)
        inner.check()

    with pytest.raises(CancelledError):
        _do(1, waits, stop=stop)
