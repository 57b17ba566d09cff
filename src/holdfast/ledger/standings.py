"""How the jobs of the targets stand, by their last runs: what notifications are decided from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.model import layout
from holdfast.model.codec import parse_time
from holdfast.model.event import Finding
from holdfast.model.run import Job, Run

Key = tuple[Job, str]

# When the daemon verifies, each copy has a run besides that of the slot, which is the one that tells how it went.
_COUNTS = "(job <> 'verify' OR slot IS NOT NULL)"
_LATEST = """
    coalesce(CASE p.job WHEN 'verify'
        THEN (SELECT max(id) FROM runs WHERE target = p.target AND job = p.job AND status = '{0}' AND slot IS NOT NULL)
        ELSE (SELECT max(id) FROM runs WHERE target = p.target AND job = p.job AND status = '{0}')
    END, 0)
"""
# Skipped: another host had taken the backup of that slot. A run that was cancelled, or missed, has shown nothing.
_LAST = (
    f"max({_LATEST.format('succeeded')}, {_LATEST.format('skipped')}) AS good,"
    f" max({_LATEST.format('failed')}, {_LATEST.format('lost')}) AS bad"
)
_BETWEEN = f"target = ? AND job = ? AND status IN ({{}}) AND id > ? AND id < ? AND {_COUNTS}"
_GOOD, _BAD = _BETWEEN.format("'succeeded', 'skipped'"), _BETWEEN.format("'failed', 'lost'")
_NO_END = 2**62


@dataclass(frozen=True, slots=True, kw_only=True)
class Last:
    """The ids of the last runs that ended well and badly; 0 where there is none."""

    good: int
    bad: int

    @property
    def failing(self) -> bool:
        """Whether the job has not ended well since it ended badly."""
        return self.bad > self.good


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """The runs that ended badly one after the other: how many, the first and the last."""

    failures: int
    first: Run
    last: Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """A job that the daemon does by itself at least every `interval_seconds`, by a rule in force `since`."""

    interval_seconds: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Copies:
    """How the copies to a store stand: the `newest` backup that was copied, well or not; the last good one before it."""

    store: str
    newest: str
    failing: bool
    good_before: str


def counts(run: Run) -> bool:
    """Whether the run tells how its job stands: one of a single copy that is verified does not."""
    return run.job != "verify" or run.slot is not None


def last(ledger: Ledger, key: Key) -> Last:
    """How the last runs of a job of a target ended."""
    [found] = ledger.read(f"SELECT {_LAST} FROM (SELECT ? AS job, ? AS target) AS p", list(key))  # noqa: S608 - a constant
    return _last(found)


def lasts(ledger: Ledger) -> dict[Key, Last]:
    """The same for every job of the targets that the daemon looks after."""
    found = ledger.read(
        "WITH p AS (SELECT job, target FROM schedules UNION"  # noqa: S608 - a constant
        " SELECT job, target FROM run_tallies WHERE target IN (SELECT target FROM targets))"
        f" SELECT job, target, {_LAST} FROM p",
        [],
    )
    return {_key(row): _last(row) for row in found}


def run(ledger: Ledger, number: int) -> Run | None:
    """A run by its id."""
    found = ledger.read("SELECT * FROM runs WHERE id = ?", [number])
    return rows.run_of(found[0]) if found else None


def good_before(ledger: Ledger, key: Key, before: int) -> int:
    """The id of the last run before this one that ended well; 0 for none."""
    job, target = key
    [found] = ledger.read(f"SELECT max(id) AS id FROM runs WHERE {_GOOD}", [target, job, 0, before])  # noqa: S608 - a constant
    return int(str(found["id"] or 0))


def trouble(ledger: Ledger, key: Key, after: int, before: int = _NO_END) -> Trouble | None:
    """The runs between these two that ended badly; None for none."""
    job, target = key
    [found] = ledger.read(
        f"SELECT count(*) AS runs, min(id) AS first, max(id) AS last FROM runs WHERE {_BAD}",  # noqa: S608 - a constant
        [target, job, after, before],
    )
    first, newest = (run(ledger, int(str(found[name] or 0))) for name in ("first", "last"))
    if first is None or newest is None:
        return None
    return Trouble(failures=int(str(found["runs"])), first=first, last=newest)


def expected(ledger: Ledger) -> dict[Key, Expected]:
    """What the daemon does by itself."""
    return {
        _key(row): Expected(
            interval_seconds=int(str(row["interval_seconds"])), since=parse_time(str(row["since"]))
        )
        for row in ledger.read("SELECT job, target, interval_seconds, since FROM schedules", [])
    }


def newest_backups(ledger: Ledger, now: datetime) -> Mapping[str, datetime]:
    """When each target's newest backup was finished, whoever took it; a rebuilt ledger knows no runs.

    One that is dated further ahead than can be tells nothing.
    """
    found = ledger.read(
        "SELECT targets.target, finished_at FROM targets JOIN backups"
        " ON backups.id = (SELECT max(id) FROM backups WHERE target = targets.target AND id < ?)",
        [layout.first_ahead(now)],
    )
    return {str(row["target"]): parse_time(str(row["finished_at"])) for row in found}


def unscheduled(ledger: Ledger) -> dict[str, tuple[datetime, ...]]:
    """When the newest backups of each target without a schedule were finished, whoever took them, the newest first."""
    found = ledger.read(
        "SELECT target FROM targets EXCEPT SELECT target FROM schedules WHERE job = 'backup'", []
    )
    query = "SELECT finished_at FROM backups WHERE target = ? ORDER BY id DESC LIMIT 8"
    return {
        target: tuple(parse_time(str(row["finished_at"])) for row in ledger.read(query, [target]))
        for target in (str(each["target"]) for each in found)
    }


def copies(ledger: Ledger, target: str) -> tuple[Copies, ...]:
    """How the copies of a target's backups to each store stand. What was there once and is gone is another matter."""
    found = ledger.read(
        "WITH c AS (SELECT store, state, at, backup_id FROM copies JOIN backups ON backups.id = backup_id"
        " WHERE target = ?1 AND (state = 'complete' OR state = 'missing' AND error <> ?2)),"
        " last AS (SELECT store, max(backup_id) AS newest, max(iif(state = 'complete', backup_id, NULL)) AS good"
        " FROM c GROUP BY store)"
        " SELECT store, newest, good, (SELECT max(backup_id) FROM c WHERE c.store = last.store"
        " AND state = 'complete' AND backup_id < last.newest) AS before FROM last",
        [target, rows.GONE],
    )
    return tuple(
        Copies(
            store=str(row["store"]),
            newest=str(row["newest"]),
            failing=row["newest"] != row["good"],
            good_before=str(row["before"] or ""),
        )
        for row in found
    )


def copy_failures(ledger: Ledger, target: str, found: Copies) -> tuple[int, datetime | None]:
    """How many copies to a store failed after the last whole one before the newest, and since when."""
    [row] = ledger.read(
        "SELECT count(*) AS copies, min(at) AS since FROM copies JOIN backups ON backups.id = backup_id"
        " WHERE target = ? AND store = ? AND state = 'missing' AND backup_id > ? AND backup_id <= ?",
        [target, found.store, found.good_before, found.newest],
    )
    since = None if row["since"] is None else parse_time(str(row["since"]))
    return int(str(row["copies"])), since


def copied_at(ledger: Ledger, backup_id: str, store: str) -> datetime | None:
    """Since when a copy is as it is; None for no such copy."""
    found = ledger.read("SELECT at FROM copies WHERE backup_id = ? AND store = ?", [backup_id, store])
    return parse_time(str(found[0]["at"])) if found else None


def copy_run(ledger: Ledger, backup_id: str, store: str) -> Run | None:
    """The last run that copied a backup, and ended as the store's copy tells: runs name no store."""
    found = ledger.read(
        "SELECT runs.* FROM runs JOIN copies ON copies.backup_id = runs.backup_id AND copies.store = ?2"
        " WHERE job = 'copy' AND runs.target = (SELECT target FROM backups WHERE id = ?1) AND runs.backup_id = ?1"
        " AND runs.error IS copies.error ORDER BY runs.id DESC LIMIT 1",
        [backup_id, store],
    )
    return rows.run_of(found[0]) if found else None


def unusual(ledger: Ledger, target: str, backup_id: str) -> tuple[Finding, ...]:
    """The measures of a backup that are unusual, unless those of the backup before were so in the same direction."""
    found = ledger.read(
        'SELECT "database", measure, value, expected, score, (SELECT score FROM measures AS b WHERE b.target = m.target'
        ' AND b."database" = m."database" AND b.measure = m.measure AND b.backup_id < m.backup_id'
        " ORDER BY b.backup_id DESC LIMIT 1) AS earlier"
        " FROM measures AS m WHERE target = ? AND backup_id = ? AND abs(score) > 1 ORDER BY abs(score) DESC",
        [target, backup_id],
    )
    return tuple(
        Finding(
            database=str(row["database"]),
            measure=str(row["measure"]),
            value=int(str(row["value"])),
            expected=float(str(row["expected"])),
        )
        for row in found
        if _direction(row["score"]) != _direction(row["earlier"])
    )


def _direction(score: object) -> int:
    number = 0.0 if score is None else float(str(score))
    return (number > 1) - (number < -1)


def _last(row: rows.Row) -> Last:
    return Last(good=int(str(row["good"])), bad=int(str(row["bad"])))


def _key(row: rows.Row) -> Key:
    return str(row["job"]), str(row["target"])  # type: ignore[return-value] # the ledger holds jobs only
