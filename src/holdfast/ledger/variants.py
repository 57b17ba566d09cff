"""The manifests of copies that were encrypted anew, beside the one that the backup itself is known by."""

from __future__ import annotations

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.model.kinship import Stored


def record(ledger: Ledger, backup_id: str, store: str, stored: Stored) -> None:
    """Know the manifest of a copy, where it is not the backup's own."""
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO variants (backup_id, store, manifest, signature) VALUES (?, ?, ?, ?)",
            [backup_id, store, stored.manifest, stored.signature],
        )


def forget(ledger: Ledger, backup_id: str, store: str) -> None:
    """The copy has the backup's own manifest; one without another is no error."""
    with ledger.writing() as connection:
        connection.execute("DELETE FROM variants WHERE backup_id = ? AND store = ?", [backup_id, store])


def promote(ledger: Ledger, first: Stored, store: str) -> None:
    """Know the backup by its first manifest, which lies in `store`, from now on.

    It was known by that of a copy which was encrypted anew, as that was found earlier. All that is known of it stays.
    """
    backup_id = first.backup.id
    values = {
        **rows.backup_values(first.backup),
        "manifest": first.manifest,
        "signature": first.signature,
    }
    columns = ", ".join(f"{name} = :{name}" for name in values)
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR IGNORE INTO variants (backup_id, store, manifest, signature)"
            " SELECT backups.id, store, manifest, signature FROM backups JOIN copies ON backup_id = backups.id"
            " WHERE backups.id = ? AND store <> ?",
            [backup_id, store],
        )
        connection.execute("DELETE FROM variants WHERE backup_id = ? AND store = ?", [backup_id, store])
        connection.execute(f"UPDATE backups SET {columns} WHERE id = :id", values)  # noqa: S608 - our own columns
        connection.execute("DELETE FROM parts WHERE backup_id = ?", [backup_id])
        for part in rows.part_values(first.backup):
            names = ", ".join(f'"{name}"' for name in part)
            marks = ", ".join(f":{name}" for name in part)
            connection.execute(f"INSERT INTO parts ({names}) VALUES ({marks})", part)  # noqa: S608 - our own columns
