"""What the ledger keeps for the daemon: what is configured, what is paused, how each slot went, and that it lives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.ledger import rows
from holdfast.ledger.ledger import Ledger
from holdfast.model.codec import parse_time, time_text
from holdfast.model.planning import History, Pause, Timetable
from holdfast.model.run import Job, Run

Key = tuple[Job, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """The daemon that ran last here, or runs."""

    version: str
    host: str
    pid: int
    started_at: datetime
    stopped_at: datetime | None
    tick_at: datetime
    reloaded_at: datetime
    reload_error: str | None
    clock_suspect: bool


def configure(
    ledger: Ledger, targets: Sequence[str], timetables: Mapping[Key, Timetable], now: datetime
) -> None:
    """Record what the config asks for. What it asked for before stays as old as it is; the rest is forgotten.

    A time in the future is that of a clock which was wrong: it would keep a target from its backups until then.
    """
    at = time_text(now)
    with ledger.writing() as connection:
        known = {str(row["target"]) for row in connection.execute("SELECT target FROM targets")}
        gone = [[target] for target in known - set(targets)]
        connection.executemany("DELETE FROM targets WHERE target = ?", gone)
        connection.executemany(
            "INSERT INTO targets (target, configured_at) VALUES (?1, ?2)"
            " ON CONFLICT DO UPDATE SET configured_at = min(configured_at, ?2)",
            [[target, at] for target in targets],
        )
        wanted = {f"{job} {target}" for job, target in timetables}
        for row in connection.execute("SELECT job, target FROM schedules").fetchall():
            if f"{row['job']} {row['target']}" not in wanted:
                connection.execute("DELETE FROM schedules WHERE job = ? AND target = ?", list(row))
        connection.executemany(
            "INSERT INTO schedules (job, target, rule, timezone, interval_seconds, since)"
            " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO UPDATE SET rule = ?3, timezone = ?4,"
            " interval_seconds = ?5, since = iif(rule = ?3 AND timezone = ?4, min(since, ?6), ?6)",
            [
                [
                    job,
                    target,
                    timetable.schedule.text,
                    str(timetable.schedule.zone),
                    round(timetable.schedule.interval.total_seconds()),
                    at,
                ]
                for (job, target), timetable in timetables.items()
            ],
        )


def since(ledger: Ledger, key: Key) -> datetime | None:
    """Since when a job's rule is in force; None where none is configured."""
    found = ledger.read("SELECT since FROM schedules WHERE job = ? AND target = ?", list(key))
    return parse_time(str(found[0]["since"])) if found else None


def history(ledger: Ledger, key: Key, now: datetime) -> History | None:
    """How the newest slot up to `now` went; None where nothing of a slot is known.

    Slots in the future are those of a clock that was wrong.
    """
    job, target = key
    at = time_text(now.replace(microsecond=0))
    found = ledger.read(
        "SELECT * FROM runs WHERE job = ?1 AND target = ?2 AND slot ="
        " (SELECT max(slot) FROM runs WHERE job = ?1 AND target = ?2 AND slot <= ?3) ORDER BY attempt",
        [job, target, at],
    )
    attempts = tuple(rows.run_of(row) for row in found)
    slot = attempts[0].slot if attempts else None
    if job == "backup":
        [newest] = ledger.read(
            "SELECT max(slot) AS slot FROM backups WHERE target = ? AND slot <= ?", [target, at]
        )
        taken = parse_time(str(newest["slot"])) if newest["slot"] is not None else None
        if taken is not None and (slot is None or taken >= slot):
            return History(slot=taken, attempts=attempts if taken == slot else (), done=True)
    return None if slot is None else History(slot=slot, attempts=attempts)


def attempts(ledger: Ledger, key: Key, slot: datetime) -> int:
    """How many attempts of a slot there were."""
    [found] = ledger.read(
        "SELECT coalesce(max(attempt), 0) AS last FROM runs WHERE job = ? AND target = ? AND slot = ?",
        [*key, time_text(slot)],
    )
    return int(str(found["last"]))


def succeeded(ledger: Ledger, key: Key, slot: datetime) -> bool:
    """Whether an attempt of the slot succeeded."""
    return bool(
        ledger.read(
            "SELECT 1 FROM runs WHERE job = ? AND target = ? AND slot = ? AND status = 'succeeded'",
            [*key, time_text(slot)],
        )
    )


def backup_of_slot(ledger: Ledger, target: str, slot: datetime) -> str | None:
    """The id of a backup of that target and slot that is known to lie whole in a store, or None."""
    found = ledger.read(
        "SELECT id FROM backups WHERE target = ? AND slot = ? AND EXISTS"
        " (SELECT 1 FROM copies WHERE backup_id = backups.id AND state = 'complete') LIMIT 1",
        [target, time_text(slot)],
    )
    return str(found[0]["id"]) if found else None


def record_missed(
    ledger: Ledger, key: Key, slots: Iterable[datetime], *, now: datetime, host: str, reason: str
) -> None:
    """Record slots at which nothing ran; those that something is known of stay as they are."""
    job, target = key
    runs = [
        Run(
            job=job,
            target=target,
            trigger="schedule",
            slot=slot,
            status="missed",
            started_at=now,
            finished_at=now,
            error_code="missed",
            error=reason,
            host=host,
        )
        for slot in slots
    ]
    if not runs:
        return
    values = [rows.run_values(run) for run in runs]
    names = ", ".join(f'"{name}"' for name in values[0])
    marks = ", ".join(f":{name}" for name in values[0])
    with ledger.writing() as connection:
        connection.executemany(f"INSERT OR IGNORE INTO runs ({names}) VALUES ({marks})", values)  # noqa: S608 - our own columns


def plan_next(ledger: Ledger, times: Mapping[Key, datetime]) -> None:
    """Record when jobs are looked at next."""
    with ledger.writing() as connection:
        connection.executemany(
            "UPDATE schedules SET next_run_at = ? WHERE job = ? AND target = ?",
            [[time_text(at), job, target] for (job, target), at in times.items()],
        )


def pause(ledger: Ledger, target: str, *, now: datetime, until: datetime | None) -> None:
    """Pause a target, or change until when it is paused."""
    with ledger.writing() as connection:
        connection.execute(
            "INSERT INTO pauses (target, since, until) VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET"
            " since = iif(until IS NULL OR until > ?2, since, ?2), until = ?3",
            [target, time_text(now), None if until is None else time_text(until)],
        )


def resume(ledger: Ledger, target: str, *, now: datetime) -> bool:
    """End a target's pause; the slots up to now are not owed. Return whether it was paused."""
    with ledger.writing() as connection:
        at = time_text(now)
        ended = connection.execute(
            "UPDATE pauses SET until = ?2 WHERE target = ?1 AND (until IS NULL OR until > ?2)", [target, at]
        )
        return ended.rowcount > 0


def pauses(ledger: Ledger) -> dict[str, Pause]:
    """The pauses of all targets, those that are over too."""
    return {
        str(row["target"]): Pause(
            since=parse_time(str(row["since"])),
            until=None if row["until"] is None else parse_time(str(row["until"])),
        )
        for row in ledger.read("SELECT * FROM pauses", [])
    }


def learn_server(ledger: Ledger, target: str, system_identifier: str | None) -> None:
    """Record which server a target is."""
    with ledger.writing() as connection:
        connection.execute(
            "UPDATE targets SET system_identifier = ? WHERE target = ?", [system_identifier, target]
        )


def servers(ledger: Ledger) -> dict[str, str]:
    """The system identifiers of the targets' servers, where they are known."""
    found = ledger.read("SELECT * FROM targets WHERE system_identifier IS NOT NULL", [])
    return {str(row["target"]): str(row["system_identifier"]) for row in found}


def started(ledger: Ledger, *, now: datetime, version: str, host: str, pid: int) -> None:
    """Record that a daemon begins."""
    at = time_text(now)
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO daemon (id, version, host, pid, started_at, tick_at, reloaded_at)"
            " VALUES (1, ?, ?, ?, ?, ?, ?)",
            [version, host, pid, at, at, at],
        )


def ticked(ledger: Ledger, now: datetime, *, clock_suspect: bool) -> None:
    """Record that the scheduler lives."""
    with ledger.writing() as connection:
        connection.execute(
            "UPDATE daemon SET tick_at = ?, clock_suspect = ?", [time_text(now), int(clock_suspect)]
        )


def reloaded(ledger: Ledger, now: datetime, error: str | None = None) -> None:
    """Record that the config was read again, or why it was refused."""
    with ledger.writing() as connection:
        connection.execute(
            "UPDATE daemon SET reloaded_at = iif(?2 IS NULL, ?1, reloaded_at), reload_error = ?2",
            [time_text(now), None if error is None else rows.text(error)],
        )


def stopped(ledger: Ledger, now: datetime) -> None:
    """Record that the daemon ends in good order."""
    with ledger.writing() as connection:
        connection.execute("UPDATE daemon SET stopped_at = ?", [time_text(now)])


def daemon(ledger: Ledger) -> Daemon | None:
    """The daemon's row, or None where none ever ran."""
    for row in ledger.read("SELECT * FROM daemon", []):
        values = {name: value for name, value in row.items() if name != "id"}
        return rows.decoded(Daemon, values | {"clock_suspect": bool(row["clock_suspect"])}, "the daemon")
    return None
