"""What the ledger knows of its own losses: that it took the place of a damaged one, or was put back to an earlier state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from holdfast.ledger import database
from holdfast.ledger.ledger import Ledger
from holdfast.model.backup import Backup
from holdfast.model.codec import parse_time, time_text

SETTLE_AFTER = "settle_after"  # when a person last had it rebuilt: nothing is removed before a backup that is newer than that
KEYS = {"damaged": database.REPLACED_AT, "rolled_back": "rolled_back_at"}  # by the words of model.overview


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What was lost and when that was found. `set_aside` is where a damaged ledger lies."""

    reason: str
    at: datetime
    set_aside: str | None


def unsettled(ledger: Ledger) -> tuple[Loss, ...]:
    """The losses since a person last had the ledger rebuilt."""
    settled = ledger.meta_get(SETTLE_AFTER)
    found = []
    for reason, key in KEYS.items():
        text = ledger.meta_get(key)
        if text is None or (settled is not None and parse_time(text) <= parse_time(settled)):
            continue
        aside = ledger.meta_get(database.SET_ASIDE) if reason == "damaged" else None
        found.append(Loss(reason=reason, at=parse_time(text), set_aside=aside))
    return tuple(found)


def ought_to_know(ledger: Ledger, backup: Backup, host: str) -> bool:
    """Whether this host took the backup since the ledger was made, and no run here says so.

    A run names its backup before the first byte is written, so that not even a kill explains it.
    """
    if backup.host != host or backup.imported or backup.origin is not None:
        return False
    made = ledger.meta_get("created_at")
    if made is None or backup.started_at <= parse_time(made):
        return False
    return not ledger.read("SELECT 1 FROM runs WHERE backup_id = ? AND job = 'backup' LIMIT 1", [backup.id])


def record_rolled_back(ledger: Ledger, now: datetime) -> None:
    """Keep that the ledger was found to be an earlier one."""
    ledger.meta_set(KEYS["rolled_back"], time_text(now))
