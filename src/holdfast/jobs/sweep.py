"""Clears up after runs that died or could not clear up themselves: adopts what was committed, removes the rest."""

from __future__ import annotations

from dataclasses import replace
from itertools import takewhile

from holdfast.jobs import adopting, copies, fence, marks, runner, writing
from holdfast.jobs.reading import open_backup
from holdfast.jobs.services import Services
from holdfast.ledger import scheduling
from holdfast.model.errors import BusyError, Error, NotFoundError
from holdfast.model.run import Run, Status
from holdfast.model.target import Target

_LATEST_RUNS = 10
# Not those that were skipped: they name another's backup.
_WROTE: tuple[Status, ...] = ("succeeded", "failed", "cancelled", "lost")


def sweep(services: Services, target: Target) -> None:
    """Settle what the last runs of this target left. Trouble with a store is a warning, and the next run tries again.

    The caller holds the target's lock, so an open run of this host cannot be alive.
    """
    away: set[str] = set()
    for run in [
        *runner.lost_runs(services, "backup", target.name, locked=True),
        *runner.lost_runs(services, "import", target.name, locked=True),
    ]:
        _settle_lost(services, target, run, away)
    for run in _failed_since_success(services, target.name):
        _settle(services, target, run.backup_id, away)
    copies.close_lost(services, target.name)


def _settle_lost(services: Services, target: Target, run: Run, away: set[str]) -> None:
    """Close a lost run, unless a store that cannot be looked into may still hold something of it."""
    found = _settle(services, target, run.backup_id, away)
    settled = run.slot is not None and scheduling.succeeded(
        services.ledger, ("backup", target.name), run.slot
    )
    if True in found and not settled:
        services.ledger.finish(run.id, status="succeeded", now=services.clock.now())
    elif None not in found:
        runner.close_lost(services, run)


def _failed_since_success(services: Services, target: str) -> list[Run]:
    """The latest runs that failed: their store may have been out of reach when they cleared up."""
    latest = services.ledger.runs(target, "backup", _WROTE, limit=_LATEST_RUNS)
    return list(takewhile(lambda run: run.status != "succeeded", latest))


def _settle(services: Services, target: Target, backup_id: str | None, away: set[str]) -> list[bool | None]:
    """Adopt or remove what lies in the stores under an id. Tell for each whether a backup is there; None: unknown.

    A store that failed once is `away`: it is not asked again for each of the runs, and told of once.
    """
    found: list[bool | None] = []
    for name in target.stores if backup_id is not None else ():
        if name in away:
            found.append(None)
            continue
        place = writing.Place(store=services.store(name), target=target.name, backup_id=str(backup_id))
        try:
            found.append(_adopt_idle(services, target, place))
        except BusyError as busy:
            services.reporter.info("left to who copies now", store=name, backup=backup_id, why=str(busy))
            found.append(None)
        except Error as trouble:
            services.reporter.warn(
                "could not clear up after an earlier run", store=name, backup=backup_id, error=str(trouble)
            )
            away.add(name)
            found.append(None)
    return found


def _adopt_idle(services: Services, target: Target, place: writing.Place) -> bool:
    """As `_adopt`; of a known backup, what has no manifest may be a copy that goes on. Raise BusyError while it may.

    Of one that is not known, a host that was cloned with its ledger may be about to commit it.
    """
    if services.ledger.backup(place.backup_id) is None:
        with fence.fenced(services, place.store, target.name, "backup") as store:
            return _adopt(services, replace(place, store=store))
    with (
        copies.locked(services, target.name),
        fence.fenced(services, place.store, target.name, "copies") as store,
    ):
        return _adopt(services, replace(place, store=store))


def _adopt(services: Services, place: writing.Place) -> bool:
    """Adopt the backup that lies there whole; else remove what lies there, and return False."""
    now, name = services.clock.now(), place.store.name
    if marks.standing(services, place) is not None:
        return False  # a backup that retention removed, or is about to
    try:
        opened = open_backup(place, services.keys)
    except NotFoundError:
        writing.discard(services, place)
        row = services.ledger.backup(place.backup_id)
        if row is not None and not any((copy.store, copy.state) == (name, "missing") for copy in row.copies):
            services.ledger.record_copy(row.backup.id, name, "missing", now, "the copy broke off")
        return False
    adopting.adopt(services, opened)
    services.ledger.record_copy(place.backup_id, name, "complete", now)
    services.reporter.info("adopted a backup that was committed", store=name, backup=place.backup_id)
    return True
