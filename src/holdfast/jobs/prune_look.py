"""Looks at what lies in a store under a target: its backups, those that are on their way out, and what nobody accounts for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger import marks as kept_marks
from holdfast.ledger.ledger import BackupRow
from holdfast.ledger.marks import Kept
from holdfast.model import layout
from holdfast.model import mark as model
from holdfast.model.backup import Backup
from holdfast.model.errors import StoreError
from holdfast.model.mark import Pin, Tombstone
from holdfast.model.retention import Candidate
from holdfast.stores.base import Store

_THERE = frozenset({"complete", "damaged", "hidden"})
_ANY = -1  # of any size
_NO_TIMES = 1990  # a filesystem that keeps no times shows an earlier year


@dataclass(slots=True, kw_only=True)
class Folder:
    """The objects under one backup id: their sizes by name, when the newest came, and when the manifest did."""

    place: Place
    sizes: dict[str, int] = field(default_factory=dict)
    newest: datetime | None = None
    manifest_at: datetime | None = None

    @property
    def bytes(self) -> int:
        """What they take up."""
        return sum(self.sizes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A backup that lies in the store, as the ledger knows it too. With a `stone` it is hidden."""

    folder: Folder
    row: BackupRow
    candidate: Candidate
    stone: Tombstone | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """What is left of a backup whose removal began: nothing but its end is possible."""

    folder: Folder
    stone: Tombstone


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """What lies in a store under a target. `stones` stand where all else is gone; of `strays` nobody knows anything.

    `unknown` have a manifest that the ledger does not take: they are not ours to judge.
    """

    store: Store
    held: tuple[Held, ...]
    leaving: tuple[Leaving, ...]
    stones: tuple[Kept, ...]
    strays: tuple[Folder, ...]
    unknown: tuple[str, ...]


def look(services: Services, target: str, store: Store, now: datetime) -> Shelf:
    """List the store and sort what is there. The ledger has to know its backups and marks: rebuild it first.

    Raise StoreError where it lists nothing although the ledger knows better: a disk that is not mounted looks like that.
    """
    folders = _listed(store, target)
    rows = {row.backup.id: row for row in services.ledger.backups(target)}
    if not any(layout.MANIFEST in folder.sizes for folder in folders.values()):
        _doubt_empty(rows, store)
    known = kept_marks.of_target(services.ledger, target)
    sorted_into: dict[type, list[Held | Leaving | Kept | Folder]] = {
        kind: [] for kind in (Held, Leaving, Kept, Folder)
    }
    unknown = []
    for backup_id, folder in sorted(folders.items()):
        of_it = known.get(backup_id, [])
        stone = next(
            (each for each in of_it if (each.store, each.mark.kind) == (store.name, "tombstone")), None
        )
        found = _sort(folder, rows.get(backup_id), of_it, stone, now)
        if found is None:
            unknown.append(backup_id)
        else:
            sorted_into[type(found)].append(found)
    return Shelf(
        store=store,
        held=tuple(each for each in sorted_into[Held] if isinstance(each, Held)),
        leaving=tuple(each for each in sorted_into[Leaving] if isinstance(each, Leaving)),
        stones=tuple(each for each in sorted_into[Kept] if isinstance(each, Kept)),
        strays=tuple(each for each in sorted_into[Folder] if isinstance(each, Folder)),
        unknown=tuple(unknown),
    )


def _listed(store: Store, target: str) -> dict[str, Folder]:
    folders: dict[str, Folder] = {}
    for stored in store.list(layout.target_prefix(target)):
        where = layout.parse_key(stored.key)
        if where is None:
            continue
        folder = folders.get(where.backup_id)
        if folder is None:
            place = Place(store=store, target=target, backup_id=where.backup_id)
            folder = folders[where.backup_id] = Folder(place=place)
        folder.sizes[where.name] = stored.size
        folder.newest = max(stored.modified_at, folder.newest or stored.modified_at)
        if where.name == layout.MANIFEST and stored.modified_at.year > _NO_TIMES:
            folder.manifest_at = stored.modified_at
    return folders


def _doubt_empty(rows: Mapping[str, BackupRow], store: Store) -> None:
    known = [
        row for row in rows.values() if any(copy.store == store.name and copy.whole for copy in row.copies)
    ]
    if known:
        raise StoreError(
            f"{store.location}: lists no backup, but should hold {len(known)}",
            hint="Is it mounted, and its path or prefix right?",
        )


def _sort(
    folder: Folder, row: BackupRow | None, known: list[Kept], stone: Kept | None, now: datetime
) -> Held | Leaving | Kept | Folder | None:
    """Tell what a folder is; None for a manifest that the ledger does not take, or what is left of a lost one."""
    store = folder.place.store.name
    if stone is not None and layout.TOMBSTONE in folder.sizes:
        return _sort_hidden(folder, row, known, stone, now)
    if layout.MANIFEST not in folder.sizes:
        return folder if row is None and not known else None
    if row is None or not any(copy.store == store and copy.state in _THERE for copy in row.copies):
        return None
    return Held(folder=folder, row=row, candidate=_candidate(row, folder, known, now))


def segments(backup: Backup) -> dict[str, int]:
    """What a backup cannot do without, by name and size; the texts beside it only help."""
    return {segment.name: segment.size for part in backup.parts for segment in part.segments}


def _sort_hidden(
    folder: Folder, row: BackupRow | None, known: list[Kept], stone: Kept, now: datetime
) -> Held | Leaving | Kept | None:
    """As `_sort`. None also where the listing is not to be believed: it lacks what is there, or has what it lacked just now."""
    said = model.content(stone.mark, Tombstone)
    if folder.sizes.keys() <= {layout.TOMBSTONE, layout.signature_name(layout.TOMBSTONE)}:
        return stone
    own = {} if row is None else segments(row.stored_in(folder.place.store.name).backup)
    wanted = {layout.MANIFEST: _ANY, **own}
    if row is None or not _is_whole(row, folder):
        return None if _is_there(folder, wanted) else Leaving(folder=folder, stone=said)
    if all(copy.store != folder.place.store.name for copy in row.copies):
        return None
    return Held(folder=folder, row=row, candidate=_candidate(row, folder, known, now), stone=said)


def _is_whole(row: BackupRow, folder: Folder) -> bool:
    """Whether every segment of the backup is listed, and as large as it was."""
    wanted = segments(row.stored_in(folder.place.store.name).backup)
    return (
        folder.sizes.keys() >= {layout.MANIFEST, layout.signature_name(layout.MANIFEST)}
        and {name: folder.sizes.get(name) for name in wanted} == wanted
    )


def _is_there(folder: Folder, wanted: Mapping[str, int]) -> bool:
    """Whether all of that lies there, listed or not: what was cut short is no backup whose removal began."""
    place = folder.place
    for name, size in wanted.items():
        known = folder.sizes.get(name)
        if known is None:
            found = place.store.stat(place.key(name))
            known = None if found is None else found.size
        if known is None or known != size >= 0:
            return False
    return True


def _candidate(row: BackupRow, folder: Folder, known: list[Kept], now: datetime) -> Candidate:
    copy = next(each for each in row.copies if each.store == folder.place.store.name)
    whole = copy.whole and _is_whole(row, folder)
    return Candidate(
        id=row.backup.id,
        at=row.backup.started_at,
        good=whole and not row.waiting,
        waiting=whole and row.waiting,
        proven=row.proof == "proven",
        pinned=pinned(known, now),
        parent=row.backup.parent,
        stored_at=folder.manifest_at,
    )


def pinned(known: list[Kept], now: datetime) -> str | None:
    """Why a backup with these marks is pinned, or None. Of several pins the one made last holds."""
    pins = [model.content(each.mark, Pin) for each in known if each.mark.kind == "pin"]
    if not pins or not pins[-1].holds(now):
        return None
    until = "" if pins[-1].until is None else f" (until {pins[-1].until:%Y-%m-%d %H:%M:%SZ})"
    return f"{pins[-1].why}{until}"
