"""The facts that `--json` prints, as plain values with stable keys (docs/reference/commands.md lists them)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.model.codec import Json, time_text, to_json

if TYPE_CHECKING:  # every command prints something, and none needs all of the jobs for it
    from collections.abc import Sequence

    from holdfast.jobs.backup import Taken
    from holdfast.jobs.catalog import Rebuilt
    from holdfast.jobs.checks.finding import Finding
    from holdfast.jobs.copies import CaughtUp
    from holdfast.jobs.export import Exported
    from holdfast.jobs.spread import Spread
    from holdfast.jobs.status import TargetStatus
    from holdfast.jobs.upcoming import Upcoming
    from holdfast.jobs.verify import Verified
    from holdfast.ledger.ledger import BackupRow
    from holdfast.ledger.locks import CopyLock
    from holdfast.ledger.marks import Kept
    from holdfast.model.backup import Backup
    from holdfast.model.catalog import Coverage
    from holdfast.model.drill import Drill
    from holdfast.model.run import Run

Facts = dict[str, Json]


def backup(value: Backup) -> Facts:
    """What a manifest tells, without its parts."""
    return {
        "id": value.id,
        "target": value.target,
        "slot": to_json(value.slot),
        "started_at": time_text(value.started_at),
        "finished_at": time_text(value.finished_at),
        "seconds": value.seconds,
        "size": value.size,
        "stored_size": value.stored_size,
        "encrypted": value.encrypted,
        "method": value.method,
        "server_version": value.server.version,
        "databases": to_json(value.databases),
        "labels": to_json(value.labels),
        "imported": value.imported,
        "signer": value.signer,
        "host": value.host,
    }


def row(value: BackupRow) -> Facts:
    """A backup as the ledger knows it: `list`."""
    return backup(value.backup) | {
        "proof": value.proof,
        "proof_at": to_json(value.proof_at),
        "good": value.good,
        "copies_needed": value.needed,
        "copies": [
            {
                "store": copy.store,
                "state": copy.state,
                "at": time_text(copy.at),
                "error": copy.error,
                "covered": copy.covered,
            }
            for copy in value.copies
        ],
        "migrations": {
            each.name: each.migration
            for each in (value.coverage.databases if value.coverage is not None else ())
            if each.migration is not None
        },
    }


def detail(
    value: BackupRow, coverage: Coverage | None, marks: Sequence[Kept], locks: Sequence[CopyLock]
) -> Facts:
    """A backup with its parts, its coverage, its marks and what is known of its locks: `show`."""
    return row(value) | {
        "parts": to_json(value.backup.parts),
        "coverage": to_json(coverage),
        "marks": [mark(each) for each in marks],
        "locks": [
            {
                "store": each.store,
                "until": to_json(each.until),
                "held": each.held,
                "at": time_text(each.at),
            }
            for each in locks
        ],
    }


def mark(value: Kept) -> Facts:
    """A mark beside a backup; its content is as in the store."""
    return {
        "store": value.store,
        "name": value.name,
        "kind": value.mark.kind,
        "at": time_text(value.mark.at),
        "host": value.mark.host,
        "content": to_json(value.mark.content),
    }


def taken(value: Taken) -> Facts:
    """A backup that was just taken."""
    return backup(value.backup) | {
        "coverage": to_json(value.coverage),
        "failed_copies": [{"store": store, "error": error} for store, error in value.failed_copies],
        "good": value.good,
        "locks_error": value.unextended,
    }


def caught_up(target: str, value: CaughtUp) -> Facts:
    """What a round of copying did for one target: `copy`."""
    return {
        "target": target,
        "copied": [{"id": backup_id, "store": store} for backup_id, store in value.copied],
        "failed": [
            {"id": backup_id, "store": store, "error": error.message}
            for backup_id, store, error in value.failed
        ],
        "left": [{"store": store, "count": count} for store, count in value.left.items()],
    }


def run(value: Run | None) -> Json:
    """A run, or null."""
    return to_json(value)


def target_status(value: TargetStatus) -> Facts:
    """One target of `status`."""
    return {
        "target": value.target,
        "safe": not value.problems,
        "problems": to_json(value.problems),
        "notes": to_json(value.notes),
        "backups": value.backups,
        "hidden": value.hidden,
        "age_seconds": value.age_seconds,
        "limit_seconds": value.limit_seconds,
        "last_good": row(value.last_good) if value.last_good is not None else None,
        "last_failure": run(value.last_failure),
        "running": run(value.running),
        "waiting": row(value.waiting) if value.waiting is not None else None,
        "spread": spread(value.spread),
        "last_drill": _drill(value.last_drill),
        "paused": to_json(value.paused),
    }


def spread(value: Spread | None) -> Json:
    """How the rule of 3-2-1 is met, or null."""
    if value is None:
        return None
    return {
        "met": value.met,
        "id": value.backup_id,
        "copies": to_json(value.copies),
        "off_site": to_json(value.off_site),
        "locked": [{"store": store, "mode": mode} for store, mode in value.locked],
        "encrypted": value.encrypted,
        "proven": value.proven,
        "proven_at": to_json(value.proven_at),
    }


def _drill(value: Drill | None) -> Facts | None:
    if value is None:
        return None
    return {"at": time_text(value.at), "backup_id": value.backup_id, "seconds": value.seconds}


def verified(value: Verified) -> Facts:
    """One copy that was verified."""
    return {
        "id": value.backup_id,
        "target": value.target,
        "store": value.store,
        "ok": value.error is None,
        "proof": value.proof.level if value.proof is not None else None,
        "method": value.proof.method if value.proof is not None else None,
        "error": value.error.message if value.error is not None else None,
        "error_code": value.error.code if value.error is not None else None,
    }


def finding(value: Finding) -> Facts:
    """One line of `check`."""
    return {
        "level": value.level,
        "subject": value.subject,
        "message": value.message,
        "hint": value.hint,
    }


def rebuilt(value: Rebuilt) -> Facts:
    """What a rebuild of the ledger found."""
    return {
        "backups": value.backups,
        "forgotten": value.forgotten,
        "stores": to_json(value.stores),
        "problems": [{"where": where, "problem": problem} for where, problem in value.problems],
    }


def exported(value: Exported) -> Facts:
    """What was exported, and into which files."""
    return {
        "id": value.backup_id,
        "target": value.target,
        "database": value.database,
        "format": value.form,
        "output": value.output,
        "encoding": value.encoding,
        "size": value.size,
        "tables": to_json(value.tables),
        "skipped": to_json(value.skipped),
    }


def upcoming(value: Upcoming) -> Facts:
    """One run to come."""
    return {
        "at": time_text(value.at),
        "local": value.local.isoformat(timespec="seconds"),
        "timezone": value.timezone,
        "job": value.job,
        "target": value.target,
        "slot": time_text(value.slot),
        "rule": value.rule,
        "paused": value.paused,
    }
