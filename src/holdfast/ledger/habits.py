"""How often a target without a schedule is backed up from here all the same: by cron, or by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from statistics import median

from holdfast.ledger.ledger import Ledger
from holdfast.model.codec import parse_time

_FEWEST = 4  # of fewer runs nobody can say what is usual
_TARGETS = """
    SELECT target FROM run_tallies WHERE job = 'backup' AND status = 'succeeded' AND runs > 0
    EXCEPT SELECT target FROM schedules WHERE job = 'backup'
"""
_BEGUN = (
    "SELECT started_at FROM runs WHERE target = ? AND job = 'backup' AND status = 'succeeded'"
    " ORDER BY id DESC LIMIT 8"
)


def intervals(connection: sqlite3.Connection) -> dict[str, float]:
    """The seconds that usually lie between the backups of each target without a schedule, where there is a habit."""
    found = {
        target: _usual([parse_time(text) for (text,) in connection.execute(_BEGUN, [target])])
        for (target,) in connection.execute(_TARGETS).fetchall()
    }
    return {target: usual.total_seconds() for target, usual in found.items() if usual is not None}


def interval(ledger: Ledger, target: str) -> timedelta | None:
    """The same of one target, whatever its schedule."""
    return _usual([parse_time(str(row["started_at"])) for row in ledger.read(_BEGUN, [target])])


def _usual(begun: Sequence[datetime]) -> timedelta | None:
    if len(begun) < _FEWEST:
        return None
    times = sorted(begun)
    return timedelta(seconds=median((later - earlier).total_seconds() for earlier, later in pairwise(times)))
