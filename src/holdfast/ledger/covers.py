"""What became of copies: what somebody laid over them, deleting or writing over objects whose versions lie beneath; and damage."""

from __future__ import annotations

import sqlite3

from holdfast.ledger.ledger import GONE, Ledger

_COUNT = (
    "SELECT b.target, c.store, count(*) FROM copies AS c JOIN backups AS b ON b.id = c.backup_id"
    " WHERE {} GROUP BY b.target, c.store"
)
_COVERED = _COUNT.format("c.covered IS NOT NULL")
_DAMAGED = _COUNT.format("c.state IN ('damaged', 'missing') AND (c.state = 'damaged' OR c.error = ?)")


def record(ledger: Ledger, backup_id: str, store: str, said: str | None) -> None:
    """Note what is covered of a copy, None for nothing; of a copy that is not known nothing is noted."""
    row = ledger.backup(backup_id)
    if row is None or all(copy.covered == said for copy in row.copies if copy.store == store):
        return
    with ledger.writing() as connection:
        connection.execute(
            "UPDATE copies SET covered = ? WHERE backup_id = ? AND store = ?", [said, backup_id, store]
        )


def covered(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """How many copies something was laid over, by target and store."""
    return {(target, store): count for target, store, count in connection.execute(_COVERED)}


def damaged(connection: sqlite3.Connection) -> dict[tuple[str, str], int]:
    """How many copies were found damaged or gone, by target and store."""
    return {(target, store): count for target, store, count in connection.execute(_DAMAGED, [GONE])}
