"""Compares what a store holds of a backup with what the ledger knows of it: replaced manifests, marks that vanished."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.jobs.reading import Opened
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger import marks as kept_marks
from holdfast.ledger.ledger import BackupRow
from holdfast.ledger.marks import Kept
from holdfast.model import layout
from holdfast.model.errors import IntegrityError, NotFoundError
from holdfast.model.kinship import Stored, are_kin
from holdfast.stores.base import read_all

_HELD = frozenset({"complete", "damaged", "hidden"})


def check_same(opened: Opened, known: BackupRow | None) -> None:
    """Raise IntegrityError where a believed manifest tells of another backup than the ledger knows by its id.

    Or of another copy of it than is known in that store: one that was encrypted anew is signed for the same place, and
    whoever can write to the store could put it in the place of one that we can open.
    """
    if known is None or known.backup.target != opened.backup.target:
        return
    found = Stored(backup=opened.backup, manifest=opened.manifest, signature=opened.signature)
    own = Stored(backup=known.backup, manifest=known.manifest, signature=known.signature)
    store = opened.place.store.name
    held = any(copy.store == store and copy.state in _HELD for copy in known.copies)
    if found.manifest == (known.stored_in(store).manifest if held else own.manifest):
        return
    where = f"{opened.place.store.location}: {opened.place.key(layout.MANIFEST)}"
    if are_kin(own, found):
        if held:
            raise IntegrityError(
                f"{where}: was replaced: the copy that lay there is encrypted to others than this one",
                hint=f"A manifest never changes. `holdfast repair {opened.backup.id}` puts the copy back that is known,"
                " where another store has it.",
            )
        return
    raise IntegrityError(
        f"{where}: was replaced: it tells of another backup than the ledger knows by this id"
        f" (signed by {opened.backup.signer}; known is one signed by {known.backup.signer})",
        hint="A manifest never changes: somebody with a signing key of yours wrote another. Compare the other stores.",
    )


def lost_marks(services: Services, place: Place, sizes: Mapping[str, int]) -> IntegrityError | None:
    """Tell of the marks that are known to lie there and do not, or are of another size, by a listing of the folder."""
    return _complaint(place, lost(services, place, sizes))


def lost(services: Services, place: Place, sizes: Mapping[str, int], *, read: bool = False) -> list[Kept]:
    """The marks, tombstones aside, that the ledger knows and a listing lacks, or shows with another size.

    With `read` also those that hold something else: pins and acknowledgements, which are few.
    """
    return [
        kept
        for kept in kept_marks.of_backup(services.ledger, place.backup_id)
        if (kept.store, kept.mark.target) == (place.store.name, place.target)
        and kept.mark.kind != "tombstone"
        and (
            (read and kept.mark.kind != "proof")
            or sizes.get(kept.name) != len(kept.document)
            or sizes.get(layout.signature_name(kept.name)) != len(kept.signature)
        )
        and not _is_there(place, kept)  # it may have come since the listing
    ]


def _is_there(place: Place, kept: Kept) -> bool:
    try:
        found = [
            read_all(place.store, place.key(each)) for each in (kept.name, layout.signature_name(kept.name))
        ]
    except (NotFoundError, IntegrityError):
        return False
    return found == [kept.document, kept.signature]


def complaint(services: Services, place: Place) -> IntegrityError | None:
    """Tell of the marks that vanished or were replaced since."""
    return _complaint(place, lost(services, place, listed(place), read=True))


def listed(place: Place) -> dict[str, int]:
    """Give the sizes of the objects in the folder of a backup by their names."""
    found = ((layout.parse_key(stored.key), stored.size) for stored in place.store.list(place.prefix))
    return {where.name: size for where, size in found if where is not None}


def _complaint(place: Place, found: list[Kept]) -> IntegrityError | None:
    if not found:
        return None
    names = ", ".join(kept.name for kept in found)
    return IntegrityError(
        f"{place.store.location}: {place.prefix}: vanished or replaced, though the ledger knows it: {names}",
        hint=f"`holdfast repair {place.backup_id}` puts it back. Find out who did that.",
    )


def put_back(services: Services, place: Place) -> tuple[str, ...]:
    """Write the marks again that vanished or were replaced, as the ledger keeps them; give their names."""
    done = []
    for kept in lost(services, place, listed(place), read=True):
        place.store.put(place.key(layout.signature_name(kept.name)), [kept.signature])
        place.store.put(place.key(kept.name), [kept.document])
        done.append(kept.name)
    return tuple(done)
