"""Rebuilds the ledger from what the stores hold: the manifests are the truth, the ledger a memory of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.jobs import adopting, differing, gone, marks, past
from holdfast.jobs.gone import NOT_BELIEVED, Seen
from holdfast.jobs.reading import open_backup
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger import marks as kept_marks
from holdfast.ledger import withdrawn
from holdfast.ledger.ledger import BackupRow, CopyState
from holdfast.ledger.losses import SETTLE_AFTER
from holdfast.model import codec, layout
from holdfast.model.backup import Backup
from holdfast.model.errors import IntegrityError, KeyFileError, NotFoundError, StoreError
from holdfast.stores.base import Store

LEDGER_IS_OF = ("created_at", SETTLE_AFTER)
_MISSING, _RESIZED = "missing", "of another size"
_TOLD = 20  # a bucket that is shared with another signer has a problem for each of its backups, at every look


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild found. `problems` are (key or store, what is wrong with it)."""

    backups: int = 0
    forgotten: int = 0
    stores: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def rebuild(
    services: Services, *, store: str | None = None, quick: bool = False, forget: bool = True
) -> Rebuilt:
    """Read every manifest of the stores (or of one) into the ledger; forget what is nowhere any more.

    `quick` does not read again the manifests that the ledger knows, as long as all their objects are listed. Without
    `forget` a copy that is gone is recorded as missing, and is a problem in the result; one with a tombstone is not.
    What lies in stores that the config has no more is forgotten as well, unless one is named in `store`.
    A store that cannot be listed is a problem, too, and nothing is forgotten on its account; nor on that of one that
    lists no backup at all, unless it is named in `store`: a disk that is not mounted looks like that.
    """
    result = Rebuilt()
    before = services.ledger.backups()  # a backup that is committed while we look is not forgotten
    chosen = [services.store(store)] if store is not None else list(services.stores.values())
    seen: dict[str, Seen] = {}
    for each in chosen:
        try:
            seen[each.name] = _rebuild_store(services, each, result, quick=quick)
        except StoreError as error:
            result.problems.append((each.location, marks.text(error)))
            continue
        result.stores.append(each.name)
        if store is None and not seen[each.name].held:
            problem = gone.doubt_empty(each, before, seen[each.name])
            if problem is not None:
                del seen[each.name]
                result.problems.append((each.location, problem))
    settled = gone.settle(services, before, seen, forget=forget)
    result.forgotten += settled.forgotten
    result.problems += settled.problems
    if forget and store is None:
        result.forgotten += gone.forget_strangers(services, before)
    if forget:
        services.ledger.meta_set(SETTLE_AFTER, codec.time_text(services.clock.now()))
    if result.stores == list(services.stores):
        services.ledger.meta_set("rebuilt_at", codec.time_text(services.clock.now()))
    return result


def tell(services: Services, found: Rebuilt) -> None:
    """Log what is wrong in the stores: the first of it, and how much more there is."""
    for where, problem in found.problems[:_TOLD]:
        services.reporter.warn("while reading the stores", where=where, problem=problem)
    if (more := len(found.problems) - _TOLD) > 0:
        services.reporter.warn(
            "while reading the stores", problem=f"{more} more; `holdfast catalog rebuild` names all"
        )


def _rebuild_store(services: Services, store: Store, result: Rebuilt, *, quick: bool) -> Seen:
    """Adopt the backups of one store."""
    folders: dict[tuple[str, str], dict[str, int]] = {}
    for found in store.list():
        location = layout.parse_key(found.key)
        if location is not None:
            folders.setdefault((location.target, location.backup_id), {})[location.name] = found.size
    seen, known = Seen(), kept_marks.names(services.ledger, store.name)
    for (target, backup_id), sizes in sorted(folders.items()):
        place = Place(store=store, target=target, backup_id=backup_id)
        marked = known.get((target, backup_id), set())
        hidden = _adopt_marks(services, place, sizes, marked, result, quick=quick)
        if layout.MANIFEST not in sizes and hidden:
            seen.buried.add(backup_id)
            continue
        if layout.MANIFEST not in sizes:
            result.problems.append(
                (place.prefix, "objects without a manifest: a backup under way, or what a failed one left")
            )
            continue
        state: CopyState = "hidden" if hidden else "complete"
        if quick and _known_as(services, place, sizes, state):
            seen.held.add(backup_id)
        elif _adopt(services, place, sizes, seen, result, hidden=hidden):
            seen.held.add(backup_id)
            _adopt_proofs(services, place)
        if backup_id in seen.held:
            odd = (past.complaint(services, place), differing.lost_marks(services, place, sizes))
            result.problems += [(place.prefix, marks.text(each)) for each in odd if each is not None]
    return seen


def _adopt_marks(
    services: Services,
    place: Place,
    sizes: Mapping[str, int],
    known: set[str],
    result: Rebuilt,
    *,
    quick: bool,
) -> bool:
    """Adopt the marks of a backup (if `quick`, those that are new); tell whether its tombstone hides it.

    A tombstone that lies there no more hides nothing. What else is gone stays known: a pin that somebody removed from
    the store without our signature has to hold all the same.
    """
    if layout.TOMBSTONE in known and layout.TOMBSTONE not in sizes:
        _note_withdrawal(services, place)
        kept_marks.forget(services.ledger, place.backup_id, place.store.name, layout.TOMBSTONE)
        if layout.MANIFEST in sizes:
            problem = (
                "its tombstone is gone: somebody brought it back (`holdfast undelete` elsewhere does), or put the store"
                " or the ledger back to what it was before"
            )
            result.problems.append((place.prefix, problem))
    names = [name for name in sizes if layout.mark_kind(name) and not (quick and name in known)]
    found = marks.read_all(place, names, services.keys)
    held: set[str] = set()
    for kept in found.kept:
        wrong = marks.void(services.ledger, services.stores, kept) if kept.mark.kind == "tombstone" else None
        if wrong is not None:
            result.problems.append((place.key(kept.name), wrong))
            continue
        marks.adopt(services, kept)
        held.add(kept.name)
    result.problems.extend(found.problems)
    held |= known & sizes.keys() if quick else set()
    return layout.TOMBSTONE in held


def _note_withdrawal(services: Services, place: Place) -> None:
    """Know of a tombstone that another host took back; a listing may have been cut short."""
    for kept in kept_marks.of_backup(services.ledger, place.backup_id, "tombstone"):
        if (kept.store, kept.mark.target) == (place.store.name, place.target) and (
            place.store.stat(place.key(layout.TOMBSTONE)) is None
        ):
            withdrawn.record(services.ledger, kept)


def _adopt_proofs(services: Services, place: Place) -> None:
    """Let the proofs count for a backup that was not known when they were read."""
    for kept in kept_marks.of_backup(services.ledger, place.backup_id, "proof"):
        if (kept.store, kept.mark.target) == (place.store.name, place.target):
            marks.adopt(services, kept)


def _known_as(services: Services, place: Place, sizes: Mapping[str, int], state: CopyState) -> bool:
    row = services.ledger.backup(place.backup_id)
    if row is None or row.backup.target != place.target:
        return False
    same = any((copy.store, copy.state) == (place.store.name, state) for copy in row.copies)
    return same and (state == "hidden" or not _wrong(row.stored_in(place.store.name).backup, sizes))


def _wrong(backup: Backup, sizes: Mapping[str, int]) -> str | None:
    """Tell which objects are missing or not as large as they were, or None."""
    segments = [segment for part in backup.parts for segment in part.segments]
    missing = [each.name for each in segments if each.name not in sizes]
    resized = [each.name for each in segments if sizes.get(each.name, each.size) != each.size]
    said = [
        f"{what}: {', '.join(names)}" for what, names in ((_MISSING, missing), (_RESIZED, resized)) if names
    ]
    return "; ".join(said) or None


def _adopt(
    services: Services, place: Place, sizes: Mapping[str, int], seen: Seen, result: Rebuilt, *, hidden: bool
) -> bool:
    known = services.ledger.backup(place.backup_id)
    try:
        opened = open_backup(place, services.keys)
        differing.check_same(opened, known)
    except (IntegrityError, KeyFileError, NotFoundError) as error:
        result.problems.append((place.key(layout.MANIFEST), marks.text(error)))
        if not isinstance(error, NotFoundError):
            seen.refused[place.target, place.backup_id] = error.message
        return False
    if known is not None and known.backup.target != place.target:
        other = f"the id is that of a backup of {known.backup.target}, too: only that one is listed"
        result.problems.append((place.key(layout.MANIFEST), other))
        return False
    adopting.adopt(services, opened, coverage=known.coverage if known is not None else None)
    wrong = _wrong(opened.backup, sizes) or _found_damaged(known, opened.manifest, place.store.name)
    state: CopyState = "hidden" if hidden else "complete" if wrong is None else "damaged"
    services.ledger.record_copy(place.backup_id, place.store.name, state, services.clock.now(), wrong)
    if wrong is not None and not hidden:  # what is being removed lacks some by and by
        result.problems.append((place.prefix, wrong))
    result.backups += 1
    return True


def _found_damaged(known: BackupRow | None, manifest: bytes, store: str) -> str | None:
    """What an earlier verify found wrong with a copy: a listing cannot tell that it was mended, a verify can.

    What only a listing found wrong, such as one that was cut short, the next may find right.
    """
    if known is None or known.stored_in(store).manifest != manifest:
        return None
    copy = next((each for each in known.copies if each.store == store), None)
    listed = (f"{_MISSING}: ", f"{_RESIZED}: ", NOT_BELIEVED)
    if copy is None or copy.state not in {"damaged", "hidden"} or (copy.error or "").startswith(listed):
        return None
    return copy.error or ("damaged" if copy.state == "damaged" else None)
