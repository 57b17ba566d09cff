"""A clock that a test sets: the wall clock and the passing of time, apart from each other."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(slots=True)
class FakeClock:
    """Both times go on by `sleep` only; `set` moves the wall clock alone."""

    wall: datetime
    passed: float = 1000.0
    booted: str = "first"

    def now(self) -> datetime:
        return self.wall

    def monotonic(self) -> float:
        return self.passed

    def boot(self) -> tuple[str, float]:
        return self.booted, self.passed

    def sleep(self, delta: timedelta) -> None:
        self.wall += delta
        self.passed += delta.total_seconds()

    def set(self, wall: datetime) -> None:
        self.wall = wall
