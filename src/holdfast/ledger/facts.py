"""What the metrics tell: read from the ledger in one snapshot, without any lock."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import quote

from holdfast.ledger import covers, database, habits, losses, restore_tests
from holdfast.ledger.retention import LATELY
from holdfast.model import layout
from holdfast.model.codec import parse_time, time_text
from holdfast.model.overview import (
    DaemonFacts,
    DrillFacts,
    Measured,
    NewestBackup,
    Overview,
    Planned,
    Probe,
    ProviderFacts,
    RestoreTestFacts,
    RunFacts,
    RunTally,
    SchemaFacts,
    StoreHolding,
)

# Each looks at a few rows a target, however long the history is: see the tallies and indexes of 0003_metrics.sql.
# In how many stores a backup of b has to be to be good, and whether it is: a tombstone says that a store has held it.
_NEEDED = "coalesce((SELECT value FROM json_each(:needed) WHERE key = b.target), 1)"
_AMONG = "(SELECT value FROM json_each(:among) WHERE key = b.target)"
_ENOUGH = f"""
    ({_NEEDED} = 1 OR (
        SELECT count(*) FROM (
            SELECT store FROM copies WHERE backup_id = b.id AND state = 'complete'
            UNION SELECT store FROM marks WHERE backup_id = b.id AND kind = 'tombstone'
        ) WHERE {_AMONG} IS NULL OR store IN (SELECT value FROM json_each({_AMONG}))
    ) >= {_NEEDED})
"""  # noqa: S608 - our own text
_NEWEST_IDS = f"""
    WITH newest AS MATERIALIZED (
        SELECT target, (
            SELECT id FROM backups AS b WHERE target = t.target AND complete > 0 AND id < :ahead AND {_ENOUGH}
            ORDER BY id DESC LIMIT 1
        ) AS id
        FROM (SELECT DISTINCT target FROM backup_tallies) AS t
    )
"""  # noqa: S608 - our own text
_NEWEST = f"""
    {_NEWEST_IDS} SELECT target, id, started_at, finished_at, size, stored_size
    FROM newest JOIN backups USING (target, id)
"""  # noqa: S608 - our own text
_MEASURES = f"""
    {_NEWEST_IDS} SELECT m.target, m."database", m.measure, m.value, m.expected, m.score
    FROM newest CROSS JOIN measures AS m INDEXED BY measures_by_backup
    ON m.target = newest.target AND m.backup_id = newest.id
"""  # noqa: S608 - our own text
_HELD = f"""
    {_NEWEST_IDS} SELECT target, store FROM newest JOIN copies ON backup_id = newest.id WHERE state = 'complete'
"""  # noqa: S608 - our own text
_WAITING = f"""
    SELECT target, proof, count(*) FROM backups AS b
    WHERE target IN (SELECT key FROM json_each(:needed)) AND complete > 0 AND NOT {_ENOUGH} GROUP BY 1, 2
"""  # noqa: S608 - our own text
_HOLDINGS = """
    SELECT target, store, backups, bytes, objects, (
        SELECT count(*) FROM backups AS b WHERE b.target = h.target AND b.complete > 0 AND b.id < :ahead AND b.id > iif(
            h.newest < :ahead, h.newest, coalesce((
                SELECT max(backup_id) FROM copies AS c JOIN backups AS d ON d.id = c.backup_id WHERE d.target = h.target
                AND c.store = h.store AND c.state = 'complete' AND c.backup_id < :ahead
            ), '')
        )
    ) FROM copy_tallies AS h
"""
_LAST_RUNS = """
    SELECT r.job, r.target, r.status, r.started_at, r.finished_at, r.bytes_done
    FROM (SELECT DISTINCT job, target, status FROM run_tallies) AS t
    JOIN runs AS r
    ON r.id = (SELECT max(id) FROM runs WHERE target = t.target AND job = t.job AND status = t.status)
    ORDER BY r.id
"""
# When the daemon verifies, each copy has a run besides that of the slot, which is the one that tells how it went: a whole
# copy that is read after a damaged one makes up for nothing.
_IN_A_ROW = """
    SELECT job, target, (
        SELECT count(*) FROM runs AS r WHERE r.target = t.target AND r.job = t.job AND r.status IN ('failed', 'lost')
        AND (t.any OR r.slot IS NOT NULL) AND r.id > coalesce((
            SELECT id FROM runs WHERE target = t.target AND job = t.job AND status = 'succeeded'
            AND (t.any OR slot IS NOT NULL) ORDER BY id DESC LIMIT 1
        ), 0)
    ) FROM (
        SELECT DISTINCT job, target, job <> 'verify' OR NOT EXISTS (
            SELECT 1 FROM schedules AS s WHERE s.job = r.job AND s.target = r.target
        ) AS any FROM run_tallies AS r WHERE status IN ('failed', 'lost')
    ) AS t
"""
_TESTS = """
    SELECT target, outcome, at, seconds, restore_seconds, archive_bytes FROM restore_tests AS t
    WHERE at = (SELECT max(at) FROM restore_tests WHERE target = t.target AND outcome = t.outcome)
"""
_DRILLS = """
    SELECT target, at, seconds FROM drills AS d
    WHERE id = (SELECT id FROM drills WHERE target = d.target ORDER BY at DESC, id DESC LIMIT 1)
"""
# Of what retention keeps and no hold does, where this host prunes: else another renews the locks, and only that one
# knows of it. What was never locked has been without since it was looked at.
_RECENTLY = timedelta(
    days=2
)  # whoever wants a lease each day, and finds another's: one that was met once is forgotten
_ELSEWHERE = "SELECT target, store, kind FROM leases WHERE NOT ours AND at >= :since"
_LOCKS = """
    SELECT l.store, min(coalesce(l.until, l.at)) FROM locks AS l
    JOIN copies AS c ON c.backup_id = l.backup_id AND c.store = l.store
    JOIN backups AS b ON b.id = l.backup_id JOIN targets USING (target)
    WHERE l.kept = 1 AND l.held = 'no' AND c.state IN ('complete', 'damaged') AND (
        EXISTS (SELECT 1 FROM schedules AS s WHERE s.job = 'prune' AND s.target = b.target)
        OR EXISTS (SELECT 1 FROM retention AS r WHERE r.target = b.target AND r.store = l.store AND r.at > :lately)
    ) GROUP BY l.store
"""
_KEYS_OF_TIMES = ", ".join(f"'{key}'" for key in (*losses.KEYS.values(), losses.SETTLE_AFTER))
_TIMES_KEPT = f"SELECT key, value FROM meta WHERE key IN ({_KEYS_OF_TIMES})"  # noqa: S608 - our own text
_PAUSED = "SELECT target FROM pauses WHERE until IS NULL OR until > ?"
_SCHEMAS = 'SELECT target, "database", dropped_tables, dropped_columns FROM schemas'
_CANARIES = "SELECT target, min(error IS NULL) FROM canaries GROUP BY target"
_PLANNED = "SELECT job, target, interval_seconds, next_run_at FROM schedules"
_PRUNED = "SELECT target, sum(hidden) FROM retention GROUP BY target"
_RUNNING = """
    SELECT job, target, status, started_at, finished_at, bytes_done FROM runs WHERE status = 'running' ORDER BY id
"""


def overview(
    path: Path,
    now: datetime,
    needed: Mapping[str, int] | None = None,
    among: Mapping[str, Collection[str]] | None = None,
) -> Overview:
    """Read the facts of the ledger at `path` as they are together at one moment. Raise LedgerError when it cannot be.

    `needed` and `among` as in the ledger: in how many stores the backups of a target have to be to be good, and in which.
    """
    asked = {
        "needed": json.dumps(dict(needed or {})),
        "ahead": layout.first_ahead(now),
        "among": json.dumps({target: list(stores) for target, stores in (among or {}).items()}),
    }
    with database.translated(path), _snapshot(path) as connection:
        kept = dict(_with_times(connection, _TIMES_KEPT))
        waiting = _counts(connection.execute(_WAITING, asked))
        return Overview(
            configured_at=dict(_with_times(connection, "SELECT target, configured_at FROM targets")),
            paused=frozenset(target for (target,) in connection.execute(_PAUSED, [time_text(now)])),
            habits=habits.intervals(connection),
            newest=_newest(connection, asked),
            held=_grouped(connection.execute(_HELD, asked)),
            backups=_good(_counts(connection.execute("SELECT * FROM backup_tallies")), waiting),
            waiting=_summed(waiting),
            measures=tuple(Measured(*row) for row in connection.execute(_MEASURES, asked)),
            schemas=tuple(SchemaFacts(*row) for row in connection.execute(_SCHEMAS)),
            canaries={target: bool(well) for target, well in connection.execute(_CANARIES)},
            probes=_probes(connection),
            holdings=_holdings(connection, asked),
            covered=covers.covered(connection),
            damaged=covers.damaged(connection),
            locked_until=dict(_with_times(connection, _LOCKS, {"lately": time_text(now - LATELY)})),
            elsewhere=frozenset(connection.execute(_ELSEWHERE, {"since": time_text(now - _RECENTLY)})),
            tallies=tuple(RunTally(*row) for row in connection.execute("SELECT * FROM run_tallies")),
            last_runs=tuple(map(_run, connection.execute(_LAST_RUNS))),
            running=tuple(map(_run, connection.execute(_RUNNING))),
            planned=tuple(map(_planned, connection.execute(_PLANNED))),
            in_a_row={key: count for key, count in _counts(connection.execute(_IN_A_ROW)).items() if count},
            notifications=_counts(connection.execute("SELECT * FROM notification_tallies")),
            tests=_tests(connection),
            failing=restore_tests.failing(connection),
            drills={
                target: DrillFacts(_seconds(at), took) for target, at, took in connection.execute(_DRILLS)
            },
            pruned=dict(connection.execute(_PRUNED).fetchall()),
            refused=frozenset(connection.execute("SELECT DISTINCT target, cause FROM retention_refusals")),
            providers=_providers(connection),
            losses={reason: kept[key] for reason, key in losses.KEYS.items() if key in kept},
            rebuilt_at=kept.get(losses.SETTLE_AFTER, 0.0),
            daemon=_daemon(connection),
        )


def daemon(path: Path) -> DaemonFacts | None:
    """How the daemon is; None where none ever ran. Raise LedgerError where the ledger cannot be read."""
    with database.translated(path), _snapshot(path) as connection:
        return _daemon(connection)


@contextmanager
def _snapshot(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection of this scrape alone: it finds the file that lies there now, and waits for no writer."""
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(path.absolute()))}?mode=ro", uri=True, isolation_level=None
    )
    with closing(connection):
        connection.execute("BEGIN")
        yield connection


def _newest(connection: sqlite3.Connection, asked: Mapping[str, str]) -> dict[str, NewestBackup]:
    return {
        target: NewestBackup(backup_id, _seconds(began), _seconds(ended), size, stored)
        for target, backup_id, began, ended, size, stored in connection.execute(_NEWEST, asked)
    }


def _holdings(
    connection: sqlite3.Connection, asked: Mapping[str, str]
) -> dict[tuple[str, str], StoreHolding]:
    return {
        (target, store): StoreHolding(*held) for target, store, *held in connection.execute(_HOLDINGS, asked)
    }


def _probes(connection: sqlite3.Connection) -> dict[str, Probe]:
    return {
        store: Probe(_seconds(at), error is None)
        for store, at, error in connection.execute("SELECT store, probed_at, error FROM stores")
    }


def _tests(connection: sqlite3.Connection) -> dict[tuple[str, str], RestoreTestFacts]:
    return {
        (target, outcome): RestoreTestFacts(_seconds(at), outcome == "passed", *rest)
        for target, outcome, at, *rest in connection.execute(_TESTS)
    }


def _providers(connection: sqlite3.Connection) -> dict[str, ProviderFacts]:
    return {
        target: ProviderFacts(*(0.0 if at is None else _seconds(at) for at in times))
        for target, *times in connection.execute(
            "SELECT target, last_success_at, window_start, window_end FROM providers"
        )
    }


def _planned(row: tuple[str, str, float, str | None]) -> Planned:
    job, target, interval, at = row
    return Planned(job, target, interval, None if at is None else _seconds(at))


def _run(row: tuple[str, str, str, str, str | None, int]) -> RunFacts:
    job, target, status, began, ended, done = row
    return RunFacts(job, target, status, _seconds(began), None if ended is None else _seconds(ended), done)


def _daemon(connection: sqlite3.Connection) -> DaemonFacts | None:
    row = connection.execute("SELECT tick_at, reload_error, clock_suspect FROM daemon").fetchone()
    return None if row is None else DaemonFacts(_seconds(row[0]), row[1] is not None, bool(row[2]))


def _with_times(
    connection: sqlite3.Connection, query: str, asked: Mapping[str, str] | None = None
) -> Iterator[tuple[str, float]]:
    for name, at in connection.execute(query, asked or {}):
        yield name, _seconds(at)


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, value in pairs:
        found[key] = (*found.get(key, ()), value)
    return found


def _counts(found: Iterable[tuple[str, str, int]]) -> dict[tuple[str, str], int]:
    return {(first, second): count for first, second, count in found}


def _good(
    every: Mapping[tuple[str, str], int], waiting: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], int]:
    return {key: count - waiting.get(key, 0) for key, count in every.items()}


def _summed(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    return {
        target: sum(count for (other, _), count in counts.items() if other == target) for target, _ in counts
    }


def _seconds(text: str) -> float:
    return parse_time(text).timestamp()
