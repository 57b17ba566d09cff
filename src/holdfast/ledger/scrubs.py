"""When each copy was last seen to be as it was written, and what its store's own checksums were."""

from __future__ import annotations

from datetime import datetime

from holdfast.ledger.ledger import Ledger
from holdfast.model.codec import parse_time, time_text


def record(ledger: Ledger, backup_id: str, store: str, at: datetime) -> None:
    """Note that a copy was looked at."""
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO scrubs (backup_id, store, at) VALUES (?, ?, ?)",
            [backup_id, store, time_text(at)],
        )


def known(ledger: Ledger) -> dict[tuple[str, str], datetime]:
    """When copies were last looked at, by backup id and store."""
    found = ledger.read("SELECT backup_id, store, at FROM scrubs", [])
    return {(str(row["backup_id"]), str(row["store"])): parse_time(str(row["at"])) for row in found}


def note_sums(ledger: Ledger, backup_id: str, store: str, digest: str) -> None:
    """Note a digest of the checksums that a store told of a copy's objects."""
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO sums (backup_id, store, digest) VALUES (?, ?, ?)",
            [backup_id, store, digest],
        )


def sums(ledger: Ledger) -> dict[tuple[str, str], str]:
    """What was noted, by backup id and store."""
    found = ledger.read("SELECT backup_id, store, digest FROM sums", [])
    return {(str(row["backup_id"]), str(row["store"])): str(row["digest"]) for row in found}
