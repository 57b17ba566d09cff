from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from holdfast.model.errors import CancelledError, IntegrityError
from holdfast.system.early import begun
from holdfast.system.stop import Stop


class Made:
    """Tells what became of it."""

    def __init__(self, error: Exception | None = None) -> None:
        self.said: list[str] = []
        self._error = error
        self.going = threading.Event()

    @contextmanager
    def __call__(self, _: Stop) -> Iterator[str]:
        self.said.append("entered")
        self.going.set()
        if self._error is not None:
            raise self._error
        try:
            yield "it"
        finally:
            self.said.append("left")

    @contextmanager
    def endless(self, stop: Stop) -> Iterator[str]:
        self.said.append("entered")
        self.going.set()
        stop.wait(30)
        stop.check()
        yield "never"


def test_it_is_entered_at_once_and_left_where_it_is_taken_over() -> None:
    made = Made()
    with begun(made, Stop()) as early:
        assert made.going.wait(10)
        with early as value:
            assert (value, made.said) == ("it", ["entered"])
        assert made.said == ["entered", "left"]
    assert made.said == ["entered", "left"]


def test_what_it_raises_is_raised_where_it_is_taken_over() -> None:
    made = Made(IntegrityError("damaged"))
    with begun(made, Stop()) as early, pytest.raises(IntegrityError, match="damaged"), early:
        raise AssertionError("it was entered")


def test_what_nobody_takes_over_is_left() -> None:
    made = Made()
    with begun(made, Stop()):
        assert made.going.wait(10)
    assert made.said == ["entered", "left"]


def test_what_nobody_waits_for_is_stopped() -> None:
    made = Made()
    with begun(made.endless, Stop()):
        assert made.going.wait(10)
    assert made.said == ["entered"]


def test_a_stop_reaches_it() -> None:
    made, stop = Made(), Stop()
    with begun(made.endless, stop) as early:
        assert made.going.wait(10)
        stop.request()
        with pytest.raises(CancelledError), early:
            raise AssertionError("it was entered")


def test_what_is_abandoned_is_left_at_once() -> None:
    made = Made()
    with begun(made, Stop()) as early:
        early.abandon()
        assert made.said == ["entered", "left"]
    assert made.said == ["entered", "left"]


def test_what_is_abandoned_while_it_begins_is_stopped() -> None:
    made = Made()
    with begun(made.endless, Stop()) as early:
        assert made.going.wait(10)
        early.abandon()
    assert made.said == ["entered"]


def test_what_was_left_already_may_be_abandoned() -> None:
    made = Made()
    with begun(made, Stop()) as early:
        with early:
            pass
        early.abandon()
    assert made.said == ["entered", "left"]
