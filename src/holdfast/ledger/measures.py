"""Keeps the measures of each database in each backup, with what they were expected to be when it was taken.

They outlive their backups: what is usual is not forgotten with what retention removes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Literal

from holdfast.ledger.rows import text
from holdfast.model import anomaly, layout
from holdfast.model.backup import Backup
from holdfast.model.catalog import Coverage

Measure = Literal["size", "tables", "rows"]
RULES: dict[Measure, anomaly.Rule] = {
    "size": anomaly.SIZE,
    "tables": anomaly.TABLES,
    "rows": anomaly.ROWS,
}
_KEPT = 2 * anomaly.HISTORY
# What somebody acknowledged is the new normal: nothing before it counts, and it is not unusual itself.
# Not where the backup is dated later than the word about it: that would silence all until then.
ACKED = (
    "coalesce((SELECT max(backup_id) FROM marks WHERE target = ?1 AND kind = 'ack'"
    " AND substr(backup_id, 1, 15) <= replace(replace(substr(at, 1, 19), '-', ''), ':', '')), '')"
)
_RECENT = f"""
    SELECT backup_id, value, iif(backup_id = {ACKED}, 0, score) FROM measures
    WHERE target = ?1 AND "database" = ?2 AND measure = ?3 AND backup_id < ?4 AND backup_id >= {ACKED}
    ORDER BY backup_id DESC LIMIT ?5
"""  # noqa: S608 - our own text
_BEFORE = """
    SELECT "database", measure FROM measures
    WHERE target = ?1 AND (value > 0 OR abs(score) > 1)
    AND backup_id = (SELECT max(backup_id) FROM measures WHERE target = ?1 AND backup_id < ?2)
"""
_PRUNE = """
    DELETE FROM measures WHERE target = ?1 AND "database" = ?2 AND measure = ?3 AND backup_id <= (
        SELECT backup_id FROM measures WHERE target = ?1 AND "database" = ?2 AND measure = ?3
        ORDER BY backup_id DESC LIMIT 1 OFFSET ?4
    )
"""


def record(connection: sqlite3.Connection, backup: Backup, coverage: Coverage | None) -> None:
    """Judge a backup's measures by those of the backups before it, and keep both. Imported backups tell nothing.

    A database that the backup before had, and this one has not, counts as one without anything.
    """
    if backup.imported:
        return
    values = {(text(name), measure): value for name, measure, value in _measures(backup, coverage)}
    held = {text(name) for name in backup.databases}
    for name, measure in connection.execute(_BEFORE, [backup.target, backup.id]).fetchall():
        if name not in held:
            values[name, measure] = 0
    for (name, measure), value in values.items():
        key = (backup.target, name, measure)
        verdict = _judge(connection, key, backup, value)
        expected, score = (None, None) if verdict is None else (verdict.expected, verdict.score)
        connection.execute(
            "INSERT OR REPLACE INTO measures VALUES (?, ?, ?, ?, ?, ?, ?)",
            [*key, backup.id, value, expected, score],
        )
        connection.execute(_PRUNE, [*key, _KEPT])


def _measures(backup: Backup, coverage: Coverage | None) -> Iterator[tuple[str, Measure, int]]:
    for name in backup.databases:
        yield name, "size", sum(part.size for part in backup.parts if part.database == name)
    for each in coverage.databases if coverage is not None else ():
        yield each.name, "tables", each.tables
        if each.rows is not None:
            yield each.name, "rows", each.rows


def _judge(
    connection: sqlite3.Connection, key: tuple[str, str, Measure], backup: Backup, value: int
) -> anomaly.Verdict | None:
    found = connection.execute(_RECENT, [*key, backup.id, anomaly.HISTORY]).fetchall()
    history = [
        anomaly.Sample(layout.backup_time(backup_id), earlier, score or 0.0)
        for backup_id, earlier, score in reversed(found)
    ]
    return anomaly.judge(history, layout.backup_time(backup.id), value, RULES[key[2]])
