"""Finds out whether a slot has its backup already: another host with the same config may have been first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from holdfast.jobs import fence, marks
from holdfast.jobs.reading import Opened, open_backup
from holdfast.jobs.runner import SkippedError
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger import scheduling
from holdfast.model import layout
from holdfast.model.errors import IntegrityError, KeyFileError, NotFoundError
from holdfast.model.target import Target
from holdfast.postgres import conninfo, server
from holdfast.stores.base import Store
from holdfast.system.stop import Stop

_SKEW = timedelta(hours=1)  # how far apart the clocks of two hosts may be
_MANY_DAYS = 7


class TooLateError(SkippedError):
    """The slot was taken by another host while our dump ran."""


def refuse_taken(services: Services, target: Target, slot: datetime) -> None:
    """Raise SkippedError when the first store holds a backup of that target, slot and server.

    The caller holds the target's lock across hosts, so that none is on its way. A backup of an unknown signer does
    not count: whoever can write to the store could keep us from our work with it.
    """
    known = scheduling.backup_of_slot(services.ledger, target.name, slot)
    if known is not None:
        raise SkippedError(f"the slot has its backup already: {known}", backup_id=known)
    for found in _candidates(services, target, slot):
        backup = found.backup
        if backup.slot == slot and _same_server(target, backup.server.system_identifier):
            now = services.clock.now()
            services.ledger.record_backup(
                backup, manifest=found.manifest, signature=found.signature, coverage=None
            )
            services.ledger.record_copy(backup.id, found.place.store.name, "complete", now)
            raise SkippedError(
                f"host {backup.host or 'unknown'} has taken the slot's backup already: {backup.id}",
                backup_id=backup.id,
            )


@contextmanager
def kept_from_others(
    services: Services, target: Target, slot: datetime | None, stop: Stop
) -> Iterator[Store]:
    """Keep other hosts from committing a backup of the target while the `with` lasts; give the first store to do it in.

    Raise TooLateError where one took the slot while our dump ran: the lock in PostgreSQL is that of one server, and a
    standby, or the server before a failover, has its own.
    """
    store = services.store(target.stores[0])
    with fence.fenced_in_time(services, store, target.name, "backup", stop) as held:
        if slot is not None:
            try:
                refuse_taken(services, target, slot)
            except SkippedError as error:
                raise TooLateError(error.message, backup_id=error.backup_id) from error
        yield held


def _candidates(services: Services, target: Target, slot: datetime) -> Iterator[Opened]:
    """The committed backups in the first store that began after the slot and are not known here."""
    store = services.store(target.stores[0])
    for prefix in _prefixes(target.name, slot - _SKEW, services.clock.now() + _SKEW):
        names: dict[str, set[str]] = {}
        for stored in store.list(prefix):
            where = layout.parse_key(stored.key)
            if where is not None and layout.backup_time(where.backup_id) >= slot - _SKEW:
                names.setdefault(where.backup_id, set()).add(where.name)
        for backup_id, held in names.items():
            if layout.MANIFEST not in held or services.ledger.backup(backup_id):
                continue
            place = Place(store=store, target=target.name, backup_id=backup_id)
            if layout.TOMBSTONE in held and marks.standing(services, place) is not None:
                continue
            try:
                yield open_backup(place, services.keys)
            except (IntegrityError, KeyFileError, NotFoundError) as error:
                services.reporter.warn(
                    "a backup that cannot be trusted does not count", target=target.name, error=str(error)
                )


def _prefixes(target: str, first: datetime, last: datetime) -> Iterator[str]:
    """The beginnings of the keys of backups begun between two times: a day each, or all when there are many."""
    prefix = layout.target_prefix(target)
    days = (last.date() - first.date()).days
    if not 0 <= days <= _MANY_DAYS:
        yield prefix
        return
    for number in range(days + 1):
        yield f"{prefix}{first + timedelta(days=number):%Y%m%d}"


def _same_server(target: Target, system_identifier: str | None) -> bool:
    """Whether that is our server; one that does not tell its identifier is taken for it."""
    where = conninfo.parse(target.url, password=target.password).at_server()
    with server.connect(where, application_name="holdfast slot") as connection:
        own = server.facts(connection).system_identifier
    return None in (own, system_identifier) or own == system_identifier
