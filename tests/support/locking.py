"""A rule for locks that lasts for moments only."""

from __future__ import annotations

from datetime import timedelta

from holdfast.model import layout
from holdfast.stores.locking import LockMode, LockRule


def rule(mode: LockMode = "compliance") -> LockRule:
    """Lock what belongs to a backup for 20 seconds, and nothing beyond two hours."""
    return LockRule(
        mode=mode,
        first=timedelta(seconds=20),
        longest=timedelta(hours=2),
        applies=lambda key: layout.parse_key(key) is not None,
    )
