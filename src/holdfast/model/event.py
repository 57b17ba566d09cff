"""What people and other programs are told of: an event, and the words for it."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from holdfast.model.codec import Json, time_text, to_json
from holdfast.model.run import Job

VERSION = 1  # of the JSON, counted up when a key goes away or changes its meaning
ERROR_LENGTH = 1000
FINDINGS = 20

Kind = Literal["start", "success", "failure", "recovery", "anomaly", "overdue", "loss", "test"]

_JOBS = {
    "restore_test": "restore test",
    "objects": "backup of the files",
    "restore_objects": "restore of the files",
    "provider": "look at the provider's backups",
    "provider_restore": "restore by the provider",
}
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_ADVICE = {  # one class of errors is one reaction of the operator
    "internal": "This is a bug in Holdfast: please report it with the lines of the log.",
    "config": "Mend the config where the message points; `holdfast check` tries it.",
    "busy": "Wait for the other, or end it; the message names who it is.",
    "source": "See whether the server is up, reachable, and lets the backup's role in.",
    "store": "See whether the store is up, reachable, not full, and takes the credentials.",
    "integrity": "Keep what is there, use another copy, and find out what changed the store.",
    "key": "Put the right key file in its place.",
    "restore_test": "Do not rely on this backup: look at the differences, and take another.",
    "could_not_test": "Nothing is known of the backup: give the restore test what it lacks.",
    "provider": "See whether the provider's API is up, and takes the access token; `holdfast supabase backups` asks it.",
    "retention": "Nothing was removed, and nothing is lost by waiting: see what looks wrong with `holdfast prune --dry-run`.",
    "ledger": "Free the disk of the state directory, or move the ledger away: it is rebuilt.",
    "lost": "See what ended the process: the memory, the power, or somebody.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A measure of a backup that is far from what was expected; `database` as it is called."""

    database: str
    measure: str
    value: int
    expected: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing to tell. Texts hold no secrets; what does not apply to the kind is None, 0 or empty.

    `at` is when it came to be; `since` when a failing began, or from when on a success was expected; `store` where a
    copy was to go. A loss is of the host's ledger, and so has the job `catalog` and no target; the recovery from it, too.
    `log` is the end of the run's log, which heartbeats send.
    """

    kind: Kind
    job: Job
    target: str
    host: str
    at: datetime
    run_id: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    attempt: int | None = None
    failures: int = 0
    since: datetime | None = None
    last_success_at: datetime | None = None
    store: str | None = None
    interval_seconds: int | None = None
    backup_id: str | None = None
    bytes_done: int | None = None
    error_code: str | None = None
    error: str | None = None
    findings: tuple[Finding, ...] = ()
    log: str = ""

    @property
    def id(self) -> str:
        """Always the same for the same event, for those who sort out what came twice."""
        run = "" if self.run_id is None else self.run_id
        text = f"{self.host}\n{self.kind}\n{self.job}\n{self.target}\n{run}\n{time_text(self.at)}"
        return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32]


def one_line(text: str, limit: int = ERROR_LENGTH) -> str:
    """Make one line of at most `limit` characters without anything that steers a terminal or ends a header."""
    line = _CONTROLS.sub(" ", text).strip()
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def subject(event: Event) -> str:
    """One line that says what happened, to which target, where."""
    if event.job == "catalog":
        what = {"loss": "has LOST what it knew", "recovery": "was rebuilt"}.get(event.kind, event.kind)
        return one_line(f"Holdfast: the ledger on {event.host} {what}", 200)
    job, to = _JOBS.get(event.job, event.job), f" to {event.store}" if event.store else ""
    where = f"{event.target}{to} on {event.host}"
    text = {
        "start": f"{job} of {where} has begun",
        "success": f"{job} of {where} succeeded",
        "failure": f"{job} of {where} FAILED",
        "recovery": f"{job} of {where} works again",
        "anomaly": f"{job} of {where} is unusual",
        "overdue": f"{job} of {where} is OVERDUE",
        "loss": f"{job} of {where} has LOST what it knew",
        "test": f"test from {event.host}",
    }[event.kind]
    return one_line(f"Holdfast: {text}", 200)


def text(event: Event) -> str:
    """The whole message in plain lines: what, since when, why, and what to do."""
    facts = [(name, value) for name, value in _facts(event) if value]
    width = max((len(name) for name, _ in facts), default=0) + 1
    lines = [f"{name + ':':<{width}} {one_line(value)}" for name, value in facts]
    lines += [_finding(found) for found in event.findings[:FINDINGS]]
    if len(event.findings) > FINDINGS:
        lines.append(f"and {len(event.findings) - FINDINGS} more")
    return "\n".join([*lines, "", *map(one_line, _what_to_do(event))]).strip() + "\n"


def as_json(event: Event) -> dict[str, Json]:
    """The event as a webhook sends it (docs/reference/notifications.md)."""
    values = to_json(event)
    assert isinstance(values, dict)  # noqa: S101 - the JSON of a dataclass
    del values["log"]
    return {
        "version": VERSION,
        "id": event.id,
        "subject": subject(event),
        "text": text(event),
        **values,
    }


def _facts(event: Event) -> list[tuple[str, str]]:
    every = None if event.interval_seconds is None else timedelta(seconds=event.interval_seconds)
    again = event.kind == "recovery"
    failed_backup = event.kind == "failure" and event.job == "backup"  # it has an id, and is in no store
    return [
        ("begun", _when(event.started_at)),
        ("ended", _when(event.finished_at)),
        (
            "attempts failed" if again else "failed in a row",
            str(event.failures) if event.failures > 1 else "",
        ),
        (_since(event.kind), _when(event.since)),
        ("expected every", "" if every is None else str(every)),
        ("last success" if not again else "success before", _last_success(event)),
        ("backup", "" if failed_backup else event.backup_id or ""),
        ("error", f"{event.error_code}: {event.error}" if event.error_code else ""),
    ]


def _since(kind: Kind) -> str:
    return {"recovery": "had failed since", "overdue": "waiting since", "loss": "found"}.get(
        kind, "failing since"
    )


def _last_success(event: Event) -> str:
    if event.last_success_at is not None:
        return _when(event.last_success_at)
    return "none that is known" if event.kind in {"failure", "overdue"} else ""


def _when(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"


def _finding(found: Finding) -> str:
    if found.measure.startswith("dropped "):
        return one_line(f"{found.measure} of database {found.database}: {found.value:,}")
    unit = " bytes" if found.measure == "size" else ""
    return one_line(
        f"{found.measure} of database {found.database}: {found.value:,}{unit}, expected about {found.expected:,.0f}"
    )


def _what_to_do(event: Event) -> list[str]:
    match event.kind:
        case "failure":
            advice = _ADVICE.get(event.error_code or "", "Read the log of the run.")
            return [advice, f"On {event.host}: `holdfast check --target {event.target}`, `holdfast status`."]
        case "overdue":
            return [
                "See whether the daemon, or the cron that calls Holdfast, runs, and what keeps it from its work.",
                f"On {event.host}: `holdfast status`, `holdfast check --target {event.target}`.",
            ]
        case "anomaly":
            return [
                "Were rows or tables lost, or were they meant to go? Until that is known, let no older backup be deleted.",
                f"On {event.host}: `holdfast show {event.backup_id}`.",
            ]
        case "loss":
            return [
                "No backup is lost by that. What failed since is in no ledger, and retention waits for a new backup.",
                f"On {event.host}: `holdfast status`, then `holdfast catalog rebuild`, which ends this.",
            ]
        case "test":
            return ["Notifications reach you here. There is nothing to do."]
        case _:
            return []
