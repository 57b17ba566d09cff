"""The scrub: looks at every copy again within a time, so that a store that loses bytes is noticed while another has them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta

from holdfast.jobs import past, runner, verify
from holdfast.jobs.services import Services
from holdfast.jobs.verify import Verified
from holdfast.jobs.writing import Place
from holdfast.ledger import scrubs
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout
from holdfast.model.errors import Error, IntegrityError, NotFoundError, StoreError
from holdfast.model.scrubbing import Held, due
from holdfast.model.target import Target
from holdfast.stores.base import Stored, space
from holdfast.system.stop import Stop

_NOTED = 200  # copies a run, one request each


def scrub(
    services: Services, target: Target, meter: runner.Meter, stop: Stop, *, interval: timedelta
) -> list[Verified]:
    """Look at the copies whose turn it is; the next run is an `interval` away. What is wrong is in the result.

    A copy on a disk is read to the end. In a bucket, where reading costs money and the service checks what it keeps by
    sums of its own, each object has to be there with its size and with the sum that it had; where a sum is another
    one, or the target wants it in full, the copy is read.
    """
    if target.scrub_every is None:
        return []
    rows = {row.backup.id: row for row in services.ledger.backups(target.name) if not row.hidden}
    every = timedelta(seconds=target.scrub_every)
    results = []
    for copy in _unknown(services, rows.values()):
        stop.check()
        found = _glance(services, copy, rows[copy.backup_id], stop)
        results += [found] if found is not None and found.error is not None else []
    for copy in due(_held(services, rows.values()), services.clock.now(), every=every, interval=interval):
        stop.check()
        store, row = services.stores[copy.store], rows[copy.backup_id]
        if not _is_complete(services, copy):  # retention hid or removed it meanwhile
            continue
        if target.scrub == "full" or space(store) is not None:
            found = _read(services, copy, row, stop)
        else:
            found = _glance(services, copy, row, stop)
        meter.add(copy.size)
        if found is None:  # hidden or removed while it was looked at
            continue
        results.append(found)
        if not isinstance(found.error, StoreError):
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


def _unknown(services: Services, rows: Iterable[BackupRow]) -> list[Held]:
    """The newest copies in buckets whose sums nobody has noted yet: soon after they were written and read back."""
    known = scrubs.sums(services.ledger)
    new = [
        copy
        for copy in _held(services, rows)
        if (copy.backup_id, copy.store) not in known and space(services.stores[copy.store]) is None
    ]
    return sorted(new, key=lambda copy: copy.backup_id, reverse=True)[:_NOTED]


def _glance(services: Services, copy: Held, row: BackupRow, stop: Stop) -> Verified | None:
    """Look whether every object is there, with its size and the sum that it had; None for a copy that is hidden or removed now.

    What a listing lacks is asked for by itself: one that is cut short is no damage.
    """
    place = Place(store=services.stores[copy.store], target=row.backup.target, backup_id=copy.backup_id)

    def told(error: Error | None) -> Verified:
        return Verified(
            target=place.target, backup_id=place.backup_id, store=place.store.name, proof=None, error=error
        )

    sizes = {each.name: each.size for each in row.stored_in(place.store.name).backup.objects}
    names = (*sizes, layout.MANIFEST, layout.signature_name(layout.MANIFEST))
    try:
        there = {found.key: found for found in stop.checked(place.store.list(place.prefix))}
        for key in (place.key(name) for name in names if place.key(name) not in there):
            if (alone := place.store.stat(key)) is not None:
                there[key] = alone
    except StoreError as error:
        stop.check()
        return told(error)
    wrong = [
        name
        for name in names
        if place.key(name) not in there or sizes.get(name) not in (None, there[place.key(name)].size)
    ]
    if not wrong:
        digest = _digest(each for each in there.values() if each.key.removeprefix(place.prefix) in sizes)
        if digest == scrubs.sums(services.ledger).get((copy.backup_id, copy.store), digest):
            if digest is not None:
                scrubs.note_sums(services.ledger, copy.backup_id, copy.store, digest)
            return told(past.complaint(services, place))
        read = _read(services, copy, row, stop)
        # Stored anew, as a move to another class of storage does.
        if read is not None and read.error is None and digest is not None:
            scrubs.note_sums(services.ledger, copy.backup_id, copy.store, digest)
        return read
    if not _is_complete(services, copy):
        return None
    damage = IntegrityError(
        f"{place.store.location}: {place.prefix}: missing or of another size: {', '.join(wrong)}",
        hint="`holdfast repair` mends a copy from another store.",
    )
    verify.record_damage(services, place, damage)
    return told(damage)


def _read(services: Services, copy: Held, row: BackupRow, stop: Stop) -> Verified | None:
    """Verify a copy; None for one that is hidden or removed now."""
    try:
        return next(iter(verify.verify(services, row, stop, store=copy.store)), None)
    except NotFoundError:
        if _is_complete(services, copy):
            raise
        return None


def _digest(objects: Iterable[Stored]) -> str | None:
    """Put the store's own sums together; None where it does not tell all of them."""
    sums = sorted((each.key, each.checksum) for each in objects)
    if any(checksum is None for _, checksum in sums):
        return None
    return hashlib.sha256(repr(sums).encode()).hexdigest()
