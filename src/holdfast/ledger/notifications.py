"""The outbox in the ledger: what each channel is to be told, who sends it now, and what became of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.rows import Value
from holdfast.model.codec import parse_time, time_text, to_json
from holdfast.model.event import Event

Result = Literal["delivered", "failed", "gave_up"]
RESULTS: tuple[Result, ...] = ("delivered", "failed", "gave_up")

_FAR = timedelta(hours=2)  # no pause is as long: such a time was written by a clock that was wrong
_ROUTINE = timedelta(days=7)
_HISTORY = timedelta(days=365)
_DUE = """
    SELECT * FROM notifications AS n
    WHERE channel = ?1 AND state = 'pending' AND (next_try_at <= ?2 OR next_try_at > ?3) AND NOT EXISTS (
        SELECT 1 FROM notifications AS earlier
        WHERE earlier.channel = n.channel AND earlier.state = 'pending' AND earlier.id < n.id
        AND earlier.job = n.job AND earlier.target = n.target
    )
    ORDER BY id LIMIT 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A notification to send now, by whoever holds this. `attempts` counts this one too."""

    id: int
    event: Event
    at: datetime
    attempts: int


def put(ledger: Ledger, channel: str, key: str, event: Event, *, newest_only: bool = False) -> bool:
    """Put an event into the outbox; return False when the channel has that key already.

    With `newest_only` what is still pending of that job of the target is superseded.
    """
    at = time_text(event.at.replace(microsecond=0))
    with ledger.writing() as connection:
        added = connection.execute(
            "INSERT OR IGNORE INTO notifications (channel, key, kind, job, target, event, at, next_try_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [channel, key, event.kind, event.job, event.target, json.dumps(to_json(event)), at, at],
        )
        if added.rowcount and newest_only:
            connection.execute(
                "UPDATE notifications SET state = 'superseded', finished_at = ?1"
                " WHERE channel = ?2 AND state = 'pending' AND job = ?3 AND target = ?4 AND id < ?5",
                [at, channel, event.job, event.target, added.lastrowid],
            )
        return added.rowcount > 0


def has(ledger: Ledger, channel: str, key: str) -> bool:
    """Whether the channel was told, or is to be."""
    return bool(ledger.read("SELECT 1 FROM notifications WHERE channel = ? AND key = ?", [channel, key]))


def has_like(ledger: Ledger, channel: str, beginning: str) -> bool:
    """Whether the channel has a key that begins so."""
    found = ledger.read(
        "SELECT 1 FROM notifications WHERE channel = ?1 AND key >= ?2 AND substr(key, 1, length(?2)) = ?2 LIMIT 1",
        [channel, beginning],
    )
    return bool(found)


def claim(ledger: Ledger, channel: str, now: datetime, *, lease: timedelta) -> Due | None:
    """Take what the channel is to be told now; nobody else gets it before the `lease` is over. None for nothing.

    What concerns the same job of the same target goes out in its order; what concerns others does not wait for it.
    """
    now = now.replace(microsecond=0)
    found = ledger.read(_DUE, [channel, time_text(now), time_text(now + _FAR)])
    if not found:
        return None
    row = found[0]
    with ledger.writing() as connection:
        taken = connection.execute(
            "UPDATE notifications SET attempts = attempts + 1, next_try_at = ?"
            " WHERE id = ? AND state = 'pending' AND attempts = ?",
            [time_text(now + lease), row["id"], row["attempts"]],
        )
        if not taken.rowcount:
            return None  # another process was first
    event = rows.decoded(Event, json.loads(str(row["event"])), f"notification {row['id']}")
    number, before = int(str(row["id"])), int(str(row["attempts"]))
    return Due(id=number, event=event, at=parse_time(str(row["at"])), attempts=before + 1)


def delivered(ledger: Ledger, channel: str, number: int, now: datetime) -> None:
    """Record that a notification arrived."""
    with ledger.writing() as connection:
        _end(connection, [number], "delivered", now)
        _count(connection, channel, "delivered")


def failed(
    ledger: Ledger, channel: str, number: int, *, error: str, again_at: datetime | None, now: datetime
) -> None:
    """Record that a try failed, and when it is tried again; None: it is given up."""
    with ledger.writing() as connection:
        connection.execute("UPDATE notifications SET error = ? WHERE id = ?", [rows.text(error), number])
        _count(connection, channel, "failed")
        if again_at is None:
            _end(connection, [number], "gave_up", now)
            _count(connection, channel, "gave_up")
        else:
            connection.execute(
                "UPDATE notifications SET next_try_at = ? WHERE id = ?",
                [time_text(again_at.replace(microsecond=0)), number],
            )


def next_try(ledger: Ledger, channel: str) -> datetime | None:
    """When the channel has something to send next; None for nothing."""
    [found] = ledger.read(
        "SELECT min(next_try_at) AS at FROM notifications WHERE channel = ? AND state = 'pending'", [channel]
    )
    return None if found["at"] is None else parse_time(str(found["at"]))


def waiting(ledger: Ledger, now: datetime) -> set[str]:
    """The channels that have something to send now."""
    found = ledger.read(
        "SELECT DISTINCT channel FROM notifications WHERE state = 'pending' AND next_try_at <= ?",
        [time_text(now.replace(microsecond=0))],
    )
    return {str(row["channel"]) for row in found}


def begin_counting(ledger: Ledger, channels: Iterable[str]) -> None:
    """Let the counters of these channels exist, at 0."""
    found = ledger.read("SELECT DISTINCT channel FROM notification_tallies", [])
    known = {str(row["channel"]) for row in found}
    new = [[channel, result] for channel in channels if channel not in known for result in RESULTS]
    if new:
        with ledger.writing() as connection:
            connection.executemany("INSERT OR IGNORE INTO notification_tallies VALUES (?, ?, 0)", new)


def tidy(ledger: Ledger, channels: Collection[str], now: datetime, *, patience: timedelta) -> None:
    """Give up what is older than `patience` for channels that are no more, and remove what is long over."""
    routine, old = time_text(now - _ROUTINE), time_text(now - _HISTORY)
    late = ledger.read(
        "SELECT id, channel FROM notifications WHERE state = 'pending' AND at < ?",
        [time_text(now - patience)],
    )
    orphans = [(int(str(row["id"])), str(row["channel"])) for row in late if row["channel"] not in channels]
    gone: list[Value] = [routine, old]
    over = "kind IN ('start', 'success') AND at < ?1 OR at < ?2"
    stale = ledger.read(f"SELECT 1 FROM notifications WHERE state <> 'pending' AND ({over}) LIMIT 1", gone)  # noqa: S608 - a constant
    if not orphans and not stale:
        return
    with ledger.writing() as connection:
        _end(connection, [number for number, _ in orphans], "gave_up", now)
        for _, channel in orphans:
            _count(connection, channel, "gave_up")
        connection.execute(f"DELETE FROM notifications WHERE state <> 'pending' AND ({over})", gone)  # noqa: S608 - a constant


def _end(connection: sqlite3.Connection, numbers: Iterable[int], state: str, now: datetime) -> None:
    connection.executemany(
        "UPDATE notifications SET state = ?, finished_at = ? WHERE id = ?",
        [[state, time_text(now), number] for number in numbers],
    )


def _count(connection: sqlite3.Connection, channel: str, result: Result) -> None:
    connection.execute(
        "INSERT INTO notification_tallies VALUES (?, ?, 1) ON CONFLICT DO UPDATE SET notifications = notifications + 1",
        [channel, result],
    )
