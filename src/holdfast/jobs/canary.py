"""The canary: tries whether the identities at hand still open the oldest and the newest backup, by the first bytes of a part."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

from holdfast.jobs import runner
from holdfast.jobs.keyring import openers, recipients
from holdfast.jobs.reading import open_backup, open_beginning
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger import canaries
from holdfast.ledger.canaries import Tried, Which
from holdfast.ledger.ledger import BackupRow
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, StoreError
from holdfast.model.run import MANUAL, Occasion
from holdfast.streams.age_keys import Identity
from holdfast.system.stop import Stop


def canary(services: Services, target: str, stop: Stop, *, occasion: Occasion = MANUAL) -> tuple[Tried, ...]:
    """Try each identity on the oldest and the newest backup of a target that it opens, and record what came of it.

    And see that one of them at least opens the oldest and the newest of all. What does not open is in the result, and
    makes the run a failed one. Raise SkippedError where nothing is encrypted, StoreError where a store kept it from trying.
    """
    runner.close_lost_runs(services, "canary", target)
    run = runner.new_run(services, "canary", target, occasion)
    found: list[Tried] = []

    def body(meter: runner.Meter) -> None:
        rows = [row for row in services.ledger.backups(target) if _is_here(services, row) and recipients(row)]
        if not rows:
            raise runner.SkippedError("there is no encrypted backup to open yet")
        for each in _all(services, rows, stop):
            found.append(each)
            meter.pulse()
        canaries.record(services.ledger, target, found)
        complain(found)

    with contextlib.suppress(CanaryError):  # it is in the result
        runner.execute(services, run, body)
    return tuple(found)


class CanaryError(KeyFileError):
    """An identity does not open what it has to open."""


def complain(found: Sequence[Tried]) -> None:
    """Raise CanaryError that names what does not open, if anything."""
    failed = [each for each in found if each.error is not None]
    if failed:
        first = failed[0]
        raise CanaryError(
            f"the {first.which} backup, {first.backup_id}, does not open: {first.error}"
            + (f"; and {len(failed) - 1} more" if len(failed) > 1 else ""),
            hint="`holdfast keys` tells which identity opens what. Look for the missing one while other copies of it exist.",
        )


def _is_here(services: Services, row: BackupRow) -> bool:
    """Whether a store of the config holds it whole."""
    return any(copy.state == "complete" and copy.store in services.stores for copy in row.copies)


def _all(services: Services, rows: Sequence[BackupRow], stop: Stop) -> Iterator[Tried]:
    """Try everything; `rows` are the encrypted ones, the newest first."""
    identities = {identity.recipient.text: identity for identity in services.keys.identities}
    ends: tuple[tuple[Which, Sequence[BackupRow]], ...] = (("oldest", rows[::-1]), ("newest", rows))
    for which, ordered in ends:
        if not recipients(ordered[0]) & identities.keys():
            yield _stranger(services, ordered[0], which)
        for recipient, identity in identities.items():
            row = next((row for row in ordered if recipient in recipients(row)), None)
            if row is not None:
                stop.check()
                yield _try(services, row, which, recipient, identity)


def _stranger(services: Services, row: BackupRow, which: Which) -> Tried:
    said = ", ".join(text if len(text) <= 80 else f"{text[:40]}…" for text in sorted(recipients(row)))  # noqa: PLR2004 - a line
    return Tried(
        target=row.backup.target,
        recipient="",
        which=which,
        backup_id=row.backup.id,
        store="",
        at=services.clock.now(),
        error=f"no identity here is one of its recipients: {said}",
    )


def _try(services: Services, row: BackupRow, which: Which, recipient: str, identity: Identity) -> Tried:
    """Open a copy with one identity alone. Raise StoreError where no store that has one could be read."""
    alone = dataclasses.replace(services.keys, identities=(identity,))
    failed: Error | None = None
    for copy in row.copies:
        stored = row.stored_in(copy.store).backup
        if copy.state != "complete" or copy.store not in services.stores or recipient not in openers(stored):
            continue
        place = Place(store=services.store(copy.store), target=row.backup.target, backup_id=row.backup.id)
        error = None
        try:
            opened = open_backup(place, alone)
            smallest = min(
                (part for part in opened.backup.parts if part.recipients), key=lambda p: p.stored_size
            )
            open_beginning(place, smallest, alone)
        except (IntegrityError, KeyFileError, NotFoundError) as wrong:
            error = wrong.message
        except StoreError as away:
            failed = failed or away
            continue
        return Tried(
            target=row.backup.target,
            recipient=recipient,
            which=which,
            backup_id=row.backup.id,
            store=copy.store,
            at=services.clock.now(),
            error=error,
        )
    raise failed or StoreError(f"no store of the config holds backup {row.backup.id}")
