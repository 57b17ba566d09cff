"""Brings a committed backup from one store to another, object by object, as it lies there: encrypted and signed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from holdfast.jobs import adopting, emptied, fence, locking, marks, one_place, runner, writing
from holdfast.jobs.reading import Opened, open_backup, read_document
from holdfast.jobs.services import Services
from holdfast.model import layout
from holdfast.model.backup import Segment
from holdfast.model.errors import IntegrityError, NotFoundError
from holdfast.model.run import Run
from holdfast.stores.base import Store, read_all
from holdfast.streams.chunks import Tally, tally
from holdfast.system.stop import Stop


def copy(services: Services, target: str, backup_id: str, source: str, destination: str, stop: Stop) -> None:
    """Copy one backup; the caller holds the lock of the target's copies. Raise BusyError while another host copies there.

    ConfigError is raised when both stores are one place.
    The manifest comes last, so that a copy that breaks off is none; a later one goes on where it was.
    """
    with fence.fenced(services, services.store(destination), target, "copies") as store:
        _copy_fenced(services, target, backup_id, source, store, stop)


def _copy_fenced(
    services: Services, target: str, backup_id: str, source: str, store: Store, stop: Stop
) -> None:
    run = Run(
        job="copy",
        target=target,
        started_at=services.clock.now(),
        backup_id=backup_id,
        host=services.host,
        pid=services.pid,
    )
    origin = writing.Place(store=services.store(source), target=target, backup_id=backup_id)
    place = writing.Place(store=store, target=target, backup_id=backup_id)
    services.ledger.record_copy(backup_id, store.name, "copying", services.clock.now())

    def body(meter: runner.Meter) -> None:
        try:  # within the run: whoever is told of its end finds the state of the copy
            _copy(services, origin, place, meter, stop)
        except BaseException as error:
            services.ledger.record_copy(backup_id, store.name, "missing", services.clock.now(), str(error))
            raise
        services.ledger.record_copy(backup_id, store.name, "complete", services.clock.now())

    runner.execute(services, run, body)


def _copy(
    services: Services, origin: writing.Place, place: writing.Place, meter: runner.Meter, stop: Stop
) -> None:
    emptied.look(services, place.store, place.target)
    opened = open_backup(origin, services.keys)
    locking.prepare(services, place.store, stop)
    for each in (origin, place):
        if marks.standing(services, each) is not None:
            raise NotFoundError(
                f"{each.store.location}: a tombstone hides backup {each.backup_id}: it is not copied",
                hint="`holdfast undelete` brings it back, as long as its objects are there.",
            )
    if place.store.stat(place.key(layout.MANIFEST)) is not None:
        one_place.refuse(place.store, origin.store)
        # Another host was first, or it was encrypted anew: what is committed is not written again.
        adopting.recognise(services, open_backup(place, services.keys))
        return
    writing.abort_uploads(
        services, place
    )  # of a copy that broke off: whoever copies holds the lock of the copies
    label = f"copy to {place.store.name}"
    with services.reporter.progress(label, opened.backup.stored_size) as show:
        for part in opened.backup.parts:
            for segment in part.segments:
                stop.check()
                _copy_segment(origin, place, segment, meter, stop)
                show(segment.size)
    _copy_details(services, origin, place)
    marks.copy(services, origin, place)
    _copy_commit(origin, place, opened)
    adopting.recognise(services, dataclasses.replace(opened, place=place))


def _copy_segment(
    origin: writing.Place, place: writing.Place, segment: Segment, meter: runner.Meter, stop: Stop
) -> None:
    found = place.store.stat(place.key(segment.name))
    if found is not None:  # without a manifest it is the rest of a copy that broke off
        if found.size == segment.size and is_there(place, segment, stop):
            meter.add(segment.size)
            return
        place.store.delete(place.key(segment.name))
    read = Tally()

    def chunks() -> Iterator[bytes]:
        for chunk in tally(origin.store.get(origin.key(segment.name)), read):
            stop.check()
            meter.add(len(chunk))
            yield chunk
        if (read.size, read.sha256) != (segment.size, segment.sha256):
            raise IntegrityError(
                f"{origin.store.location}: {origin.key(segment.name)} is not what was written",
                hint="`holdfast verify` tells what else is damaged.",
            )

    writing.put_checked(place, segment.name, chunks(), read)


def is_there(place: writing.Place, segment: Segment, stop: Stop) -> bool:
    """Whether the object that lies there is the one that belongs there, by its bytes."""
    read = Tally()
    for _ in tally(place.store.get(place.key(segment.name)), read):
        stop.check()
    return read.sha256 == segment.sha256


def _copy_details(services: Services, origin: writing.Place, place: writing.Place) -> None:
    """Bring what restore tests found; their proofs, which are copied after it, name each by its digest."""
    there = {found.key for found in place.store.list(place.prefix)}
    for found in list(origin.store.list(origin.prefix)):
        where = layout.parse_key(found.key)
        if where is None or not layout.is_detail(where.name) or place.key(where.name) in there:
            continue
        try:
            data = read_all(origin.store, found.key)
        except IntegrityError as error:  # planted: no proof names one of that size
            services.reporter.warn(
                "not copied", store=origin.store.name, key=found.key, problem=error.message
            )
        else:
            writing.put_bytes(place, where.name, data)


def _copy_commit(origin: writing.Place, place: writing.Place, opened: Opened) -> None:
    for document in opened.backup.documents:
        data = read_document(origin, document)
        if data is not None:
            writing.put_bytes(place, document.name, data)
    # Of the work of hours somebody may have cleared some away meanwhile.
    writing.check_there(place, (segment for part in opened.backup.parts for segment in part.segments))
    writing.put_bytes(place, layout.signature_name(layout.MANIFEST), opened.signature)
    writing.put_bytes(place, layout.MANIFEST, opened.manifest)
