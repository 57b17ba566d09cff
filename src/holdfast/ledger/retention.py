"""What the ledger keeps for retention: what it did last, what it refuses, and what it judges the clock and the data by."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.measures import ACKED
from holdfast.model.codec import from_json, parse_time, time_text, to_json
from holdfast.model.pruning import Reference, Refusal

# A host that pruned within this time is one that prunes, even if no schedule of it says so.
LATELY = timedelta(days=7)
_REFERENCE, _ACCEPTED = "clock_reference", "clock_accepted_run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a run did in a store: how many backups it hid and removed, and the bytes that this freed."""

    hidden: int = 0
    removed: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A refusal that stands, and since when."""

    target: str
    store: str
    cause: str
    since: datetime
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unusual:
    """A measure of a backup that was far from what was expected, and that nobody has acknowledged."""

    backup_id: str
    database: str
    measure: str
    value: int
    expected: float


def record(
    ledger: Ledger, target: str, store: str, done: Done, refused: Sequence[Refusal], now: datetime
) -> None:
    """Record what became of a run in a store; the refusals that are not among these are over.

    A run that was refused did nothing, and does not count as the last one.
    """
    at = time_text(now)
    with ledger.writing() as connection:
        if not refused:
            connection.execute(
                "INSERT OR REPLACE INTO retention (target, store, at, hidden, removed, bytes)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                [target, store, at, done.hidden, done.removed, done.bytes],
            )
        before = {
            str(row["cause"]): str(row["since"])
            for row in connection.execute(
                "SELECT cause, since FROM retention_refusals WHERE target = ? AND store = ?", [target, store]
            )
        }
        connection.execute("DELETE FROM retention_refusals WHERE target = ? AND store = ?", [target, store])
        connection.executemany(
            "INSERT INTO retention_refusals (target, store, cause, since, said) VALUES (?, ?, ?, ?, ?)",
            [
                [target, store, each.cause, before.get(each.cause, at), rows.text(each.text)]
                for each in refused
            ],
        )


def keep_only(ledger: Ledger, target: str, stores: Sequence[str]) -> None:
    """Forget what retention did and refused in stores that the target does not use any more."""
    marks = ", ".join("?" * len(stores))
    with ledger.writing() as connection:
        for table in ("retention", "retention_refusals"):
            connection.execute(
                f"DELETE FROM {table} WHERE target = ? AND store NOT IN ({marks})",  # noqa: S608 - placeholders
                [target, *stores],
            )


def last(ledger: Ledger, target: str, store: str) -> datetime | None:
    """When retention last ran to its end in a store; None for never."""
    found = ledger.read("SELECT at FROM retention WHERE target = ? AND store = ?", [target, store])
    return parse_time(str(found[0]["at"])) if found else None


def refused(ledger: Ledger, target: str) -> list[Refused]:
    """What retention refuses of a target at present, by store."""
    found = ledger.read("SELECT * FROM retention_refusals WHERE target = ? ORDER BY store, cause", [target])
    return [rows.decoded(Refused, row, f"retention of {target}") for row in found]


def newest_time(ledger: Ledger, besides: int) -> datetime | None:
    """The latest time at which a run began, lived or ended; the run `besides` is this one.

    Times that somebody accepted as those of a clock which was wrong do not count.
    """
    accepted = int(ledger.meta_get(_ACCEPTED) or 0)
    [found] = ledger.read(
        "SELECT max(max(started_at, coalesce(finished_at, ''), coalesce(heartbeat_at, ''))) AS at FROM runs"
        " WHERE id > ? AND id <> ?",
        [accepted, besides],
    )
    return None if found["at"] is None else parse_time(str(found["at"]))


def reference(ledger: Ledger) -> Reference | None:
    """What the clocks showed when they were last believed."""
    kept = ledger.meta_get(_REFERENCE)
    return None if kept is None else from_json(Reference, json.loads(kept))


def believe(ledger: Ledger, reference: Reference, *, accepted: bool) -> None:
    """Keep what the clocks show. If a person `accepted` it, what the ledger has of other times counts no more."""
    if accepted:
        [found] = ledger.read("SELECT coalesce(max(id), 0) AS id FROM runs", [])
        ledger.meta_set(_ACCEPTED, str(found["id"]))
    ledger.meta_set(_REFERENCE, json.dumps(to_json(reference)))


def unusual(ledger: Ledger, target: str) -> list[Unusual]:
    """The measures of backups that were unusual and that nobody acknowledged since, the oldest first."""
    found = ledger.read(
        'SELECT m.backup_id, m."database", m.measure, m.value, m.expected FROM measures AS m'  # noqa: S608 - a constant
        " JOIN backups ON backups.id = m.backup_id WHERE m.target = ?1 AND abs(m.score) > 1"
        f" AND m.backup_id > {ACKED}"
        ' ORDER BY m.backup_id, m."database", m.measure',
        [target],
    )
    return [rows.decoded(Unusual, row, f"a measure of {row['backup_id']}") for row in found]
