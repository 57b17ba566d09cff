"""Tells how the rule of 3-2-1 is met: the database and two copies of it, in two places, one of them elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.ledger.ledger import BackupRow
from holdfast.model.target import Target

_COPIES = 2  # besides the database itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Where the newest good backup of a target lies: all its whole copies, those off-site, and by store how they lock.

    `proven` is the newest backup that is proven, None for none.
    """

    backup_id: str
    copies: tuple[str, ...]
    off_site: tuple[str, ...]
    locked: tuple[tuple[str, str], ...]
    encrypted: bool
    proven: str | None
    proven_at: datetime | None

    @property
    def met(self) -> bool:
        """Whether there are two copies at least, and one at least is off-site."""
        return len(self.copies) >= _COPIES and bool(self.off_site)


def spread(target: Target | None, rows: Sequence[BackupRow]) -> Spread | None:
    """Look at the newest good backup of a target of the config; None where there is none. `rows` are newest first."""
    newest = next((row for row in rows if row.good), None)
    if target is None or newest is None:
        return None
    copies = tuple(copy.store for copy in newest.copies if copy.state == "complete")
    known = [(name, target.places[name]) for name in copies if name in target.places]
    proven = next((row for row in rows if row.good and row.proof == "proven"), None)
    return Spread(
        backup_id=newest.backup.id,
        copies=copies,
        off_site=tuple(name for name, place in known if place.off_site),
        locked=tuple((name, place.lock) for name, place in known if place.lock is not None),
        encrypted=newest.backup.encrypted,
        proven=proven.backup.id if proven is not None else None,
        proven_at=proven.proof_at if proven is not None else None,
    )
