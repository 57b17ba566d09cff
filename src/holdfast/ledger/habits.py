"""How often a target without a schedule is backed up all the same: from here, by cron or by hand, or by another host."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from datetime import timedelta
from itertools import pairwise
from statistics import median

from holdfast.ledger.ledger import Ledger
from holdfast.model import layout
from holdfast.model.codec import parse_time

TIMES, SLACK, LEAST = 3, timedelta(hours=2), timedelta(hours=26)  # as in HoldfastBackupStopped
_FEWEST = 4  # of fewer nobody can say what is usual
_TARGETS = """
    SELECT target FROM backup_tallies UNION SELECT target FROM run_tallies WHERE job = 'backup' AND status = 'succeeded'
    EXCEPT SELECT target FROM schedules WHERE job = 'backup'
"""
_TAKEN_HERE = (
    "SELECT started_at FROM runs WHERE target = ? AND job = 'backup' AND status = 'succeeded'"
    " ORDER BY id DESC LIMIT 8"
)
# Those that retention removed since count, too: measures outlive their backups.
_FOUND = """
    SELECT id FROM (
        SELECT id FROM backups WHERE target = ?1 AND NOT imported
        UNION SELECT * FROM (
            SELECT DISTINCT backup_id FROM measures INDEXED BY measures_by_backup WHERE target = ?1
            AND backup_id NOT IN (SELECT id FROM backups WHERE target = ?1 AND imported)
            ORDER BY backup_id DESC LIMIT 8
        )
    ) ORDER BY id DESC LIMIT 8
"""


def intervals(connection: sqlite3.Connection) -> dict[str, float]:
    """The seconds that usually lie between the backups of each target without a schedule, where there is a habit."""

    def texts(query: str, target: str) -> list[str]:
        return [text for (text,) in connection.execute(query, [target])]

    found = {target: _usual(texts, target) for (target,) in connection.execute(_TARGETS).fetchall()}
    return {target: usual.total_seconds() for target, usual in found.items() if usual is not None}


def interval(ledger: Ledger, target: str) -> timedelta | None:
    """The same of one target, whatever its schedule."""
    return _usual(
        lambda query, of: [str(value) for row in ledger.read(query, [of]) for value in row.values()], target
    )


def allowed(usual: timedelta) -> timedelta:
    """How old the last good backup may be where so much usually lies between two."""
    return max(TIMES * usual + SLACK, LEAST)


def _usual(texts: Callable[[str, str], Sequence[str]], target: str) -> timedelta | None:
    """What lies between those that this host takes; where it takes none, or too few, between those that came to light."""
    times = [parse_time(text) for text in texts(_TAKEN_HERE, target)]
    if len(times) < _FEWEST:
        times = [layout.backup_time(text) for text in texts(_FOUND, target)]
    if len(times) < _FEWEST:
        return None
    times.sort()
    return timedelta(seconds=median((later - earlier).total_seconds() for earlier, later in pairwise(times)))
