"""Brings every backup of a target to all of its stores, the oldest first: what a store that was away has missed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from holdfast.jobs import locking, runner, writing
from holdfast.jobs.copy import copy
from holdfast.jobs.prune_look import pinned
from holdfast.jobs.services import Services
from holdfast.ledger import marks
from holdfast.ledger.ledger import BackupRow
from holdfast.model.errors import BusyError, Error, NotFoundError, StoreError
from holdfast.model.retention import Candidate, judge
from holdfast.model.run import MANUAL, Occasion
from holdfast.model.target import Target
from holdfast.system import lock
from holdfast.system.stop import Stop


@dataclass(slots=True)
class CaughtUp:
    """What a round of copying did: (backup, store) that were copied; those that failed, with why; and what waits."""

    copied: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str, Error]] = field(default_factory=list)
    left: dict[str, int] = field(default_factory=dict)

    def error(self) -> Error | None:
        """The first failure, None where there was none."""
        return self.failed[0][2] if self.failed else None


@contextmanager
def locked(services: Services, target: str) -> Iterator[None]:
    """Hold the lock of a target's copies on this host, so that no copy is made twice. Raise BusyError when it is taken.

    It is not the target's lock: a slow store holds up no dump.
    """
    since = services.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    with lock.exclusive(
        services.state_dir / "locks" / f"{target}.copy.lock",
        what=f"the copies of target {target}",
        holder=f"process {services.pid} on {services.host} since {since}",
    ):
        yield


def copy_out(services: Services, target: Target, backup_id: str, stop: Stop) -> tuple[tuple[str, str], ...]:
    """Bring a new backup from the target's first store to the others; tell which failed, and why.

    Where another process copies for the target, nothing is done: it takes this backup along.
    """
    failed: list[tuple[str, str]] = []
    if len(target.stores) == 1:
        return ()
    try:
        with locked(services, target.name):
            for name in target.stores[1:]:
                try:
                    copy(services, target.name, backup_id, target.stores[0], name, stop)
                except BusyError as busy:
                    services.reporter.info(
                        "the backup is left to who copies there", store=name, why=str(busy)
                    )
                except Error as error:
                    if stop.requested:
                        raise
                    services.reporter.warn("a copy failed", store=name, backup=backup_id, error=str(error))
                    failed.append((name, error.message))
                else:
                    locking.begin(services, target, backup_id, name, stop)
    except BusyError as busy:
        services.reporter.info("the backup is left to who copies now", backup=backup_id, why=str(busy))
    return tuple(failed)


def close_lost(services: Services, target: str) -> None:
    """Close the copies that a dead process left open; those of a living one hold the lock, and stay."""
    try:
        with locked(services, target):
            runner.close_lost_runs(services, "copy", target, locked=True)
    except BusyError:
        return


def missing(services: Services, target: Target, store: str) -> list[BackupRow]:
    """The backups that the store lacks and another of the target's stores holds whole, the oldest first.

    Not those that retention would take away there at once; nor those whose copy was there and is gone or damaged: why
    that is, a person has to see first.
    """
    rows = [
        row
        for row in reversed(services.ledger.backups(target.name))
        if not row.hidden and any(copy.store in target.stores for copy in row.copies)
    ]
    lacking = [row for row in rows if lacks(row, store) and _source(row, target, store) is not None]
    if not lacking:
        return []
    kept = _kept(services, target, store, rows)
    return [row for row in lacking if row.backup.id in kept]


def _kept(services: Services, target: Target, store: str, rows: list[BackupRow]) -> set[str]:
    """The ids that retention would keep in the store, were they all there."""
    now = services.clock.now()
    known = marks.of_target(services.ledger, target.name, "pin")
    candidates = [
        Candidate(
            id=row.backup.id,
            at=row.backup.started_at,
            good=row.whole,
            proven=row.proof == "proven",
            pinned=pinned(known.get(row.backup.id, []), now),
            parent=row.backup.parent,
        )
        for row in rows
    ]
    return {each.backup.id for each in judge(candidates, target.rules(store).policy, now) if each.kept}


def lacks(row: BackupRow, store: str) -> bool:
    """Whether a store does not hold a backup, and never did."""
    known = next((each for each in row.copies if each.store == store), None)
    return known is None or (known.state in {"missing", "copying"} and not known.gone)


def _source(row: BackupRow, target: Target, store: str) -> str | None:
    """The store to copy from: the first in the target's order that holds the backup whole, as it was taken if one does."""
    whole = {each.store for each in row.copies if each.state == "complete"} - {store}
    found = sorted((name for name in target.stores if name in whole), key=lambda name: name in row.variants)
    return next(iter(found), None)


def catch_up(services: Services, target: Target, stop: Stop, *, occasion: Occasion = MANUAL) -> CaughtUp:
    """Copy all that is missing, recording the run. A store that fails is left alone for this round; others go on.

    Each copy has a run of its own, too. A failure is in the result, and makes the run a failed one. Raise BusyError
    when another process copies for this target already.
    """
    done = CaughtUp()

    def body(meter: runner.Meter) -> None:
        _catch_up(services, target, meter, stop, done)
        if (error := done.error()) is not None:
            raise error

    with locked(services, target.name):
        runner.close_lost_runs(services, "copy", target.name, locked=True)
        run = runner.new_run(services, "copy", target.name, occasion)
        try:
            runner.execute(services, run, body)
        except Error as error:
            if error is not done.error():
                raise
    return done


def _catch_up(services: Services, target: Target, meter: runner.Meter, stop: Stop, done: CaughtUp) -> None:
    for name in target.stores[1:]:
        writing.abort_stale_uploads(services, services.store(name), target.name)
    tried: set[tuple[str, str]] = set()
    away: set[str] = set()
    while found := _wanted(
        services, target, tried
    ):  # again after a round: meanwhile there may be a new backup
        for backup_id, store in found:
            stop.check()
            tried.add((backup_id, store))
            row = services.ledger.backup(backup_id)
            if row is not None and store not in away and lacks(row, store):
                _copy(services, target, row, store, stop, done, away)
                meter.pulse()
    done.left = {name: len(missing(services, target, name)) for name in target.stores}


def _wanted(services: Services, target: Target, tried: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """What to copy, (backup, store), the oldest backup first."""
    pairs = ((row.backup.id, store) for store in target.stores for row in missing(services, target, store))
    return sorted(pair for pair in pairs if pair not in tried)


def _copy(
    services: Services,
    target: Target,
    row: BackupRow,
    store: str,
    stop: Stop,
    done: CaughtUp,
    away: set[str],
) -> None:
    source = _source(row, target, store)
    if source is None:  # it was damaged or removed meanwhile
        return
    try:
        copy(services, target.name, row.backup.id, source, store, stop)
    except NotFoundError as error:  # hidden or removed meanwhile: nothing to copy any more
        services.reporter.info("not copied", store=store, backup=row.backup.id, why=str(error))
    except BusyError as busy:
        services.reporter.info("the store is left to who copies there", store=store, why=str(busy))
        away.add(store)
    except Error as error:
        if stop.requested:
            raise
        services.reporter.warn("a copy failed", store=store, backup=row.backup.id, error=str(error))
        done.failed.append((row.backup.id, store, error))
        if isinstance(error, StoreError):
            away.add(store)
    else:
        done.copied.append((row.backup.id, store))
        locking.begin(services, target, row.backup.id, store, stop)
