"""Brings a snapshot of a project's files to another store, with the contents that it lacks."""

from __future__ import annotations

from holdfast.jobs import runner, writing
from holdfast.jobs.services import Services
from holdfast.jobs.supabase.storage_shelf import (
    Shelf,
    check_there,
    commit,
    contents,
    exact,
    known_before,
    open_snapshot,
    there_in,
)
from holdfast.model.errors import IntegrityError
from holdfast.model.storage import Content
from holdfast.streams.chunks import Tally, tally
from holdfast.system.stop import Stop


def copy(
    services: Services, source: Shelf, to: Shelf, snapshot_id: str, meter: runner.Meter, stop: Stop
) -> None:
    """Bring a snapshot to another store: the contents that it lacks, and then the snapshot's own objects."""
    snapshot, data, signature = open_snapshot(source, snapshot_id, services.keys)
    there = there_in(to)
    had = known_before(services, to, encrypted=bool(snapshot.recipients))
    wanted = dict(contents(source, snapshot))
    for found, content in wanted.items():
        stop.check()
        meter.pulse()
        if there.get(found) == content.size and had.get(found) == content:
            continue
        name = source.content(found, encrypted=bool(snapshot.recipients))
        if found in there:
            if _is_same(to, name, content, stop):
                continue
            _refuse_named(services, to, found, name)
            to.store.delete(to.key(name))
        written = Tally()
        chunks = tally(stop.checked(exact(source, name, content)), written)
        writing.put_checked(to, name, chunks, written)
    for segment in (snapshot.index, snapshot.list):
        name, written = source.member(snapshot_id, segment.name), Tally()
        chunks = exact(source, name, Content(segment.size, segment.sha256))
        writing.put_checked(to, name, tally(chunks, written), written)
    check_there(to, wanted)
    commit(to, snapshot_id, data, signature)


def _is_same(to: Shelf, name: str, content: Content, stop: Stop) -> bool:
    """Whether what lies in a store is the content; it is read for that."""
    try:
        for _ in stop.checked(exact(to, name, content)):
            to.pulse()
    except IntegrityError:
        return False
    return True


def _refuse_named(services: Services, to: Shelf, found: str, name: str) -> None:
    """Raise IntegrityError where a snapshot of the store needs what lies there under the name of another content."""
    for each in to.snapshots():
        snapshot, _, _ = open_snapshot(to, each, services.keys)
        if any(named == found for named, _ in contents(to, snapshot)):
            raise IntegrityError(
                f"{to.store.location}: {to.key(name)} is not what was written, and snapshot {each} needs it",
                hint="It stays as it is. Once no backup needs that snapshot, it goes, and the next run stores the content.",
            )
