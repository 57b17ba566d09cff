"""What the ledger keeps of the locks on the copies in stores: until when, and whether a legal hold keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.model.codec import time_text

Held = Literal["no", "ours", "foreign"]
_COLUMNS = "backup_id, store, at, until, held, objects, kept"


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyLock:
    """What is known `at` a time of a copy with so many `objects`.

    `until` is when the first of them is locked no more, None where none is locked until a date. `held` tells whose
    legal hold keeps them, ours or that of somebody else; `kept` whether retention kept the backup then.
    """

    backup_id: str
    store: str
    at: datetime
    until: datetime | None
    held: Held = "no"
    objects: int
    kept: bool = True


def record(ledger: Ledger, lock: CopyLock) -> None:
    """Keep what is known of a copy in place of what was known; nothing where the ledger knows of no such copy."""
    with ledger.writing() as connection:
        connection.execute(
            f"INSERT INTO locks ({_COLUMNS}) SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7"  # noqa: S608 - a constant
            " WHERE EXISTS (SELECT 1 FROM copies WHERE backup_id = ?1 AND store = ?2)"
            " ON CONFLICT (backup_id, store) DO UPDATE SET at = excluded.at, until = excluded.until,"
            " held = excluded.held, objects = excluded.objects, kept = excluded.kept",
            [
                lock.backup_id,
                lock.store,
                time_text(lock.at),
                None if lock.until is None else time_text(lock.until),
                lock.held,
                lock.objects,
                int(lock.kept),
            ],
        )


def let_go(ledger: Ledger, backup_id: str, store: str) -> None:
    """Note that retention does not keep a copy any more: its locks run out, and nobody is to be alarmed."""
    with ledger.writing() as connection:
        connection.execute("UPDATE locks SET kept = 0 WHERE backup_id = ? AND store = ?", [backup_id, store])


def forget(ledger: Ledger, backup_id: str, store: str) -> None:
    """Forget what is known of a copy: its locks are looked at anew."""
    with ledger.writing() as connection:
        connection.execute("DELETE FROM locks WHERE backup_id = ? AND store = ?", [backup_id, store])


def keep_only(ledger: Ledger, target: str, stores: Sequence[str]) -> None:
    """Forget the locks in stores that the target does not use any more: nobody renews them."""
    marks = ", ".join("?" * len(stores))
    with ledger.writing() as connection:
        connection.execute(
            f"DELETE FROM locks WHERE store NOT IN ({marks})"  # noqa: S608 - placeholders
            " AND backup_id IN (SELECT id FROM backups WHERE target = ?)",
            [*stores, target],
        )


def lapsed(ledger: Ledger, target: str, now: datetime) -> dict[str, list[str]]:
    """The backups that retention keeps and that are locked no more, by store, the newest first."""
    found: dict[str, list[str]] = {}
    for row in ledger.read(
        "SELECT store, backup_id FROM locks JOIN copies USING (backup_id, store) JOIN backups ON id = backup_id"
        " WHERE target = ? AND kept = 1 AND held = 'no' AND state IN ('complete', 'damaged')"
        " AND coalesce(until, '') <= ? ORDER BY store, backup_id DESC",
        [target, time_text(now)],
    ):
        found.setdefault(str(row["store"]), []).append(str(row["backup_id"]))
    return found


def of_store(ledger: Ledger, target: str, store: str) -> dict[str, CopyLock]:
    """What is known of a target's copies in a store, by backup id."""
    found = ledger.read(
        f"SELECT {_COLUMNS} FROM locks WHERE store = ? AND backup_id IN (SELECT id FROM backups WHERE target = ?)",  # noqa: S608 - a constant
        [store, target],
    )
    return {each.backup_id: each for each in map(_lock, found)}


def of_backup(ledger: Ledger, backup_id: str) -> list[CopyLock]:
    """What is known of a backup's copies, by store."""
    found = ledger.read(
        f"SELECT {_COLUMNS} FROM locks WHERE backup_id = ? ORDER BY store",  # noqa: S608 - a constant
        [backup_id],
    )
    return [_lock(row) for row in found]


def _lock(row: rows.Row) -> CopyLock:
    values = {**row, "kept": bool(row["kept"])}
    return rows.decoded(CopyLock, values, f"the locks of {row['backup_id']}")
