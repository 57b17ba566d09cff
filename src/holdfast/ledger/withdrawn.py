"""The tombstones that were taken back: one that is put there again counts for nothing."""

from __future__ import annotations

import hashlib

from holdfast.ledger.ledger import Ledger
from holdfast.ledger.marks import Kept
from holdfast.ledger.rows import Value


def record(ledger: Ledger, kept: Kept) -> None:
    """Note that a tombstone was taken back."""
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO withdrawn (backup_id, store, sha256) VALUES (?, ?, ?)", _key(kept)
        )


def knows(ledger: Ledger, kept: Kept) -> bool:
    """Whether this very tombstone was taken back."""
    where = "backup_id = ? AND store = ? AND sha256 = ?"
    return bool(ledger.read(f"SELECT 1 FROM withdrawn WHERE {where}", _key(kept)))  # noqa: S608 - a constant


def _key(kept: Kept) -> list[Value]:
    return [kept.mark.backup_id, kept.store, hashlib.sha256(kept.document).hexdigest()]
