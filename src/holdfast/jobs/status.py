"""Answers "am I safe?" from the ledger: per target the last good backup, where it lies, and what went wrong last."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from holdfast.jobs import forgotten
from holdfast.jobs.find import timely
from holdfast.jobs.services import Services
from holdfast.jobs.spread import Spread, spread
from holdfast.jobs.troubles import troubles
from holdfast.ledger import drills, habits, locks, losses, retention, scheduling
from holdfast.ledger.ledger import BackupRow
from holdfast.model.drill import Drill
from holdfast.model.planning import Pause
from holdfast.model.run import Run
from holdfast.model.target import Target

OLD = timedelta(hours=48)
_SLOTS, _SLACK = 2, timedelta(minutes=10)  # as in the alert HoldfastBackupOverdue


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetStatus:
    """The state of one target. `age_seconds` counts from when the last good backup began: what is newer is lost.

    `limit_seconds` is how old that may be. `hidden` counts the backups that are on their way out.

    `paused` says since when and until when the daemon begins nothing. `waiting` is the newest whole backup where it is
    newer than the last good one and not in enough stores; `spread` tells how 3-2-1 is met. `problems` is empty when all
    is well; each is a sentence without a full stop. So is each of the `notes`, which tell what the ledger of this host
    forgot, and make no target unsafe.
    """

    target: str
    backups: int
    hidden: int
    last_good: BackupRow | None
    age_seconds: float | None
    limit_seconds: float
    last_failure: Run | None
    running: Run | None
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    waiting: BackupRow | None = None
    spread: Spread | None = None
    last_drill: Drill | None = None
    paused: Pause | None = None


def status(services: Services, targets: Sequence[Target]) -> tuple[TargetStatus, ...]:
    """Tell of every configured target, and of those that only the ledger knows.

    A host without targets only restores: that the config lacks what others back up is no problem there.
    """
    now = services.clock.now()
    configured = {target.name: target for target in targets}
    known: dict[str, list[BackupRow]] = {}
    for row in services.ledger.backups():
        known.setdefault(row.backup.target, []).append(row)
    names = [*configured, *sorted(known.keys() - configured.keys())]
    notes = tuple(
        f"{forgotten.sentence(services.ledger, loss)}. `holdfast catalog rebuild` ends this note"
        for loss in losses.unsettled(services.ledger)
    )
    return tuple(
        replace(
            _status(services, name, configured.get(name), known.get(name, []), now, writer=bool(targets)),
            notes=notes,
        )
        for name in names
    )


def _status(
    services: Services,
    name: str,
    target: Target | None,
    rows: list[BackupRow],
    now: datetime,
    *,
    writer: bool,
) -> TargetStatus:
    last = next(iter(timely([row for row in rows if row.good], now)), None)
    failure = services.ledger.last_run(name, "backup", ("failed", "lost", "cancelled"))
    newest = next((row for row in rows if row.whole), None)
    age = (now - last.backup.started_at).total_seconds() if last is not None else None
    pause = scheduling.pauses(services.ledger).get(name)
    allowed = limit(target, habits.interval(services.ledger, name))
    return TargetStatus(
        target=name,
        paused=pause if pause is not None and pause.holds(now) else None,
        backups=sum(1 for row in rows if row.good),
        hidden=sum(1 for row in rows if row.hidden),
        last_good=last,
        age_seconds=age,
        limit_seconds=allowed.total_seconds(),
        last_failure=failure,
        running=next(iter(services.ledger.unfinished(name, "backup")), None),
        last_drill=drills.last(services.ledger, name),
        problems=(
            *_problems(target, rows, last, failure, now, allowed, writer=writer),
            *_waiting(target, newest),
            *_unlocked(services, name, target, now),
            *(troubles(services, target, rows, last, now) if target is not None else ()),
        ),
        waiting=newest if newest is not None and newest.waiting else None,
        spread=spread(target, rows),
    )


def _waiting(target: Target | None, newest: BackupRow | None) -> Iterator[str]:
    """Say what the newest whole backup waits for, if it does: the problems of its copies are those of no good one."""
    if newest is None or not newest.waiting:
        return
    held = {copy.store for copy in newest.copies if copy.state == "complete"} | newest.let_go
    lacking = [name for name in (target.stores if target is not None else ()) if name not in held]
    where = f": it is not in {', '.join(lacking)}" if lacking else ""
    yield f"the newest backup is in {newest.held} of {newest.needed} stores, and not good until then{where}"


def _unlocked(services: Services, name: str, target: Target | None, now: datetime) -> Iterator[str]:
    """Say what a store that locks what it keeps has locked no more, where this host prunes: another one's locks it does not know."""
    if target is None:
        return
    locking = {store for store, place in target.places.items() if place.lock is not None}
    for store, found in locks.lapsed(services.ledger, name, now).items():
        pruned = retention.last(services.ledger, name, store)
        here = target.prune is not None or (pruned is not None and pruned > now - retention.LATELY)
        if store in locking and here:
            yield f"no longer locked in {store}: {', '.join(found[:3])}"


def limit(target: Target | None, usual: timedelta | None) -> timedelta:
    """How old a target's last good backup may be: two slots of its schedule.

    Where it has none, three times what `usual`ly lies between its backups; two days where nothing is usual.
    """
    timetable = target.backup if target is not None else None
    if timetable is not None:
        return _SLOTS * timetable.schedule.interval + _SLACK
    return OLD if usual is None else habits.allowed(usual)


def _problems(
    target: Target | None,
    rows: list[BackupRow],
    last: BackupRow | None,
    failure: Run | None,
    now: datetime,
    allowed: timedelta,
    *,
    writer: bool,
) -> list[str]:
    problems: list[str] = []
    if target is None and writer:
        problems.append("not in the config any more")
    if last is None:
        problems.append("no good backup")
    else:
        age = now - last.backup.started_at
        if age > allowed:
            problems.append(f"the last good backup is {_long(age)} old")
        if age < timedelta(0):
            problems.append("the last good backup is dated in the future: check the clock")
        held = {copy.store for copy in last.copies if copy.state == "complete"}
        missing = [name for name in (target.stores if target is not None else ()) if name not in held]
        if missing:
            problems.append(f"the last good backup is not in {', '.join(missing)}")
    if failure is not None and (last is None or failure.started_at > last.backup.started_at):
        problems.append(f"the last run {'died' if failure.status == 'lost' else failure.status}")
    damaged = [row.backup.id for row in rows if any(copy.state == "damaged" for copy in row.copies)]
    if damaged:
        problems.append(f"damaged copies: {', '.join(damaged[:3])}")
    covered = [row.backup.id for row in rows if any(copy.covered is not None for copy in row.copies)]
    if covered:
        problems.append(f"deleted or written over, and read from beneath: {', '.join(covered[:3])}")
    gone = [row.backup.id for row in rows if any(copy.gone for copy in row.copies)]
    if gone:
        problems.append(f"copies that are gone: {', '.join(gone[:3])}")
    return problems


def _long(age: timedelta) -> str:
    days, hours = age.days, age // timedelta(hours=1)
    return f"{days} days" if days > 1 else f"{hours} h" if hours else f"{age // timedelta(minutes=1)} min"
