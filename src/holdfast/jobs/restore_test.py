"""The restore test: restores a backup into a scratch cluster, proves that it is the same, and puts the proof into the store."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from holdfast.jobs import proofs, runner
from holdfast.jobs.reading import Opened, can_open
from holdfast.jobs.services import Services
from holdfast.jobs.trial import Trial
from holdfast.model.errors import (
    BusyError,
    CancelledError,
    CouldNotTestError,
    Error,
    IntegrityError,
    KeyFileError,
    LedgerError,
    RestoreTestError,
    UsageError,
)
from holdfast.model.proof import Detail, Proof
from holdfast.model.run import Run
from holdfast.model.testing import RestoreTesting
from holdfast.system import lock
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a restore test came to. `detail` has the names; it is encrypted in the store."""

    proof: Proof
    detail: Detail
    stored_in: tuple[str, ...]


def restore_test(
    services: Services,
    opened: Opened,
    plan: RestoreTesting,
    meter: runner.Meter,
    stop: Stop,
    *,
    database: str | None = None,
) -> Result:
    """Test a backup (or one database of it), and store the proof beside it, whatever it came to.

    Raise CouldNotTestError where no test was possible: that proves nothing, and leaves no proof.
    """
    with one_at_a_time(services), limited(plan, stop, "restore test") as inner, _could_not(inner):
        _require_identity(services, opened)
        services.keys.signer()
        test = Trial(services=services, opened=opened, plan=plan, meter=meter, stop=inner)
        detail, facts = test.run(database)
        services.stage("tested")
        proof = proofs.of(services, opened, detail, facts)
        proof, stored = proofs.keep(services, opened, proof, detail)
    return Result(proof=proof, detail=detail, stored_in=stored)


def run_one(
    services: Services, opened: Opened, plan: RestoreTesting, stop: Stop, *, database: str | None = None
) -> Result:
    """Test a backup once, as a run of its own."""
    runner.close_lost_runs(services, "restore_test", opened.backup.target)
    run = Run(
        job="restore_test",
        target=opened.backup.target,
        started_at=services.clock.now(),
        backup_id=opened.backup.id,
        host=services.host,
        pid=services.pid,
    )

    def body(meter: runner.Meter) -> Result:
        done = restore_test(services, opened, plan, meter, stop, database=database)
        require_pass(done)
        return done

    try:
        return runner.execute(services, run, body)
    except NotProvenError as error:
        return error.result


class NotProvenError(RestoreTestError):
    """A test came to a result, and it is not what was hoped for."""

    def __init__(self, message: str, *, hint: str, result: Result) -> None:
        super().__init__(message, hint=hint)
        self.result = result


def require_pass(result: Result) -> None:
    """Raise NotProvenError unless the test passed."""
    tested = result.proof.tested
    if tested is None or tested.outcome == "passed":
        return
    raise NotProvenError(
        f"backup {result.proof.backup_id} is not proven: {proofs.summary(tested)}",
        hint=f"`holdfast proof show {result.proof.backup_id}` tells each difference. Take another backup, and find out"
        " what changed.",
        result=result,
    )


@contextmanager
def one_at_a_time(services: Services) -> Iterator[None]:
    """One test burdens a machine enough."""
    since = services.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")
    with lock.exclusive(
        services.state_dir / "locks" / "restore-test.lock",
        what="the restore test",
        holder=f"process {services.pid} on {services.host} since {since}",
    ):
        yield


@contextmanager
def limited(plan: RestoreTesting, stop: Stop, what: str) -> Iterator[Stop]:
    """Give a stop that is also requested when the plan's time is over."""
    with stop.derived() as inner:
        if plan.timeout is None:
            yield inner
            return
        error = CouldNotTestError(
            f"the {what} took longer than {plan.timeout:g} s", hint="Raise restore_test.timeout."
        )
        timer = threading.Timer(plan.timeout, inner.request, [error])
        timer.daemon = True
        timer.start()
        try:
            yield inner
        finally:
            timer.cancel()


@contextmanager
def _could_not(stop: Stop) -> Iterator[None]:
    """Turn what kept a test from coming to a result into the one error that says so."""
    try:
        yield
    except (RestoreTestError, CancelledError, BusyError, LedgerError, UsageError):
        raise
    except IntegrityError as error:
        raise RestoreTestError(
            f"the stored backup cannot be read: {error.message}", hint=error.hint
        ) from error
    except Error as error:
        stop.check()
        if error.code == Error.code:
            raise
        raise CouldNotTestError(f"could not test: {error.message}", hint=error.hint) from error


def _require_identity(services: Services, opened: Opened) -> None:
    if not can_open(opened.backup, services.keys):
        raise KeyFileError(
            f"backup {opened.backup.id} is encrypted, and this host has no identity",
            hint="Run restore tests where the identity is: set encryption.identity_file there.",
        )
