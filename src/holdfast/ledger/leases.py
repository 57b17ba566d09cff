"""What the ledger keeps of leases: which stores keep two writers apart, and whose lease it was that we wanted last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.model.codec import time_text
from holdfast.model.layout import LeaseKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What became of an absent put on a key that was taken, as `stores.base.Conditions` says it, and where and when."""

    location: str
    found: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Want:
    """A lease that was wanted: that of a target in a store, and for what."""

    store: str
    target: str
    kind: LeaseKind


def record_conditions(ledger: Ledger, store: str, tried: Tried) -> None:
    """Keep what a store does with an absent put on a key that is taken."""
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO conditions (store, location, found, at) VALUES (?, ?, ?, ?)",
            [store, rows.text(tried.location), tried.found, time_text(tried.at)],
        )


def conditions(ledger: Ledger, store: str) -> Tried | None:
    """What is known of that; None where it was never tried."""
    found = ledger.read("SELECT location, found, at FROM conditions WHERE store = ?", [store])
    return rows.decoded(Tried, found[0], f"the conditions of store {store}") if found else None


def taken(ledger: Ledger, want: Want, generation: int, boot: tuple[str, float], now: datetime) -> None:
    """Record that we got a lease."""
    _record(ledger, want, generation, boot, now, ours=True)


def seen_for(ledger: Ledger, want: Want, generation: int, boot: tuple[str, float], now: datetime) -> float:
    """Record that somebody else has a lease; tell for how many seconds this generation of it was seen here."""
    found = ledger.read(
        "SELECT passed FROM leases WHERE store = ? AND target = ? AND kind = ? AND generation = ? AND boot = ? AND NOT ours",
        [want.store, want.target, want.kind, str(generation), boot[0]],
    )
    if found:
        return max(boot[1] - float(str(found[0]["passed"])), 0.0)
    _record(ledger, want, generation, boot, now, ours=False)
    return 0.0


def _record(
    ledger: Ledger, want: Want, generation: int, boot: tuple[str, float], now: datetime, *, ours: bool
) -> None:
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO leases (store, target, kind, generation, ours, at, boot, passed)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [want.store, want.target, want.kind, str(generation), ours, time_text(now), *boot],
        )
