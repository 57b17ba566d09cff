"""The scrub of a project's saved files: all that snapshots name has to lie in each store, and is read again in its turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.jobs import runner
from holdfast.jobs.services import Services
from holdfast.jobs.supabase.storage_shelf import Shelf, contents, exact, open_snapshot, there_in
from holdfast.jobs.verify import Verified
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, StoreError
from holdfast.model.storage import Content
from holdfast.model.target import Target
from holdfast.stores.base import space
from holdfast.system.stop import Stop

_HINT = (
    "Files that are in the bucket still are stored anew by the next `holdfast supabase save-objects`, once what is left of the"
    " content is deleted from the store; of the others another store may hold a copy."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """A content that a snapshot names."""

    snapshot_id: str
    content_id: str
    content: Content
    encrypted: bool


def scrub(
    services: Services, target: Target, meter: runner.Meter, stop: Stop, *, interval: timedelta
) -> list[Verified]:
    """Look through what each store holds of the files; the next run is an `interval` away. Give what is wrong.

    All contents have to be there with their size. On a disk, or where the target wants it in full, each is read once
    within `scrub_every`: the identity is not needed for that.
    """
    if target.supabase is None or target.scrub_every is None:
        return []
    found: list[Verified] = []
    for name in target.stores:
        store = services.store(name)
        shelf = Shelf(store=store, target=target.name, pulse=meter.pulse)
        reads = target.scrub == "full" or space(store) is not None
        turn = (
            Turn.at(services.clock.now(), interval, timedelta(seconds=target.scrub_every)) if reads else None
        )
        try:
            found += _scrub(services, shelf, turn, meter, stop)
        except StoreError as error:
            stop.check()
            found.append(_told(shelf, "", error))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """Which contents a run reads: those of one of so many `parts`, by their ids. The runs of `scrub_every` read them all."""

    part: int
    parts: int

    @classmethod
    def at(cls, now: datetime, interval: timedelta, every: timedelta) -> Turn:
        """Whose turn it is at a time."""
        parts = max(1, every // interval)
        return cls(part=int(now.timestamp() // interval.total_seconds()) % parts, parts=parts)

    def has(self, content_id: str) -> bool:
        """Whether it is this content's."""
        return int(content_id, 16) % self.parts == self.part


def _scrub(
    services: Services, shelf: Shelf, turn: Turn | None, meter: runner.Meter, stop: Stop
) -> Iterator[Verified]:
    wanted: dict[tuple[str, Content], _Wanted] = {}
    for snapshot_id in reversed(shelf.snapshots()):
        stop.check()
        try:
            for each in _of(services, shelf, snapshot_id):
                wanted.setdefault((each.content_id, each.content), each)
        except NotFoundError:  # removed since it was listed
            continue
        except (IntegrityError, KeyFileError) as error:
            if _is_there(shelf, snapshot_id):
                yield _told(shelf, snapshot_id, error)
    there = there_in(shelf) if wanted else {}
    for each in wanted.values():
        meter.pulse()
        wrong = _wrong(shelf, each, there, turn, meter, stop)
        if wrong is not None and _is_there(shelf, each.snapshot_id):
            yield _told(shelf, each.snapshot_id, wrong)


def _of(services: Services, shelf: Shelf, snapshot_id: str) -> Iterator[_Wanted]:
    snapshot = open_snapshot(shelf, snapshot_id, services.keys)[0]
    for content_id, content in list(contents(shelf, snapshot)):  # forged, if an error comes at the end
        yield _Wanted(
            snapshot_id=snapshot_id,
            content_id=content_id,
            content=content,
            encrypted=bool(snapshot.recipients),
        )


def _wrong(
    shelf: Shelf, each: _Wanted, there: dict[str, int], turn: Turn | None, meter: runner.Meter, stop: Stop
) -> Error | None:
    name = shelf.content(each.content_id, encrypted=each.encrypted)
    try:
        if turn is not None and turn.has(each.content_id):
            for chunk in stop.checked(exact(shelf, name, each.content)):
                meter.add(len(chunk))
        elif there.get(each.content_id) != each.content.size:
            found = shelf.store.stat(shelf.key(name))  # a listing may be cut short
            if found is None or found.size != each.content.size:
                how = "is missing" if found is None else "has another size"
                return IntegrityError(f"{shelf.store.location}: {shelf.key(name)} {how}", hint=_HINT)
    except IntegrityError as error:
        return IntegrityError(error.message, hint=_HINT)
    return None


def _is_there(shelf: Shelf, snapshot_id: str) -> bool:
    """Whether retention left the snapshot: what only a removed one needed goes with it."""
    return snapshot_id in shelf.snapshots()


def _told(shelf: Shelf, snapshot_id: str, error: Error) -> Verified:
    return Verified(
        target=shelf.target, backup_id=snapshot_id, store=shelf.store.name, proof=None, error=error
    )
