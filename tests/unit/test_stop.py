"""A stop reaches everyone who works or waits, once, with the first reason."""

from __future__ import annotations

import itertools
import os
import queue
import signal
import threading
import time
from functools import partial

import pytest

from holdfast.model.errors import CancelledError, SourceError
from holdfast.system.stop import Stop


def test_nothing_is_raised_before_a_request() -> None:
    stop = Stop()
    stop.check()
    assert (stop.requested, stop.error, stop.wait(0), stop.wait(-1)) == (False, None, False, False)


def test_a_request_is_raised_with_its_reason() -> None:
    stop = Stop()
    reason = SourceError("the lock session was lost")
    stop.request(reason)
    assert stop.requested
    assert stop.error is reason
    with pytest.raises(SourceError, match="lock session"):
        stop.check()


def test_the_default_reason_is_cancelled() -> None:
    stop = Stop()
    stop.request()
    with pytest.raises(CancelledError) as caught:
        stop.check()
    assert caught.value.exit_code == 130


def test_the_first_reason_stays() -> None:
    stop = Stop()
    first = SourceError("first")
    stop.request(first)
    stop.request(SourceError("second"))
    assert stop.error is first


def test_everyone_who_waits_is_woken() -> None:
    stop = Stop()
    woken: list[bool] = []
    threads = [threading.Thread(target=lambda: woken.append(stop.wait(30))) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
    begun = time.monotonic()
    stop.request()
    for thread in threads:
        thread.join(10)
    assert woken == [True] * 4
    assert time.monotonic() - begun < 5
    assert stop.wait(30)


def test_a_callback_is_called_at_most_once_from_the_requesting_thread() -> None:
    stop = Stop()
    calls: list[int] = []
    with stop.calling(lambda: calls.append(threading.get_ident())):
        thread = threading.Thread(target=stop.request)
        thread.start()
        thread.join()
        stop.request()
        assert calls == [thread.ident]


def test_a_callback_outside_of_its_with_is_not_called() -> None:
    stop = Stop()
    calls: list[str] = []
    with stop.calling(lambda: calls.append("over")):
        pass
    stop.request()
    assert calls == []


def test_a_callback_that_comes_too_late_is_called_at_once() -> None:
    stop = Stop()
    stop.request()
    calls: list[str] = []
    with stop.calling(lambda: calls.append("late")):
        assert calls == ["late"]
    assert calls == ["late"]


def test_a_derived_token_stops_with_its_parent_for_the_same_reason() -> None:
    stop = Stop()
    reason = SourceError("deadline")
    with stop.derived() as inner, inner.derived() as innermost:
        stop.request(reason)
        assert innermost.error is reason
        with pytest.raises(SourceError, match="deadline"):
            innermost.check()


def test_a_parent_does_not_stop_with_a_derived_token() -> None:
    stop = Stop()
    with stop.derived() as inner:
        inner.request()
    assert not stop.requested


def test_a_token_derived_too_late_is_stopped_from_the_start() -> None:
    stop = Stop()
    stop.request(reason := SourceError("before"))
    with stop.derived() as inner:
        assert inner.error is reason


def test_threads_that_come_and_go_while_a_stop_is_requested_are_each_called_once() -> None:
    for _ in range(50):
        stop = Stop()
        calls = [0] * 4
        ready = threading.Barrier(5)

        def work(
            number: int, stop: Stop = stop, calls: list[int] = calls, ready: threading.Barrier = ready
        ) -> None:
            def count() -> None:
                calls[number] += 1

            ready.wait()
            with stop.calling(count):
                assert stop.wait(10)

        threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
        for thread in threads:
            thread.start()
        ready.wait()
        stop.request()
        for thread in threads:
            thread.join(20)
        assert calls == [1] * 4


@pytest.mark.extended
def test_a_signal_handler_may_request_at_any_step_of_its_own_thread() -> None:
    """Signals come in between all the steps of registering, waiting and leaving; nothing hangs or goes unheard."""
    current = Stop()
    main = threading.get_ident()
    delays = itertools.cycle(microseconds * 1e-6 for microseconds in range(60))
    go: queue.SimpleQueue[float | None] = queue.SimpleQueue()

    def shoot() -> None:
        while (delay := go.get()) is not None:
            time.sleep(delay)
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: current.request())
    thread = threading.Thread(target=shoot)
    thread.start()
    try:
        deadline = time.monotonic() + 2
        while time.monotonic() < deadline:
            current = Stop()
            heard: list[bool] = []
            go.put(next(delays))
            with current.calling(partial(heard.append, True)):  # noqa: FBT003 - a value in a list
                begun = time.monotonic()
                assert current.wait(20), "the request was not heard"
                assert time.monotonic() - begun < 10
                assert heard == [True]
    finally:
        go.put(None)
        thread.join()
        signal.signal(signal.SIGUSR1, before)


def test_a_wait_in_the_main_thread_ends_at_a_signal() -> None:
    stop = Stop()
    before = signal.signal(signal.SIGUSR1, lambda _number, _frame: stop.request())
    try:
        timer = threading.Timer(0.1, os.kill, [os.getpid(), signal.SIGUSR1])
        timer.start()
        begun = time.monotonic()
        assert stop.wait(30)
        assert time.monotonic() - begun < 10
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_what_goes_through_a_list_stops_between_two_items() -> None:
    stop = Stop()
    items = stop.checked(range(1000))
    assert [next(items), next(items)] == [0, 1]
    stop.request()
    with pytest.raises(CancelledError):
        next(items)
