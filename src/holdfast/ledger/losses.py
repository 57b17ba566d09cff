"""What the ledger knows of its own losses: it took the place of one that was damaged or is gone, or was put back to an earlier state."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from holdfast.ledger import database
from holdfast.ledger.ledger import Ledger
from holdfast.model.backup import Backup
from holdfast.model.codec import parse_time, time_text

SETTLE_AFTER = "settle_after"  # when a person last had it rebuilt: nothing is removed before a backup that is newer than that
KEYS = {  # by the words of model.overview
    "damaged": database.REPLACED_AT,
    "rolled_back": "rolled_back_at",
    "vanished": "vanished_at",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What was lost and when that was found. `set_aside` is where a damaged ledger lies.

    It is settled once a person had the ledger rebuilt since.
    """

    reason: str
    at: datetime
    set_aside: str | None
    settled: bool = False


def known(ledger: Ledger) -> tuple[Loss, ...]:
    """The last loss of each kind."""
    settled = ledger.meta_get(SETTLE_AFTER)
    found = []
    for reason, key in KEYS.items():
        text = ledger.meta_get(key)
        if text is None:
            continue
        found.append(
            Loss(
                reason=reason,
                at=parse_time(text),
                set_aside=ledger.meta_get(database.SET_ASIDE) if reason == "damaged" else None,
                settled=settled is not None and parse_time(text) <= parse_time(settled),
            )
        )
    return tuple(found)


def unsettled(ledger: Ledger) -> tuple[Loss, ...]:
    """The losses since a person last had the ledger rebuilt."""
    return tuple(loss for loss in known(ledger) if not loss.settled)


def of_which_it_tells(ledger: Ledger, backup: Backup, *, host: str, signer: str | None) -> str | None:
    """The loss that a backup tells of which lies in a store and is not known here; None for none.

    `signer` is the public key of this host's signatures, if it has one. A run names its backup before the first byte is written, so
    that not even a kill explains why no run here tells of one that this host took.
    """
    made = ledger.meta_get("created_at")
    if backup.imported or backup.origin is not None or made is None:
        return None
    if ledger.read("SELECT 1 FROM runs WHERE backup_id = ? AND job = 'backup' LIMIT 1", [backup.id]):
        return None
    if backup.signer != signer:  # of another host, or of a prover or writer beside this one
        return None
    if backup.started_at > parse_time(made):
        return "rolled_back" if backup.host == host else None
    # By the signature alone: in a container the host's name may be another one each time.
    said = any(ledger.meta_get(key) for key in (KEYS["damaged"], KEYS["vanished"], SETTLE_AFTER))
    return None if said else "vanished"


def record(ledger: Ledger, reason: str, now: datetime) -> None:
    """Keep that the ledger was found to have lost what it knew."""
    ledger.meta_set(KEYS[reason], time_text(now))
