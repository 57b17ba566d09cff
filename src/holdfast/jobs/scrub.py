"""The scrub: looks at every copy again within a time, so that a store that loses bytes is noticed while another has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from holdfast.jobs import past, runner, verify
from holdfast.jobs.services import Services
from holdfast.jobs.verify import Verified
from holdfast.jobs.writing import Place
from holdfast.ledger import scrubs
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout
from holdfast.model.errors import Error, IntegrityError, StoreError
from holdfast.model.scrubbing import Held, due
from holdfast.model.target import Target
from holdfast.stores.base import space
from holdfast.system.stop import Stop


def scrub(
    services: Services, target: Target, meter: runner.Meter, stop: Stop, *, interval: timedelta
) -> list[Verified]:
    """Look at the copies whose turn it is; the next run is an `interval` away. What is wrong is in the result.

    A copy on a disk is read to the end. In a bucket, where reading costs money and the service checks what it keeps by
    sums of its own, each object has to be there with its size; unless the target wants it in full.
    """
    if target.scrub_every is None:
        return []
    rows = {row.backup.id: row for row in services.ledger.backups(target.name) if not row.hidden}
    every = timedelta(seconds=target.scrub_every)
    results = []
    for copy in due(_held(services, rows.values()), services.clock.now(), every=every, interval=interval):
        stop.check()
        store, row = services.stores[copy.store], rows[copy.backup_id]
        if not _is_complete(services, copy):  # retention hid or removed it meanwhile
            continue
        if target.scrub == "full" or space(store) is not None:
            results += verify.verify(services, row, stop, store=copy.store)
        else:
            results.append(
                _glance(services, Place(store=store, target=target.name, backup_id=copy.backup_id), row, stop)
            )
        meter.add(copy.size)
        if results and not isinstance(results[-1].error, StoreError):
            scrubs.record(services.ledger, copy.backup_id, copy.store, services.clock.now())
    return results


def _is_complete(services: Services, held: Held) -> bool:
    row = services.ledger.backup(held.backup_id)
    return row is not None and any((c.store, c.state) == (held.store, "complete") for c in row.copies)


def _held(services: Services, rows: Iterable[BackupRow]) -> list[Held]:
    """The whole copies in the stores of the config. One that was never looked at was read back when it was written."""
    known = scrubs.known(services.ledger)
    return [
        Held(
            backup_id=row.backup.id,
            store=copy.store,
            size=row.backup.stored_size,
            checked_at=known.get((row.backup.id, copy.store), row.backup.finished_at),
        )
        for row in rows
        for copy in row.copies
        if copy.state == "complete" and copy.store in services.stores
    ]


def _glance(services: Services, place: Place, row: BackupRow, stop: Stop) -> Verified:
    """Look whether every object is there, with its size."""

    def told(error: Error | None) -> Verified:
        return Verified(
            target=place.target, backup_id=place.backup_id, store=place.store.name, proof=None, error=error
        )

    try:
        sizes = {found.key: found.size for found in stop.checked(place.store.list(place.prefix))}
    except StoreError as error:
        stop.check()
        return told(error)
    objects = row.stored_in(place.store.name).backup.objects
    wrong = [each.name for each in objects if sizes.get(place.key(each.name)) != each.size]
    wrong += [
        name
        for name in (layout.MANIFEST, layout.signature_name(layout.MANIFEST))
        if place.key(name) not in sizes
    ]
    if not wrong:
        return told(past.complaint(services, place))
    damage = IntegrityError(
        f"{place.store.location}: {place.prefix}: missing or of another size: {', '.join(wrong)}",
        hint="`holdfast repair` mends a copy from another store.",
    )
    verify.record_damage(services, place, damage)
    return told(damage)
