"""The steps of retention in a store: hide a backup, bring it back, remove it, sweep up. Each may break off anywhere and be begun anew."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from holdfast.jobs import marks, past
from holdfast.jobs.prune_look import Folder, Held, segments
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger import marks as kept_marks
from holdfast.ledger import withdrawn
from holdfast.model import layout
from holdfast.model.errors import NotFoundError
from holdfast.model.mark import Tombstone
from holdfast.stores.base import ExistsError, RefusedError

STONES_STAY = timedelta(days=365)
STRAYS_AFTER = timedelta(days=2)
_STONE = (layout.TOMBSTONE, layout.signature_name(layout.TOMBSTONE))
_MANIFEST = (layout.MANIFEST, layout.signature_name(layout.MANIFEST))


@dataclass(frozen=True, slots=True, kw_only=True)
class Locked:
    """A store that does not let an object go, such as for an object lock: a reason to keep it, and no error."""

    key: str
    said: str


def hide(
    services: Services, held: Held, *, why: str, policy: str, grace: timedelta, now: datetime
) -> Literal["hidden", "doubtful"]:
    """Write the tombstone of a backup. `doubtful`: one lies there that cannot be believed, and is not ours to replace."""
    place = held.folder.place
    stone = Tombstone(store=place.store.name, why=why, policy=policy, remove_after=now + grace)
    services.stage("prune:hiding")
    _clear_void(services, place)
    try:
        marks.put(services, place, stone, at=now)
    except ExistsError as error:
        theirs = marks.standing(services, place)
        if theirs is None:
            services.reporter.warn(
                "a tombstone that cannot be believed keeps a backup from being hidden",
                store=place.store.name,
                backup=place.backup_id,
                error=str(error),
            )
            return "doubtful"
        marks.adopt(services, theirs)
    copy = next(each for each in held.row.copies if each.store == place.store.name)
    wrong = (copy.error or "damaged") if copy.state == "damaged" else None
    services.ledger.record_copy(place.backup_id, place.store.name, "hidden", now, wrong)
    services.stage("prune:hidden")
    services.reporter.info(
        "a backup is hidden", target=place.target, backup=place.backup_id, store=place.store.name, why=why
    )
    return "hidden"


def _clear_void(services: Services, place: Place) -> None:
    """Take a tombstone of ours away that somebody put there again, and that counts for nothing."""
    there = marks.tombstone(place, services.keys)
    if there is not None and marks.void(services.ledger, services.stores, there) is not None:
        for name in _STONE:
            place.store.delete(place.key(name))


def bring_back(services: Services, place: Place, now: datetime) -> None:
    """Take a tombstone away, and let the backup be listed. Raise NotFoundError where its objects are not all there."""
    row = services.ledger.backup(place.backup_id)
    if row is None or row.backup.target != place.target:
        raise NotFoundError(f"no backup {place.backup_id} of target {place.target}")
    missing = _missing(place, segments(row.stored_in(place.store.name).backup))
    if missing:
        raise NotFoundError(
            f"{place.store.location}: backup {place.backup_id} cannot come back: {missing[0]} is gone already",
            hint="Use another copy or another backup; `holdfast list` shows them.",
        )
    there = marks.tombstone(place, services.keys)
    for name in _STONE:  # without the document the signature is worth nothing
        place.store.delete(place.key(name))
    if there is not None:
        withdrawn.record(services.ledger, there)
    kept_marks.forget(services.ledger, place.backup_id, place.store.name, layout.TOMBSTONE)
    copy = next((each for each in row.copies if each.store == place.store.name), None)
    wrong = copy.error if copy is not None and copy.state == "hidden" else None
    state: Literal["complete", "damaged"] = "complete" if wrong is None else "damaged"
    services.ledger.record_copy(place.backup_id, place.store.name, state, now, wrong)
    services.reporter.info(
        "a backup is back", target=place.target, backup=place.backup_id, store=place.store.name
    )


def _missing(place: Place, wanted: dict[str, int]) -> list[str]:
    there: dict[str, int] = {}
    for stored in place.store.list(place.prefix):
        where = layout.parse_key(stored.key)
        if where is not None:
            there[where.name] = stored.size
    lost = [name for name, size in wanted.items() if there.get(name) != size]
    return lost + [name for name in _MANIFEST if name not in there]


def remove(services: Services, folder: Folder, now: datetime) -> Literal["removed", "left"] | Locked:
    """Remove what a tombstone says is over: the parts, then the manifest; the tombstone stays.

    It is read once more from the store: whoever took it away meanwhile wants the backup back, and it is left. Give
    what the store does not let go; the next run tries again.
    """
    place = folder.place
    stone = marks.standing(services, place)
    if stone is None or marks.remove_after(stone) > now:
        services.reporter.info("left alone: no tombstone says that it may go", backup=place.backup_id)
        return "left"
    services.stage("prune:removing")
    rest = [name for name in folder.sizes if name not in (*_MANIFEST, *_STONE)]
    # The manifest's signature goes after it, so that whoever looks finds either a whole pair or no manifest.
    for name in (*sorted(rest, key=_order), *_MANIFEST):
        if name == layout.MANIFEST:
            services.stage("prune:manifest")
        try:
            place.store.delete(place.key(name))
        except RefusedError as error:
            return _locked(services, place, name, error)
        services.stage("prune:object_removed")
    services.stage("prune:removed")
    forget(services, place)
    services.reporter.info(
        "a backup is removed",
        target=place.target,
        backup=place.backup_id,
        store=place.store.name,
        bytes=folder.bytes,
    )
    return "removed"


def _order(name: str) -> tuple[bool, str]:
    """The parts before the marks and the texts: what is worth nothing without the others goes last."""
    return layout.mark_kind(name.removesuffix(layout.SIGNATURE_SUFFIX)) is not None, name


def _locked(services: Services, place: Place, name: str, error: RefusedError) -> Locked:
    services.reporter.info(
        "the store does not let an object go",
        store=place.store.name,
        backup=place.backup_id,
        key=place.key(name),
        reason=error.message,
    )
    return Locked(key=place.key(name), said=error.message)


def forget(services: Services, place: Place) -> None:
    """Let the ledger forget a copy that was removed, and the backup with the last of them.

    The tombstone it keeps, and what somebody acknowledged: that was said of the backups before it, too.
    """
    ledger, store = services.ledger, place.store.name
    for kept in kept_marks.of_backup(ledger, place.backup_id):
        if kept.store == store and kept.mark.kind not in {"tombstone", "ack"}:
            kept_marks.forget(ledger, place.backup_id, store, kept.name)
    ledger.forget_copy(place.backup_id, store)
    row = ledger.backup(place.backup_id)
    if row is not None and all(copy.state == "missing" and not copy.gone for copy in row.copies):
        ledger.forget_backup(place.backup_id)


def sweep(services: Services, folders: Iterable[Folder]) -> tuple[str, ...]:
    """Remove what nobody accounts for, is old enough, and is not being written; give the ids."""
    swept = []
    for folder in folders:
        place = folder.place
        services.stage("prune:sweeping")
        if {layout.MANIFEST, layout.TOMBSTONE} & _names(place):
            continue  # somebody was quicker
        try:
            for name in sorted(folder.sizes):
                place.store.delete(place.key(name))
        except RefusedError as error:
            _locked(services, place, name, error)
            continue
        services.reporter.warn(
            "removed objects that no manifest accounts for",
            target=place.target,
            store=place.store.name,
            backup=place.backup_id,
            objects=len(folder.sizes),
        )
        swept.append(place.backup_id)
    return tuple(swept)


def is_old(folder: Folder, now: datetime) -> bool:
    """Whether what lies there is too old to be an upload that goes on, by the store's times and by the id."""
    since = now - STRAYS_AFTER
    return (
        folder.newest is not None
        and folder.newest < since
        and layout.backup_time(folder.place.backup_id) < since
    )


def _names(place: Place) -> set[str]:
    found = (layout.parse_key(stored.key) for stored in place.store.list(place.prefix))
    return {where.name for where in found if where is not None}


def lay_stones_to_rest(services: Services, places: Iterable[Place]) -> None:
    """Remove tombstones that have stood long enough where all else is gone, beneath too."""
    for place in places:
        if not past.is_empty(place):
            continue
        try:
            for name in _STONE:
                place.store.delete(place.key(name))
        except RefusedError as error:
            _locked(services, place, layout.TOMBSTONE, error)
            continue
        kept_marks.forget(services.ledger, place.backup_id, place.store.name, layout.TOMBSTONE)
