"""The one home of the clock."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

_JUMP = timedelta(minutes=1)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Protocol):
    """What the jobs ask for the time."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        ...

    def boot(self) -> tuple[str, float]:
        """Which boot of the machine this is, and the seconds since then, sleep counted: the same for all processes."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The wall clock, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds that never go back, for durations."""
        return time.monotonic()

    def boot(self) -> tuple[str, float]:
        """Which boot this is, and the seconds since; see Clock."""
        try:
            boot = _BOOT_ID.read_text().strip()
        except OSError:  # a container may not let us look; then every process is a boot of its own
            boot = f"unknown, process {os.getpid()}"
        return boot, time.clock_gettime(time.CLOCK_BOOTTIME)


class JumpWatch:
    """Notices that the wall clock and the passing of time disagree: it was set, or the machine slept.

    `suspect` tells that the clock shows an earlier time than it did, by more than a minute: then "newest" means little.
    """

    def __init__(self, clock: Clock, seen: datetime | None = None) -> None:
        """Begin to watch; `seen` is the latest time that is known to have been shown before."""
        self._clock = clock
        self._latest = max(clock.now(), seen) if seen is not None else clock.now()
        self._offset = self._now_offset()

    @property
    def suspect(self) -> bool:
        """Whether the clock was set back and has not made up for it."""
        return self._latest - self._clock.now() > _JUMP

    def look(self) -> timedelta:
        """Tell how far the clock jumped since the last look: nothing unless by more than a minute; back is negative."""
        offset = self._now_offset()
        jump = timedelta(seconds=offset - self._offset)
        self._latest = max(self._latest, self._clock.now())
        if abs(jump) <= _JUMP:
            return timedelta()
        self._offset = offset
        return jump

    def _now_offset(self) -> float:
        return self._clock.now().timestamp() - self._clock.monotonic()
