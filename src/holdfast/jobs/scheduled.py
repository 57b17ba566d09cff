"""The jobs that the daemon does by itself: each one is an entry of KINDS, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from holdfast.jobs import canary, copies, prune, runner, scheduled_tests
from holdfast.jobs.backup import backup
from holdfast.jobs.find import timely
from holdfast.jobs.scrub import scrub
from holdfast.jobs.services import Services
from holdfast.jobs.supabase import platform, storage_save, storage_scrub
from holdfast.jobs.verify import verify
from holdfast.ledger import scheduling
from holdfast.ledger.scheduling import Key
from holdfast.model.errors import BusyError, CancelledError, Error
from holdfast.model.planning import Timetable
from holdfast.model.run import Job, Occasion, Run
from holdfast.model.target import Target
from holdfast.system import logs
from holdfast.system.stop import Stop

Pool = Literal["dumps", "tests", "rest"]


def _always(_: Services) -> str | None:
    return None


def _never_first(_: Services, __: Target) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """A job that runs by a timetable. Those of the pool `dumps` burden the target's server, one at a time each.

    `run` does it once for a slot, under the job's own run in the ledger, and raises what went wrong. `refusal` says why
    this host cannot do it at all; `first` whether it is owed at once, as it was never done.
    """

    job: Job
    pool: Pool
    timetable: Callable[[Target], Timetable | None]
    run: Callable[[Services, Target, Stop, Occasion], None]
    refusal: Callable[[Services], str | None] = _always
    first: Callable[[Services, Target], bool] = _never_first


def execute(kind: Kind, services: Services, target: Target, stop: Stop, occasion: Occasion) -> None:
    """Do a job for its slot. Whatever it ends with, the ledger tells of the attempt; else LedgerError is raised."""
    tell = services.reporter
    with logs.about(job=kind.job, target=target.name):
        try:
            kind.run(services, target, stop, occasion)
        except runner.SkippedError as found:
            tell.info("nothing to do", reason=str(found))
        except Error as error:
            _record_attempt(kind, services, target, occasion, error)
            hint = {"hint": error.hint} if error.hint else {}
            tell.warn("run failed", attempt=occasion.attempt, code=error.code, error=str(error), **hint)
        else:
            tell.info("run succeeded")


def _record_attempt(kind: Kind, services: Services, target: Target, occasion: Occasion, error: Error) -> None:
    """Record an attempt that failed before its run began, such as at a lock: without it there would be no end of them."""
    key: Key = (kind.job, target.name)
    if occasion.slot is None or scheduling.attempts(services.ledger, key, occasion.slot) >= occasion.attempt:
        return
    now = services.clock.now()
    run = services.ledger.begin(
        Run(
            job=kind.job,
            target=target.name,
            trigger=occasion.trigger,
            slot=occasion.slot,
            attempt=occasion.attempt,
            status="cancelled" if isinstance(error, CancelledError) else "failed",
            started_at=now,
            finished_at=now,
            error_code=error.code,
            error=error.message,
            host=services.host,
            pid=services.pid,
        )
    )
    logs.learn(run_id=run.id)
    services.watcher.ended(run)


def _backup(services: Services, target: Target, stop: Stop, occasion: Occasion) -> None:
    taken = backup(services, target, stop, occasion=occasion)
    scheduling.learn_server(services.ledger, target.name, taken.backup.server.system_identifier)


def _verify(services: Services, target: Target, stop: Stop, occasion: Occasion) -> None:
    """Verify the latest backup in all its stores, and go on with the scrub. Each copy that is read has a run of its own besides that of the slot."""
    rows = timely(services.ledger.backups(target.name), services.clock.now())
    latest = next((row for row in rows if not row.hidden), None)
    run = runner.new_run(
        services, "verify", target.name, occasion, backup_id=latest.backup.id if latest is not None else None
    )

    def body(meter: runner.Meter) -> None:
        results = verify(services, latest, stop) if latest is not None and target.verify_latest else []
        interval = target.verify.schedule.interval if target.verify is not None else timedelta(days=1)
        results += scrub(services, target, meter, stop, interval=interval)
        results += storage_scrub.scrub(services, target, meter, stop, interval=interval)
        for result in results:
            if result.error is not None:
                raise result.error

    runner.execute(services, run, body)


def _copy(services: Services, target: Target, stop: Stop, occasion: Occasion) -> None:
    """Bring what is missing to every store. Where somebody else does so already, there is nothing to do."""
    try:
        done = copies.catch_up(services, target, stop, occasion=occasion)
    except BusyError as busy:
        services.reporter.info("others copy", why=str(busy))
        return
    if (error := done.error()) is not None:
        raise error


def _objects(services: Services, target: Target, stop: Stop, occasion: Occasion) -> None:
    storage_save.save(services, target, stop, occasion=occasion)


def _prune(services: Services, target: Target, stop: Stop, occasion: Occasion) -> None:
    """Prune where this host may. A store in which another one does so at present has what it needs."""
    results = prune.prune(services, target, stop, wish=prune.Wish(), occasion=occasion)
    prune.complain([each for each in results if not each.elsewhere])


def _canary(services: Services, target: Target, stop: Stop, occasion: Occasion) -> None:
    canary.complain(canary.canary(services, target.name, stop, occasion=occasion))


KINDS = (
    Kind(job="backup", pool="dumps", timetable=lambda target: target.backup, run=_backup),
    Kind(job="verify", pool="rest", timetable=lambda target: target.verify, run=_verify),
    Kind(job="copy", pool="rest", timetable=lambda target: target.copy, run=_copy),
    Kind(job="prune", pool="rest", timetable=lambda target: target.prune, run=_prune),
    Kind(job="objects", pool="rest", timetable=lambda target: target.objects, run=_objects),
    Kind(job="canary", pool="rest", timetable=lambda target: target.canary, run=_canary),
    Kind(job="provider", pool="rest", timetable=lambda target: target.provider, run=platform.watch),
    Kind(
        job="restore_test",
        pool="tests",
        timetable=lambda target: target.restore_test.timetable,
        run=scheduled_tests.restore_tests,
        refusal=scheduled_tests.refusal,
        first=scheduled_tests.is_first,
    ),
)


def refusals(services: Services, kinds: tuple[Kind, ...] = KINDS) -> dict[Job, str]:
    """Why this host cannot do some of the jobs at all."""
    found = {kind.job: kind.refusal(services) for kind in kinds}
    return {job: reason for job, reason in found.items() if reason is not None}


def timetables(targets: tuple[Target, ...], kinds: tuple[Kind, ...] = KINDS) -> dict[Key, Timetable]:
    """When each job of each target is done; what is never done by itself is not in it."""
    found = {(kind.job, target.name): kind.timetable(target) for target in targets for kind in kinds}
    return {key: timetable for key, timetable in found.items() if timetable is not None}
