"""Looks past what somebody laid over backups: which keys are written once, and when what lies beneath counts no more."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from holdfast.jobs import marks
from holdfast.jobs.services import Keys, Services
from holdfast.jobs.writing import Place
from holdfast.ledger import covers
from holdfast.ledger import marks as kept_marks
from holdfast.ledger.ledger import Ledger
from holdfast.model import layout
from holdfast.model.backup import Segment
from holdfast.model.errors import IntegrityError
from holdfast.stores.base import RefusedError, Store
from holdfast.stores.fenced import check
from holdfast.stores.locking import versions_of
from holdfast.stores.versioned import Covered, VersionedStore, versioned
from holdfast.streams.chunks import Tally, tally
from holdfast.system.clock import Clock

_AT_WORK = timedelta(days=2)
_STONE = (layout.TOMBSTONE, layout.signature_name(layout.TOMBSTONE))


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupFolders:
    """See Folders. A tombstone may come and go: what is there of it to see is the truth. `stores` are the names of all."""

    store: Store
    stores: frozenset[str]
    keys: Keys = field(repr=False)
    ledger: Ledger
    clock: Clock

    def of(self, key: str) -> str | None:
        """Give the folder of a backup; see Folders."""
        where = layout.parse_key(key)
        if where is None or where.name in _STONE:
            return None
        return layout.backup_prefix(where.target, where.backup_id)

    def count(self, folder: str, *, written: Collection[str], there: Collection[str]) -> bool:
        """Whether a backup was committed there, and no tombstone says that its time is over; see Folders."""
        if folder + layout.MANIFEST not in written:
            return False
        where = layout.parse_key(folder + layout.TOMBSTONE)
        if where is None or folder + layout.TOMBSTONE not in there:
            return True
        known = kept_marks.of_backup(self.ledger, where.backup_id, "tombstone")
        stone = next((each for each in known if each.store == self.store.name), None)
        if stone is None:
            place = Place(store=self.store, target=where.target, backup_id=where.backup_id)
            stone = marks.tombstone(place, self.keys)
            if stone is not None and marks.void(self.ledger, self.stores, stone) is not None:
                return True
        return stone is None or self.clock.now() < marks.remove_after(stone)


def seen_past(stores: Mapping[str, Store], keys: Keys, ledger: Ledger, clock: Clock) -> dict[str, Store]:
    """Let the stores whose kind keeps versions show what was written. Nothing is contacted yet."""
    seen: dict[str, Store] = {}
    for name, store in stores.items():
        versions = versions_of(store)
        folders = BackupFolders(store=store, stores=frozenset(stores), keys=keys, ledger=ledger, clock=clock)
        seen[name] = store if versions is None else VersionedStore(store, versions, folders)
    return seen


def note(services: Services, place: Place) -> str | None:
    """Say what of a backup was deleted or written over in a store and is there beneath, and let the ledger know."""
    store = versioned(place.store)
    if store is None:
        return None
    found = said(store.covered(place.prefix))
    covers.record(services.ledger, place.backup_id, place.store.name, found)
    return found


def complaint(services: Services, place: Place) -> IntegrityError | None:
    """Give what is to be said of a backup that is whole, but deleted or written over in a store."""
    found = note(services, place)
    if found is None:
        return None
    return IntegrityError(
        f"{place.store.location}: {place.prefix}: {found}, by somebody else; what was written lies beneath and is read",
        hint=f"`holdfast repair {place.backup_id}` uncovers it. Find out who did that, and take their rights to it away.",
    )


def uncover(services: Services, place: Place, objects: Iterable[Segment] = ()) -> tuple[str, ...]:
    """Take away what was laid over a backup in a store; give the names of the objects. Raise RefusedError without the right.

    What lies over one of its `objects` stays where that is not as it was written: it may be the one that is.
    """
    store = versioned(place.store)
    if store is None:
        return ()
    check(place.store)
    beneath = store.beneath(place.prefix)
    wrong = {place.key(each.name) for each in objects if not _is(each, beneath.get(place.key(each.name)))}
    try:
        done = store.uncover(place.prefix, but=wrong)
    except RefusedError as error:
        raise RefusedError(
            f"{place.store.location}: {place.prefix} stays covered: these credentials may not uncover it: {error.message}",
            hint="The backup is whole, and is read from beneath. Try it where a pruner's credentials are, or remove the"
            " marks of deletions and the later versions with the service's own tools.",
        ) from error
    note(services, place)
    return tuple(key.removeprefix(place.prefix) for key in done)


def _is(segment: Segment, found: Iterable[bytes] | None) -> bool:
    """Whether what lies beneath, if anything does, is the object."""
    read = Tally()
    for _ in tally(found or (), read):
        pass
    return found is None or (read.size, read.sha256) == (segment.size, segment.sha256)


def purge(services: Services, store: Store, target: str, busy: Collection[str]) -> int:
    """Free the room of what was removed from sight only: by credentials that may delete no version. Give the ids.

    What is not older than two days may belong to somebody at work, and is left.
    """
    seen = versioned(store)
    before = services.clock.now() - _AT_WORK
    count = 0
    for folder, since in {} if seen is None else seen.wasted(layout.target_prefix(target)).items():
        where = layout.parse_key(folder + layout.MANIFEST)
        if seen is None or where is None or where.backup_id in busy:
            continue
        if max(since or before, layout.backup_time(where.backup_id)) <= before:
            check(store)
            count += seen.purge(folder)
    return count


def only_hides(store: Store) -> bool:
    """Whether something was removed from sight only."""
    seen = versioned(store)
    return seen is not None and seen.only_hides


def is_empty(place: Place) -> bool:
    """Whether nothing lies beneath where a backup was, that would come to light without its tombstone."""
    seen = versioned(place.store)
    return seen is None or place.prefix not in seen.wasted(place.prefix)


def said(found: Collection[Covered]) -> str | None:
    """Say what was deleted or written over, and when that began; None for nothing."""
    texts = []
    for deleted, verb in ((True, "deleted"), (False, "written over")):
        chosen = [each for each in found if each.deleted is deleted]
        since = min((each.since for each in chosen if each.since is not None), default=None)
        if chosen:
            count = f"{len(chosen)} object{'' if len(chosen) == 1 else 's'}"
            texts.append(f"{count} {verb}{'' if since is None else f' since {since:%Y-%m-%d %H:%M:%SZ}'}")
    return ", ".join(texts) or None
