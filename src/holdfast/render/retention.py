"""Prints what retention does and why: plans, the future, pins and what is unusual."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.jobs.prune import Pruned
from holdfast.jobs.prune_future import Future
from holdfast.jobs.prune_plan import Decision, Plan
from holdfast.jobs.unusual import Unusual
from holdfast.ledger.ledger import BackupRow
from holdfast.ledger.locks import CopyLock
from holdfast.ledger.marks import Kept
from holdfast.model.codec import Json, time_text, to_json
from holdfast.model.retention import Reason
from holdfast.render.printing import line, table
from holdfast.render.words import many, size, when
from holdfast.system import logs

_FATES = {
    "keep": "keep",
    "hide": "EXPIRES",
    "hidden": "hidden",
    "in_use": "in use",
    "return": "COMES BACK",
    "remove": "REMOVED",
}


def pruned(results: Sequence[Pruned], *, dry_run: bool) -> None:
    """Print every backup with its verdict and reasons, and what was done or would be."""
    for result in results:
        line(f"target {result.target} in store {result.store}")
        if result.plan is not None:
            _plan(result.plan)
            _outcome(result, result.plan, dry_run=dry_run)
        if result.error is not None:
            line(f"  FAILED: {logs.redacted(result.error.message)}")
        line()


def _plan(plan: Plan) -> None:
    line(f"  rules: {plan.rules.policy.text}")
    table(
        ("BACKUP", "TAKEN", "SIZE", "VERDICT", "WHY"),
        (
            (
                each.backup_id,
                when(each.at) if each.at is not None else "",
                size(each.bytes),
                _FATES[each.fate],
                _why(each),
            )
            for each in plan.decisions
        ),
        right=frozenset({"SIZE"}),
    )


def _why(each: Decision) -> str:
    return "; ".join(filter(None, (_verdict(each), lock_text(each.lock))))


def lock_text(lock: CopyLock | None) -> str:
    """Say what keeps the objects of a copy in the store."""
    if lock is None:
        return ""
    whose = {"no": "", "ours": "under a legal hold", "foreign": "under a legal hold of somebody else's"}[
        lock.held
    ]
    until = f"locked until {when(lock.until)}" if lock.until is not None else ""
    return " and ".join(filter(None, (whose, until)))


def _verdict(each: Decision) -> str:
    if each.reasons:
        return ", ".join(reason.text for reason in each.reasons)
    match each.fate:
        case "hide":
            return "no rule keeps it"
        case "in_use":
            return "its grace is over, and somebody reads it at present"
        case "remove":
            return "its grace is over"
        case _:
            return (
                f"may be removed after {when(each.removed_after)}" if each.removed_after is not None else ""
            )


def _outcome(result: Pruned, plan: Plan, *, dry_run: bool) -> None:
    for refusal in plan.refused:
        line(f"  REFUSED ({refusal.cause}): {logs.redacted(refusal.text)}")
        line(f"    {refusal.hint}")
    if plan.refused:
        line("  nothing is removed")
    elif dry_run:
        line(
            f"  would hide {len(plan.hiding)}, bring back {len(plan.returning)}, remove {len(plan.removing)};"
            f" {size(plan.bytes)} are freed when all that is on its way out is gone"
        )
    else:
        line(
            f"  hid {many(len(result.hidden), 'backup')}, brought back {len(result.returned)}, removed"
            f" {len(result.removed)}, freed {size(result.freed)}"
        )
    _locks(result)
    for each in result.locked:
        line(f"  kept by the store: {each.key}: {logs.redacted(each.said)}")
    if result.swept:
        line(f"  removed what no manifest accounts for: {', '.join(result.swept)}")
    if plan.shelf.unknown:
        line(
            f"  not judged, for their manifests are missing or not believed: {', '.join(plan.shelf.unknown)}"
        )


def _locks(result: Pruned) -> None:
    done = result.locks
    counts = [
        f"{what} {many(len(ids), 'backup')}"
        for what, ids in (
            ("extended the locks of", done.extended),
            ("holds", done.held),
            ("released", done.released),
        )
        if ids
    ]
    if counts:
        line(f"  {', '.join(counts)}")
    if (error := done.error()) is not None:
        line(f"  FAILED: {logs.redacted(error.message)}")


def pruned_facts(result: Pruned) -> dict[str, Json]:
    """What retention does in one store, as JSON."""
    plan = result.plan
    return {
        "target": result.target,
        "store": result.store,
        "rules": plan.rules.policy.text if plan is not None else None,
        "backups": [_decision(each) for each in plan.decisions] if plan is not None else [],
        "refused": [{"reason": each.cause, "text": each.text, "hint": each.hint} for each in plan.refused]
        if plan is not None
        else [],
        "hidden": to_json(result.hidden),
        "returned": to_json(result.returned),
        "removed": to_json(result.removed),
        "swept": to_json(result.swept),
        "locked": [{"key": each.key, "text": each.said} for each in result.locked],
        "locks_extended": to_json(result.locks.extended),
        "locks_held": to_json(result.locks.held),
        "locks_released": to_json(result.locks.released),
        "locks_error": None if (error := result.locks.error()) is None else error.message,
        "bytes_leaving": plan.bytes if plan is not None else 0,
        "bytes_freed": result.freed,
        "error": result.error.message if result.error is not None else None,
    }


def _decision(each: Decision) -> dict[str, Json]:
    return {
        "id": each.backup_id,
        "started_at": to_json(each.at),
        "verdict": each.fate,
        "reasons": [_reason(reason) for reason in each.reasons],
        "size": each.bytes,
        "removed_after": to_json(each.removed_after),
        "locked_until": None if each.lock is None else to_json(each.lock.until),
        "held": each.lock is not None and each.lock.held != "no",
    }


def _reason(each: Reason) -> dict[str, Json]:
    return {"rule": each.rule, "detail": each.detail, "text": each.text}


def futures(found: Sequence[Future]) -> None:
    """Print what would be kept on a day to come."""
    for each in found:
        kept = [verdict for verdict in each.verdicts if verdict.kept]
        gone = sum(
            1 for verdict in each.verdicts if not verdict.kept and verdict.backup.id not in each.planned
        )
        line(f"target {each.target} in store {each.store} on {when(each.at)}, if backups go on as planned")
        table(
            ("BACKUP", "TAKEN", "WHY"),
            (
                (
                    verdict.backup.id,
                    when(verdict.backup.at),
                    ", ".join(reason.text for reason in verdict.reasons),
                )
                for verdict in kept
            ),
        )
        line(f"  {many(len(kept), 'backup')} kept; {gone} of those of today are gone by then")
        line()


def future_facts(each: Future) -> dict[str, Json]:
    """What would be kept on a day to come, as JSON."""
    return {
        "target": each.target,
        "store": each.store,
        "at": time_text(each.at),
        "kept": [
            {
                "id": verdict.backup.id,
                "started_at": time_text(verdict.backup.at),
                "planned": verdict.backup.id in each.planned,
                "reasons": [_reason(reason) for reason in verdict.reasons],
            }
            for verdict in each.verdicts
            if verdict.kept
        ],
        "gone": [
            verdict.backup.id
            for verdict in each.verdicts
            if not verdict.kept and verdict.backup.id not in each.planned
        ],
    }


def unusual(found: Sequence[Unusual]) -> None:
    """Print what nobody has acknowledged."""
    if not found:
        line("nothing unusual that somebody has not acknowledged")
    for each in found:
        line(f"{each.target}/{each.backup_id}")
        for text in each.findings:
            line(f"  {text}")


def unusual_facts(each: Unusual) -> dict[str, Json]:
    """What is unusual about a backup, as JSON."""
    return {"target": each.target, "id": each.backup_id, "findings": to_json(each.findings)}


def locks(found: Sequence[CopyLock]) -> None:
    """Say of each copy of a backup how it is locked."""
    for each in found:
        if text := lock_text(each):
            line(f"  locks    in {each.store}: {text}")


def marks(row: BackupRow, found: Sequence[Kept]) -> None:
    """Say what became known of a backup, the same of several stores once; and what somebody laid over it."""
    for copy in row.copies:
        if copy.covered is not None:
            line(f"  covered  in {copy.store}: {copy.covered}; what was written lies beneath and is read")
    said = {}
    for each in found:
        why = each.mark.content.get("why", "")
        match each.mark.kind:
            case "tombstone":
                after = str(each.mark.content.get("remove_after", ""))
                text = f"  hidden   in {each.store}: {why}; it is removed after {after}"
                said[text] = f"{text}, until then `holdfast undelete {row.backup.id}` brings it back"
            case "pin" | "ack":
                until = each.mark.content.get("until")
                text = (
                    f"  {each.mark.kind:<9}at {when(each.mark.at)}{f' until {until}' if until else ''}: {why}"
                )
                said[text] = text
    for text in said.values():
        line(text)
