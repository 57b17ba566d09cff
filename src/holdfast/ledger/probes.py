"""How the stores were when the daemon tried them, and which backup it asks them for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.model.codec import time_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """How a store was when it was tried: `error` is None where it answered."""

    store: str
    at: datetime
    error: str | None


def newest_copy(ledger: Ledger, store: str) -> tuple[str, str] | None:
    """Target and id of the newest backup that is known to lie whole in a store; None where there is none."""
    found = ledger.read(
        "SELECT target, newest FROM copy_tallies WHERE store = ? AND newest <> '' ORDER BY newest DESC LIMIT 1",
        [store],
    )
    return (str(found[0]["target"]), str(found[0]["newest"])) if found else None


def record(ledger: Ledger, found: Iterable[Tried]) -> None:
    """Record how the stores were when they were tried."""
    values = [
        [tried.store, time_text(tried.at), None if tried.error is None else rows.text(tried.error)]
        for tried in found
    ]
    with ledger.writing() as connection:
        connection.executemany(
            "INSERT OR REPLACE INTO stores (store, probed_at, error) VALUES (?, ?, ?)", values
        )


def tried(ledger: Ledger) -> list[Tried]:
    """How each store was when the daemon last tried it."""
    found = ledger.read("SELECT store, probed_at AS at, error FROM stores ORDER BY store", [])
    return [rows.decoded(Tried, row, f"the store {row['store']}") for row in found]
