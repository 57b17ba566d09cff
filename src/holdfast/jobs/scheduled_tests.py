"""The restore tests that the daemon makes by itself: of the newest good backup, and of random older ones."""

from __future__ import annotations

from random import SystemRandom

from holdfast.jobs import find, runner
from holdfast.jobs.services import Services
from holdfast.ledger import restore_tests as ledger
from holdfast.model.run import Occasion, Status
from holdfast.model.target import Target
from holdfast.system.stop import Stop

_TRIED: tuple[Status, ...] = ("running", "succeeded", "failed", "lost")


def restore_tests(services: Services, target: Target, stop: Stop, occasion: Occasion) -> None:
    """Make the tests of a slot, under one run. Raise NotProvenError when one failed, CouldNotTestError at the first that was impossible."""
    from holdfast.jobs import restore_test as tests  # noqa: PLC0415 - half of the program: not for the daemon's start

    whole = [row for row in services.ledger.backups(target.name) if row.whole]
    known = find.timely(whole, services.clock.now())
    older = known[1:]
    chosen = known[:1] + SystemRandom().sample(older, min(len(older), target.restore_test.also_older))
    run = runner.new_run(
        services, "restore_test", target.name, occasion, backup_id=chosen[0].backup.id if chosen else None
    )

    def body(meter: runner.Meter) -> None:
        if not chosen:
            raise runner.SkippedError("there is no good backup to test yet")
        failed: list[tests.NotProvenError] = []
        for row in chosen:
            done = tests.restore_test(
                services, find.open_best(services, row), target.restore_test, meter, stop
            )
            try:
                tests.require_pass(done)
            except tests.NotProvenError as error:
                services.reporter.warn("a backup is not proven", backup=row.backup.id, error=error.message)
                failed.append(error)
        if failed:
            raise failed[0]

    runner.execute(services, run, body)


def refusal(services: Services) -> str | None:
    """Why no test is made here, or None where it is."""
    keys = services.keys
    if keys.identities or not keys.recipients:
        return None
    return "this host has no identity: restore tests have to be made by another, which has (encryption.identity_file)"


def is_first(services: Services, target: Target) -> bool:
    """Whether the first good backup waits for the first test."""
    if ledger.ever(services.ledger, target.name):
        return False
    tried = services.ledger.last_run(target.name, "restore_test", _TRIED)
    return tried is None and any(row.whole for row in services.ledger.backups(target.name))
