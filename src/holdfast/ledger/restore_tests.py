"""What the ledger keeps of restore tests that came to a result, whoever made them."""

from __future__ import annotations

import sqlite3
from datetime import datetime
from typing import TYPE_CHECKING

from holdfast.ledger import rows
from holdfast.model.codec import parse_time, time_text
from holdfast.model.proof import Proof

if TYPE_CHECKING:  # it records by way of us
    from holdfast.ledger.ledger import Ledger

_FAILING = """
    SELECT target, max(backup_id) AS backup_id FROM restore_tests AS f
    WHERE outcome = 'failed' AND (:target IS NULL OR target = :target) AND NOT EXISTS (
        SELECT 1 FROM restore_tests AS p
        WHERE p.target = f.target AND p.outcome = 'passed' AND p.at > f.at AND p.backup_id >= f.backup_id
    ) GROUP BY target
"""


def record(connection: sqlite3.Connection, proof: Proof) -> None:
    """Keep a restore test, within a transaction of the ledger; the same once more changes nothing.

    One of some databases only that passed says nothing of the others, and makes up for none that failed: it is not kept.
    """
    tested = proof.tested
    if tested is None or (tested.outcome == "passed" and not tested.whole):
        return
    connection.execute(
        "INSERT OR IGNORE INTO restore_tests"
        " (target, backup_id, at, outcome, seconds, restore_seconds, archive_bytes, isolation)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            proof.target,
            proof.backup_id,
            time_text(proof.at),
            tested.outcome,
            tested.seconds,
            proof.restore_seconds,
            proof.archive_bytes,
            rows.text(tested.isolation),
        ],
    )


def refuted(connection: sqlite3.Connection, proof: Proof) -> bool:
    """Whether a later restore test of the same backup failed: what an earlier one proved counts no more."""
    found = connection.execute(
        "SELECT 1 FROM restore_tests WHERE backup_id = ? AND outcome = 'failed' AND at > ? LIMIT 1",
        [proof.backup_id, time_text(proof.at)],
    )
    return proof.level == "proven" and found.fetchone() is not None


def ever(ledger: Ledger, target: str) -> bool:
    """Whether a restore test of the target ever came to a result."""
    return bool(ledger.read("SELECT 1 FROM restore_tests WHERE target = ? LIMIT 1", [target]))


def failing(connection: sqlite3.Connection, target: str | None = None) -> dict[str, str]:
    """The newest backup of each target (or of one) that failed its test, where none of it or of a newer one passed since.

    A random older one that passes in the same run says nothing of the newest, which did not.
    """
    found = connection.execute(_FAILING, {"target": target})
    return {str(name): str(backup_id) for name, backup_id in found}


def failed(ledger: Ledger, target: str) -> str | None:
    """The same of one target; None where none fails."""
    found = ledger.read(_FAILING, {"target": target})
    return str(found[0]["backup_id"]) if found else None


def last_passed(ledger: Ledger) -> dict[str, datetime]:
    """When a restore test of each target last passed."""
    found = ledger.read(
        "SELECT target, max(at) AS at FROM restore_tests WHERE outcome = 'passed' GROUP BY target", []
    )
    return {str(row["target"]): parse_time(str(row["at"])) for row in found}
