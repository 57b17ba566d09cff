"""What somebody laid over the copies of backups: objects deleted or written over, whose versions lie beneath."""

from __future__ import annotations

from holdfast.ledger.ledger import Ledger


def record(ledger: Ledger, backup_id: str, store: str, said: str | None) -> None:
    """Note what is covered of a copy, None for nothing; of a copy that is not known nothing is noted."""
    row = ledger.backup(backup_id)
    if row is None or all(copy.covered == said for copy in row.copies if copy.store == store):
        return
    with ledger.writing() as connection:
        connection.execute(
            "UPDATE copies SET covered = ? WHERE backup_id = ? AND store = ?", [said, backup_id, store]
        )
