"""What a person says of backups: pins, acknowledgements, and that a hidden one is to come back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

from holdfast.jobs import fence, locking, marks, prune_steps, runner
from holdfast.jobs.find import places
from holdfast.jobs.prune_look import pinned
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger import marks as kept_marks
from holdfast.ledger.ledger import BackupRow
from holdfast.model.errors import Error, NotFoundError, UsageError
from holdfast.model.mark import Ack, Pin


def pin(services: Services, row: BackupRow, *, why: str, until: datetime | None) -> tuple[str, ...]:
    """Keep a backup whatever the policy says, under a legal hold where objects are locked; give the stores that the pin lies in.

    Raise UsageError for a time that is over, NotFoundError for a backup that is hidden.
    """
    now = services.clock.now()
    if until is not None and until <= now:
        raise UsageError(
            "the pin would be over already: --until is in the past",
            hint="Give a later --until, or none: then it holds for good.",
        )
    at = _last_word(services, row, now)

    def put(place: Place) -> None:
        marks.put(services, place, Pin(why=why, until=until), at=at)
        locking.hold(services, row, place.store)

    return _everywhere(services, row, put)


def unpin(services: Services, row: BackupRow, *, why: str) -> tuple[str, ...]:
    """Let go of a pinned backup, by a newer pin that is over. Raise NotFoundError for one that is not pinned."""
    now = services.clock.now()
    if pinned(kept_marks.of_backup(services.ledger, row.backup.id), now) is None:
        raise NotFoundError(f"backup {row.backup.id} is not pinned")
    at = _last_word(services, row, now)
    return _everywhere(
        services, row, lambda place: marks.put(services, place, Pin(why=why, until=now), at=at)
    )


def _last_word(services: Services, row: BackupRow, now: datetime) -> datetime:
    """When to date a pin: now, or after the one before it, which a host whose clock is ahead may have put there."""
    pins = kept_marks.of_backup(services.ledger, row.backup.id, "pin")
    return now if not pins else max(now, pins[-1].mark.at + timedelta(seconds=1))


def acknowledge(services: Services, row: BackupRow, *, why: str) -> tuple[str, ...]:
    """Say that what is unusual about a backup, and about those of its target before it, was looked at and is meant."""
    now = services.clock.now()
    return _everywhere(services, row, lambda place: marks.put(services, place, Ack(why=why), at=now))


def undelete(services: Services, row: BackupRow) -> tuple[str, ...]:
    """Bring a hidden backup back in each store that hides it; give the stores.

    Raise NotFoundError where none does, or where its objects are gone already; BusyError while another host prunes there.
    """
    now = services.clock.now()
    hidden = [copy.store for copy in row.copies if copy.state == "hidden" and copy.store in services.stores]
    if not hidden:
        raise NotFoundError(
            f"backup {row.backup.id} is not hidden", hint="`holdfast list --all` shows what is."
        )
    done, failed = [], None
    with runner.retention_lock(services, row.backup.target):
        for name in hidden:
            store, target = services.store(name), row.backup.target
            try:
                with fence.fenced(services, store, target, "retention") as held:
                    prune_steps.bring_back(
                        services, Place(store=held, target=target, backup_id=row.backup.id), now
                    )
            except Error as error:
                services.reporter.warn("could not bring a backup back", store=name, error=error.message)
                failed = failed or error
            else:
                done.append(name)
    if failed is not None and not done:
        raise failed
    return tuple(done)


def _everywhere(services: Services, row: BackupRow, put: Callable[[Place], object]) -> tuple[str, ...]:
    """Do it in each store that holds the backup. One that cannot be reached is a warning, as long as another could."""
    services.keys.signer()
    done, failed = [], None
    for place in places(services, row):
        try:
            put(place)
        except Error as error:
            services.reporter.warn("could not put a mark", store=place.store.name, error=error.message)
            failed = failed or error
        else:
            done.append(place.store.name)
    if failed is not None and not done:
        raise failed
    return tuple(done)
