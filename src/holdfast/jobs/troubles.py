"""What keeps a target from being safe though its last good backup is young and where it should be: by the ledger."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from holdfast.jobs import news
from holdfast.jobs.services import Services
from holdfast.jobs.unusual import unusual
from holdfast.ledger import canaries, probes, restore_tests, retention, standings
from holdfast.ledger.ledger import BackupRow
from holdfast.model.run import Job
from holdfast.model.target import Target
from holdfast.system import logs

_FRESH = timedelta(hours=1)  # a daemon tries the stores much more often; what none has looked at is not known
_JOBS: tuple[Job, ...] = ("verify", "prune", "restore_test", "canary", "objects")  # that the alerts are for
_IN_A_ROW = 2  # as in the alert HoldfastJobFailing
_SHOWN = 3


def troubles(
    services: Services, target: Target, rows: Sequence[BackupRow], last: BackupRow | None, now: datetime
) -> Iterator[str]:
    """Give each in a sentence without a full stop. `rows` are the target's backups, `last` is the last good one."""
    yield from _never_taken(target, last)
    yield from _not_believed(services, rows)
    yield from _stores(services, target, now)
    for each in canaries.known(services.ledger, target.name):
        if each.error is not None:
            yield f"the {each.which} backup does not open ({each.backup_id}): {each.error}"
    refused = retention.refused(services.ledger, target.name)
    if not any(each.cause == "anomaly" for each in refused):
        found = [each.backup_id for each in unusual(services, target.name, rows)]
        if found:
            yield f"unusual, and acknowledged by nobody: {', '.join(found[-_SHOWN:])} (`holdfast anomaly list`)"
    yield from (f"retention refuses to go on in {each.store}: {each.said}" for each in refused)
    yield from _tests(services, target, now)
    yield from _failing(services, target)


def _never_taken(target: Target, last: BackupRow | None) -> Iterator[str]:
    """Databases that the config names and the last good backup has not: named since, most likely."""
    if last is None or target.databases is None:
        return
    lacking = [name for name in target.databases if name not in last.backup.databases]
    if lacking:
        yield f"not in the last good backup, but in the config: {', '.join(lacking)}"


def _not_believed(services: Services, rows: Sequence[BackupRow]) -> Iterator[str]:
    """Backups that are listed from the time when this host trusted their signer: none would be restored from here."""
    trusted = {key.text for key in services.keys.trusted}
    found = [
        row.backup.id
        for row in rows
        if row.whole
        and all(
            row.stored_in(copy.store).backup.signer not in trusted
            for copy in row.copies
            if copy.state == "complete"
        )
    ]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        yield f"signed by a key that is not trusted here any more: {', '.join(found[:_SHOWN])}{more} (`holdfast verify --all` says by which)"


def _stores(services: Services, target: Target, now: datetime) -> Iterator[str]:
    for each in probes.tried(services.ledger):
        if each.store in target.stores and each.error is not None and now - each.at < _FRESH:
            yield f"store {each.store}: {each.error}"


def _tests(services: Services, target: Target, now: datetime) -> Iterator[str]:
    """The restore test that failed, or that is overdue where this host makes them."""
    failed = restore_tests.failed(services.ledger, target.name)
    if failed is not None:
        yield f"backup {failed} failed its restore test, and none has passed since"
        return
    expected = standings.expected(services.ledger).get(("restore_test", target.name))
    if expected is None or target.restore_test.timetable is None:
        return
    passed = restore_tests.last_passed(services.ledger).get(target.name)
    since = max(filter(None, (passed, expected.since)))
    if news.is_overdue(expected, since, now):
        yield f"no restore test has passed since {since:%Y-%m-%d}"


def _failing(services: Services, target: Target) -> Iterator[str]:
    """Jobs besides the backup that keep failing. What other sentences tell better is left to those."""
    told = {"restore_test"} if restore_tests.failed(services.ledger, target.name) is not None else set()
    if retention.refused(services.ledger, target.name):
        told.add("prune")
    for job in _JOBS:
        last = standings.last(services.ledger, (job, target.name))
        found = standings.trouble(services.ledger, (job, target.name), last.good) if last.failing else None
        if found is not None and found.failures >= _IN_A_ROW and job not in told:
            name = job.replace("_", " ")
            yield f"the last {found.failures} runs of {name} failed: {_first_line(found.last.error)}"


def _first_line(text: str | None) -> str:
    return next(iter(logs.redacted(text or "").splitlines()), "no reason recorded")
