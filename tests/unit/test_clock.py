"""A clock that is set is noticed, and so is a machine that slept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from holdfast.system.clock import JumpWatch
from support.clock import FakeClock

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_time_that_passes_is_no_jump_nor_is_a_small_correction() -> None:
    clock = FakeClock(NOON)
    watch = JumpWatch(clock)
    for _ in range(100):
        clock.sleep(HOUR)
        clock.set(clock.now() + timedelta(milliseconds=300))
        assert watch.look() in (timedelta(), timedelta(seconds=60))
    assert not watch.suspect


def test_a_clock_that_is_set_forward_or_a_sleep_is_a_jump_once() -> None:
    clock = FakeClock(NOON)
    watch = JumpWatch(clock)
    clock.set(NOON + 3 * HOUR)
    assert watch.look() == 3 * HOUR
    assert watch.look() == timedelta()
    assert not watch.suspect


def test_a_clock_that_is_set_back_is_suspect_until_it_has_made_up_for_it() -> None:
    clock = FakeClock(NOON)
    watch = JumpWatch(clock)
    clock.set(NOON - HOUR)
    assert watch.look() == -HOUR
    assert watch.suspect
    clock.sleep(HOUR)
    assert watch.look() == timedelta()
    assert not watch.suspect


def test_a_clock_that_was_set_back_while_nobody_was_there_is_suspect() -> None:
    assert JumpWatch(FakeClock(NOON), seen=NOON + HOUR).suspect
    assert not JumpWatch(FakeClock(NOON), seen=NOON - HOUR).suspect
