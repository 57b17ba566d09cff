"""Runs a job and writes down what became of it: begin, heartbeat, finish. One of the two outer catchers."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from holdfast.jobs.services import Services
from holdfast.model.codec import time_text
from holdfast.model.errors import CancelledError, Error, LedgerError
from holdfast.model.run import Job, Occasion, Run, Status
from holdfast.system import lock, logs

T = TypeVar("T")
_HEARTBEAT_SECONDS = 10.0
_SILENT = timedelta(hours=1)


class SkippedError(Error):
    """There is nothing to do for the run's slot, such as for a backup: `backup_id` is there already."""

    code = "skipped"

    def __init__(self, message: str, *, backup_id: str | None = None) -> None:
        super().__init__(message)
        self.backup_id = backup_id


@dataclass(slots=True)
class Meter:
    """Counts what a run has done so far, in bytes; the heartbeat writes it down. `signs` are its signs of life."""

    done: int = 0
    signs: int = 0

    def add(self, count: int) -> None:
        """Count more bytes."""
        self.done += count
        self.signs += 1

    def pulse(self) -> None:
        """Show that the run goes on, where no bytes tell."""
        self.signs += 1


def new_run(
    services: Services, job: Job, target: str, occasion: Occasion, *, backup_id: str | None = None
) -> Run:
    """Give the run of a job that begins now, by this process."""
    return Run(
        job=job,
        target=target,
        trigger=occasion.trigger,
        slot=occasion.slot,
        attempt=occasion.attempt,
        started_at=services.clock.now(),
        backup_id=backup_id,
        host=services.host,
        pid=services.pid,
    )


@contextmanager
def target_lock(services: Services, target: str) -> Iterator[None]:
    """Hold the lock of a target on this host. Raise BusyError, naming the holder, when it is taken."""
    with _locked(services, f"{target}.lock", f"target {target}"):
        yield


@contextmanager
def retention_lock(services: Services, target: str) -> Iterator[None]:
    """Hold the lock of what hides backups of a target, brings them back and removes them: a backup may go on meanwhile."""
    with _locked(services, f"{target}.retention.lock", f"the retention of target {target}"):
        yield


@contextmanager
def _locked(services: Services, name: str, what: str) -> Iterator[None]:
    since = services.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    holder = f"process {services.pid} on {services.host} since {since}"
    with lock.exclusive(services.state_dir / "locks" / name, what=what, holder=holder):
        yield


def execute(services: Services, run: Run, body: Callable[[Meter], T]) -> T:
    """Run `body` as the run, recording its end whatever that is. Errors go through after they are recorded.

    What is logged meanwhile tells of the run.
    """
    run = services.ledger.begin(run)
    logs.learn(run_id=run.id)
    with logs.about(run_id=run.id, job=run.job, target=run.target):
        return _execute(services, run, body)


def _execute(services: Services, run: Run, body: Callable[[Meter], T]) -> T:
    ledger, clock = services.ledger, services.clock
    meter = Meter()
    if run.slot is not None:
        services.reporter.info(
            "run begins", trigger=run.trigger, slot=time_text(run.slot), attempt=run.attempt
        )
    services.watcher.begun(run)
    services.stage("begun")
    try:
        with _heartbeat(services, run, meter):
            result = body(meter)
    except BaseException as error:
        _finish_failed(services, run, meter, error)
        services.watcher.ended(run)
        raise
    ledger.finish(run.id, status="succeeded", now=clock.now(), bytes_done=meter.done)
    services.watcher.ended(run)
    services.stage("finished")
    return result


def _finish_failed(services: Services, run: Run, meter: Meter, error: BaseException) -> None:
    status: Status = "failed"
    if isinstance(error, CancelledError | KeyboardInterrupt):
        status = "cancelled"
    if isinstance(error, SkippedError):
        status = "skipped"
    try:
        services.ledger.finish(
            run.id,
            status=status,
            now=services.clock.now(),
            bytes_done=meter.done,
            backup_id=error.backup_id if isinstance(error, SkippedError) else None,
            error_code=error.code if isinstance(error, Error) else Error.code,
            error=str(error) or type(error).__name__,
        )
    except LedgerError as trouble:  # the failure itself is what matters; it goes through
        services.reporter.warn("the ledger could not record the failure", error=str(trouble))


def lost_runs(services: Services, job: Job, target: str, *, locked: bool = False) -> list[Run]:
    """The runs that a dead process left open: one of this host, or one of another whose heartbeat stopped long ago.

    `locked` says that the caller holds the lock of such runs, so that none of this host lives, whatever its process
    number: a container that is started again often has the same ones. A new container has a host name of its own.
    """
    silent = services.clock.now() - _SILENT
    return [
        run
        for run in services.ledger.unfinished(target, job)
        if (
            locked or (run.pid != services.pid and not _alive(run.pid))
            if run.host == services.host
            else (run.heartbeat_at or run.started_at) < silent
        )
    ]


def close_lost_runs(services: Services, job: Job, target: str, *, locked: bool = False) -> None:
    """Close the runs that a dead process left open; `locked` as in `lost_runs`."""
    for run in lost_runs(services, job, target, locked=locked):
        close_lost(services, run)


def left_open(services: Services) -> list[Run]:
    """The open runs of this host whose process is dead, for a process that has just begun and has none of its own.

    So one with its own number is dead, too: a container that is started again often has the same ones.
    """
    return [
        run
        for run in services.ledger.unfinished()
        if run.host == services.host and (run.pid == services.pid or not _alive(run.pid))
    ]


def close_lost(services: Services, run: Run) -> None:
    """Record that a run died without an end of its own."""
    services.ledger.finish(
        run.id,
        status="lost",
        now=services.clock.now(),
        error_code="lost",
        error=f"process {run.pid} on {run.host} ended without finishing the run",
    )
    facts = {"run_id": run.id, "job": run.job, "target": run.target}
    services.reporter.warn("an earlier run died", **facts, backup=run.backup_id)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _heartbeat(services: Services, run: Run, meter: Meter) -> Iterator[None]:
    done = threading.Event()
    thread = threading.Thread(target=_beat, args=(services, run, meter, done), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def _beat(services: Services, run: Run, meter: Meter, done: threading.Event) -> None:
    facts = {"run_id": run.id, "job": run.job, "target": run.target}
    while not done.wait(_HEARTBEAT_SECONDS):
        try:
            services.ledger.heartbeat(run.id, now=services.clock.now(), bytes_done=meter.done)
        except LedgerError as trouble:
            services.reporter.warn("the ledger could not take a heartbeat", **facts, error=str(trouble))
