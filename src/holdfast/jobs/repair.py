"""Mends a damaged copy of a backup from a whole one in another store: object by object, and never over a good one.

What somebody laid over a copy, in a store that keeps versions, is taken away first.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, field, replace

from holdfast.jobs import copies, differing, fence, marks, past, runner, writing
from holdfast.jobs.copy import is_there
from holdfast.jobs.find import places
from holdfast.jobs.reading import Opened, open_backup
from holdfast.jobs.services import Services
from holdfast.jobs.verify import verify
from holdfast.ledger import locks
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout
from holdfast.model.backup import Segment
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError
from holdfast.model.run import Run
from holdfast.streams.chunks import Tally, tally
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Repaired:
    """What became of one copy: the objects that were uncovered, and those that were written again, from which store.

    Without an error it is whole now, and nothing lies over it.
    """

    target: str
    backup_id: str
    store: str
    source: str | None
    objects: tuple[str, ...]
    error: Error | None
    uncovered: tuple[str, ...] = ()


def repair(services: Services, row: BackupRow, stop: Stop, *, store: str | None = None) -> list[Repaired]:
    """Look at each copy (or the one in `store`), mend what is damaged or gone, and verify what was mended.

    What cannot be mended is in the result. Raise BusyError while somebody copies for the target, NotFoundError for a
    store that never held the backup.
    """
    with copies.locked(services, row.backup.target):
        chosen = places(services, row, store, gone=True)
        sources = places(services, row, gone=True)
        return [_repair(services, row, place, sources, stop) for place in chosen]


@dataclass(slots=True, kw_only=True)
class _Mending:
    """One copy that is being mended: what was uncovered or written again so far, and from which stores."""

    services: Services
    place: writing.Place
    row: BackupRow
    others: list[writing.Place]
    stop: Stop
    written: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    uncovered: list[str] = field(default_factory=list)

    def done(self, error: Error | None) -> Repaired:
        """Tell of it."""
        return Repaired(
            target=self.row.backup.target,
            backup_id=self.row.backup.id,
            store=self.place.store.name,
            source=self.used[0] if self.used else None,
            objects=tuple(self.written),
            error=error,
            uncovered=tuple(self.uncovered),
        )


def _repair(
    services: Services,
    row: BackupRow,
    place: writing.Place,
    sources: tuple[writing.Place, ...],
    stop: Stop,
) -> Repaired:
    others = [each for each in sources if each.store.name != place.store.name]
    work = _Mending(services=services, place=place, row=row, others=others, stop=stop)
    run = Run(
        job="copy",
        target=row.backup.target,
        started_at=services.clock.now(),
        backup_id=row.backup.id,
        host=services.host,
        pid=services.pid,
    )
    try:
        damaged = _is_damaged(services, place, row, stop)
        if (
            not damaged
            and past.note(services, place) is None
            and differing.complaint(services, place) is None
        ):
            return work.done(None)
        with fence.fenced(services, place.store, place.target, "copies") as store:
            work.place = replace(place, store=store)
            objects = row.stored_in(place.store.name).backup.objects
            work.uncovered += past.uncover(services, place, objects)
            work.written += differing.put_back(services, work.place)
            if not damaged:
                return work.done(None)
            runner.execute(services, run, lambda meter: _mend(work, meter))
        locks.forget(services.ledger, row.backup.id, place.store.name)  # of what was written over
        verified = verify(services, row, stop, store=place.store.name)
    except Error as error:
        stop.check()
        return work.done(error)
    return work.done(next((each.error for each in verified), None))


def _is_damaged(services: Services, place: writing.Place, row: BackupRow, stop: Stop) -> bool:
    """Whether anything of the copy is not as it was written; each object is read."""
    if marks.standing(services, place) is not None:
        raise NotFoundError(
            f"{place.store.location}: a tombstone hides backup {place.backup_id}: it is not mended",
            hint="`holdfast undelete` brings it back, as long as its objects are there.",
        )
    opened = _opened(services, place)
    if opened is None or opened.manifest != row.stored_in(place.store.name).manifest:
        return True
    return any(not _holds(place, segment, stop) for segment in opened.backup.objects)


def _opened(services: Services, place: writing.Place) -> Opened | None:
    try:
        return open_backup(place, services.keys)
    except (IntegrityError, NotFoundError, KeyFileError):
        return None


def _holds(place: writing.Place, segment: Segment, stop: Stop) -> bool:
    try:
        return is_there(place, segment, stop)
    except NotFoundError:
        return False


def _mend(work: _Mending, meter: runner.Meter) -> None:
    """Write again what is not there as it was, the manifest last. Raise IntegrityError where no store has it whole."""
    place, stored, stop = work.place, work.row.stored_in(work.place.store.name), work.stop
    for segment in stored.backup.objects:
        stop.check()
        if _holds(place, segment, stop):
            meter.add(segment.size)
            continue
        origin = _write_again(place, segment, work.others, meter, stop)
        if origin is None and segment in stored.backup.documents:
            continue  # a text that helps, and is nowhere: the backup restores without
        if origin is None:
            raise IntegrityError(
                f"no store has {place.key(segment.name)} as it was written",
                hint="Whatever is left of the backup stays as it is. Take another backup."
                if stored.backup.origin is None
                else "It was encrypted anew for this store alone: `holdfast copy --to` makes another, into another store.",
            )
        work.written.append(segment.name)
        work.used.append(origin.store.name)
    opened = _opened(work.services, place)
    if opened is not None and opened.manifest == stored.manifest:
        return
    # The ledger keeps both as they are stored; their signature was checked when it took them in.
    for name, data in (
        (layout.signature_name(layout.MANIFEST), stored.signature),
        (layout.MANIFEST, stored.manifest),
    ):
        place.store.put(place.key(name), [data])
        work.written.append(name)
    open_backup(place, work.services.keys)


def _write_again(
    place: writing.Place,
    segment: Segment,
    origins: list[writing.Place],
    meter: runner.Meter,
    stop: Stop,
) -> writing.Place | None:
    """Put an object in the place of a damaged one, from the first store that has it whole; tell from which."""
    for origin in origins:
        read = Tally()
        try:
            with closing(_checked(origin, segment, read, meter, stop)) as chunks:
                place.store.put(place.key(segment.name), chunks)
        except (IntegrityError, NotFoundError):
            stop.check()
            continue
        if not is_there(place, segment, stop):
            raise IntegrityError(
                f"{place.store.location}: {place.key(segment.name)} reads back differently from what was written",
                hint="The store or the way to it damages data: check its disks, memory and network.",
            )
        return origin
    return None


def _checked(
    origin: writing.Place, segment: Segment, read: Tally, meter: runner.Meter, stop: Stop
) -> Generator[bytes, None, None]:
    """Read an object; it ends only when it was what belongs there, so that nothing else is ever put."""
    for chunk in tally(origin.store.get(origin.key(segment.name)), read):
        stop.check()
        meter.add(len(chunk))
        yield chunk
    if (read.size, read.sha256) != (segment.size, segment.sha256):
        raise IntegrityError(f"{origin.store.location}: {origin.key(segment.name)} is not what was written")
