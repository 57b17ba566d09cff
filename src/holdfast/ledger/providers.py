"""What the platform of a target last said of its own backups."""

from __future__ import annotations

from datetime import datetime

from holdfast.ledger.ledger import Ledger
from holdfast.model.codec import time_text
from holdfast.model.platform import PlatformBackups


def record(ledger: Ledger, target: str, found: PlatformBackups, at: datetime) -> None:
    """Note what the platform said, in place of what it said before."""
    window = found.pitr_window or (None, None)
    times = (at, found.last_success, *window)
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO providers (target, asked_at, last_success_at, window_start, window_end)"
            " VALUES (?, ?, ?, ?, ?)",
            [target, *(None if each is None else time_text(each) for each in times)],
        )
