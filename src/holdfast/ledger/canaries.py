"""Whether the identities at hand opened the oldest and the newest backup of each target when that was last tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.model.codec import time_text

Which = Literal["oldest", "newest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """A backup that an identity was tried on: the one of `recipient` (empty: none at hand is one of its recipients).

    `error` is None where it opens.
    """

    target: str
    recipient: str
    which: Which
    backup_id: str
    store: str
    at: datetime
    error: str | None = None


def record(ledger: Ledger, target: str, found: Sequence[Tried]) -> None:
    """Keep what was tried of a target now, and forget what was tried before."""
    with ledger.writing() as connection:
        connection.execute("DELETE FROM canaries WHERE target = ?", [target])
        connection.executemany(
            "INSERT INTO canaries (target, recipient, which, backup_id, store, at, error) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                [
                    target,
                    each.recipient,
                    each.which,
                    each.backup_id,
                    each.store,
                    time_text(each.at),
                    None if each.error is None else rows.text(each.error),
                ]
                for each in found
            ],
        )


def known(ledger: Ledger, target: str | None = None) -> list[Tried]:
    """What was tried last, of a target or of all."""
    where, values = ("", []) if target is None else ("WHERE target = ?", [target])
    found = ledger.read(f"SELECT * FROM canaries {where} ORDER BY target, recipient, which DESC", [*values])  # noqa: S608 - a placeholder
    return [rows.decoded(Tried, row, f"the canary of {row['target']}") for row in found]
