"""Decides what is to become of each backup in a store, and whether anything keeps retention from doing it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal

from holdfast.jobs import mixed, prune_steps
from holdfast.jobs.catalog import LEDGER_IS_OF
from holdfast.jobs.prune_look import Folder, Held, Leaving, Shelf
from holdfast.jobs.services import Services
from holdfast.ledger import locks
from holdfast.ledger import marks as kept_marks
from holdfast.ledger import retention as ledger
from holdfast.ledger.locks import CopyLock
from holdfast.ledger.marks import Kept
from holdfast.model.codec import parse_time
from holdfast.model.pruning import Circumstances, Refusal, refusals
from holdfast.model.retention import LATE, Reason, judge
from holdfast.model.run import Job
from holdfast.model.target import Rules

Fate = Literal["keep", "hide", "hidden", "in_use", "return", "remove"]
_SILENT = timedelta(hours=1)
_READERS: tuple[Job, ...] = ("restore", "verify", "copy", "restore_test", "drill")


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is to become of one backup, and why. `removed_after` is when the objects of a hidden one may go.

    `lock` is what keeps them in the store longer than that, as far as is known.
    """

    backup_id: str
    at: datetime | None
    fate: Fate
    reasons: tuple[Reason, ...]
    bytes: int
    removed_after: datetime | None = None
    lock: CopyLock | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to be done in a store. With `refused` nothing of it is."""

    shelf: Shelf
    rules: Rules
    decisions: tuple[Decision, ...]
    refused: tuple[Refusal, ...]
    hiding: tuple[Held, ...]
    returning: tuple[Held, ...]
    removing: tuple[Folder, ...]
    sweeping: tuple[Folder, ...]
    stones: tuple[Kept, ...]

    @property
    def bytes(self) -> int:
        """What the removal of those that are hidden now, or are to be, frees in the end."""
        going = {"hide", "hidden", "in_use", "remove"}
        return sum(each.bytes for each in self.decisions if each.fate in going)


def plan(
    services: Services,
    target: str,
    shelf: Shelf,
    rules: Rules,
    *,
    clock: str | None,
    allow: int,
    now: datetime,
) -> Plan:
    """Judge all that lies in the store, what is hidden too: what is needed again comes back."""
    held = {each.row.backup.id: each for each in shelf.held}
    verdicts = judge([each.candidate for each in shelf.held], rules.policy, now)
    reading = in_use(services, target)
    decided: list[Decision] = []
    for verdict in verdicts:
        each = held[verdict.backup.id]
        fate = _fate(each, now, kept=verdict.kept, used=each.row.backup.id in reading)
        decided.append(_decision(each, fate, verdict.reasons))
    decided += [_end(each, now, used=each.folder.place.backup_id in reading) for each in shelf.leaving]
    decided = _with_locks(services, target, shelf.store.name, decided, now)
    fates = {each.backup_id: each.fate for each in decided}
    folders = [*(each.folder for each in shelf.held), *(each.folder for each in shelf.leaving)]
    removing = tuple(each for each in folders if fates[each.place.backup_id] == "remove")
    busy = writing(services, target)
    sweeping = tuple(
        each for each in shelf.strays if prune_steps.is_old(each, now) and each.place.backup_id not in busy
    )
    stones = tuple(
        each
        for each in shelf.stones
        if now - each.mark.at >= prune_steps.STONES_STAY
        and services.ledger.backup(each.mark.backup_id)
        is None  # or another store's copy would be brought here
    )
    counted = [each for each in verdicts if held[each.backup.id].stone is None or each.kept]
    refused = refusals(
        counted,
        rules.policy,
        _circumstances(services, target, shelf, rules, clock=clock, allow=allow, now=now),
        removing=len(removing),
        clearing=bool(sweeping or stones),
    )
    return Plan(
        shelf=shelf,
        rules=rules,
        decisions=tuple(sorted(decided, key=lambda each: each.backup_id)),
        refused=refused,
        hiding=tuple(each for each in shelf.held if fates[each.row.backup.id] == "hide"),
        returning=tuple(each for each in shelf.held if fates[each.row.backup.id] == "return"),
        removing=removing,
        sweeping=sweeping,
        stones=stones,
    )


def _with_locks(
    services: Services, target: str, store: str, decided: list[Decision], now: datetime
) -> list[Decision]:
    """Add to those that are to go what forbids that: a legal hold, or a lock that outlasts the grace."""
    known = locks.of_store(services.ledger, target, store)

    def still(each: Decision) -> CopyLock | None:
        lock = known.get(each.backup_id)
        if lock is None or each.fate in {"keep", "return"}:
            return None
        due = max(now, each.removed_after or now)
        return lock if lock.held != "no" or (lock.until is not None and lock.until > due) else None

    return [replace(each, lock=still(each)) for each in decided]


def _fate(held: Held, now: datetime, *, kept: bool, used: bool) -> Fate:
    if held.stone is None:
        return "keep" if kept else "hide"
    if kept:
        return "return"
    if held.stone.remove_after > now:
        return "hidden"
    return "in_use" if used else "remove"


def _decision(held: Held, fate: Fate, reasons: Sequence[Reason]) -> Decision:
    return Decision(
        backup_id=held.row.backup.id,
        at=held.row.backup.started_at,
        fate=fate,
        reasons=tuple(reasons),
        bytes=held.folder.bytes,
        removed_after=None if held.stone is None else held.stone.remove_after,
    )


def _end(leaving: Leaving, now: datetime, *, used: bool) -> Decision:
    due = leaving.stone.remove_after <= now
    fate: Fate = "hidden" if not due else "in_use" if used else "remove"
    return Decision(
        backup_id=leaving.folder.place.backup_id,
        at=None,
        fate=fate,
        reasons=(),
        bytes=leaving.folder.bytes,
        removed_after=leaving.stone.remove_after,
    )


def _circumstances(
    services: Services,
    target: str,
    shelf: Shelf,
    rules: Rules,
    *,
    clock: str | None,
    allow: int,
    now: datetime,
) -> Circumstances:
    last = ledger.last(services.ledger, target, shelf.store.name)
    visible = [each for each in shelf.held if each.stone is None]
    acks = acknowledged(services, target)
    return Circumstances(
        clock=clock,
        rebuilt=_rebuilt(services, shelf, now),
        anomalies=anomalies(services, target),
        looked_at=acks,
        made=0 if last is None else sum(1 for each in visible if each.candidate.at > last),
        max_deletions=rules.max_deletions,
        allow=allow,
    )


def acknowledged(services: Services, target: str) -> frozenset[str]:
    """The ids of the backups that somebody acknowledged to be unusual."""
    return frozenset(kept_marks.of_target(services.ledger, target, "ack"))


def anomalies(services: Services, target: str) -> tuple[str, ...]:
    """What is unusual about the target's backups and was acknowledged by nobody: a sentence for each measure, and one for servers that take turns."""
    said: dict[tuple[str, str], str] = {}
    for each in ledger.unusual(services.ledger, target):
        text = f"{each.measure} of database {each.database} in {each.backup_id} is {each.value:,}, about {each.expected:,.0f} was expected"
        said.setdefault((each.database, each.measure), text)
    turns = [
        f"{backup_id} was {text}"
        for backup_id, text in mixed.turns(services, target, services.ledger.backups(target)).items()
    ]
    return (*said.values(), *turns[-1:])


def _rebuilt(services: Services, shelf: Shelf, now: datetime) -> str | None:
    """Say that the ledger is new and has not seen a backup of this target since; None when it has.

    One whose date cannot be true tells nothing of when it was taken.
    """
    known = [services.ledger.meta_get(key) for key in LEDGER_IS_OF]
    since = max(parse_time(text) for text in known if text is not None)
    if any(
        each.candidate.good
        and not each.candidate.suspect(now)
        and since < each.row.backup.finished_at <= now + LATE
        for each in shelf.held
    ):
        return None
    return (
        f"the ledger is of {since:%Y-%m-%d %H:%M:%SZ}, and knows of no good backup since: it may not know all"
    )


def in_use(services: Services, target: str) -> frozenset[str]:
    """The ids of the backups that a run on this host, or of this ledger, reads at present."""
    return _of_runs(services, target, _READERS)


def writing(services: Services, target: str) -> frozenset[str]:
    """The ids of the backups that are being written."""
    return _of_runs(services, target, ("backup", "copy"))


def _of_runs(services: Services, target: str, jobs: tuple[Job, ...]) -> frozenset[str]:
    """By the open runs that showed a sign of life lately; one that is dead keeps a backup a little longer, and no more."""
    silent = services.clock.now() - _SILENT
    return frozenset(
        run.backup_id
        for job in jobs
        for run in services.ledger.unfinished(target, job)
        if run.backup_id is not None and (run.heartbeat_at or run.started_at) >= silent
    )
