"""Rebuilds the ledger from what the stores hold: the manifests are the truth, the ledger a memory of them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from holdfast.jobs.reading import open_backup, read_signed
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger.ledger import CopyState
from holdfast.model import codec, layout
from holdfast.model.backup import Backup
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, StoreError
from holdfast.model.proof import Proof
from holdfast.stores.base import Store

_PROOF = re.compile(r"proof-[0-9]{8}T[0-9]{6}Z-[a-z]+-[0-9a-f]{8}\.json")


@dataclass(slots=True)
class Rebuilt:
    """What a rebuild found. `problems` are (key or store, what is wrong with it)."""

    backups: int = 0
    forgotten: int = 0
    stores: list[str] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def rebuild(services: Services, *, store: str | None = None, quick: bool = False) -> Rebuilt:
    """Read every manifest of the stores (or of one) into the ledger; forget what is nowhere any more.

    `quick` does not read again the manifests that the ledger knows, as long as all their objects are listed.
    A store that cannot be listed is a problem in the result, and nothing is forgotten on its account.
    """
    result = Rebuilt()
    chosen = [services.store(store)] if store is not None else list(services.stores.values())
    seen: dict[str, set[str]] = {}
    for each in chosen:
        try:
            seen[each.name] = _rebuild_store(services, each, result, quick=quick)
        except StoreError as error:
            result.problems.append((each.location, _text(error)))
            continue
        result.stores.append(each.name)
    _forget(services, seen, result)
    if len(seen) == len(services.stores):
        services.ledger.meta_set("rebuilt_at", codec.time_text(services.clock.now()))
    return result


def _rebuild_store(services: Services, store: Store, result: Rebuilt, *, quick: bool) -> set[str]:
    """Adopt the backups of one store; return the ids that it holds."""
    folders: dict[tuple[str, str], set[str]] = {}
    for found in store.list():
        location = layout.parse_key(found.key)
        if location is not None:
            folders.setdefault((location.target, location.backup_id), set()).add(location.name)
    held: set[str] = set()
    for (target, backup_id), names in sorted(folders.items()):
        place = Place(store=store, target=target, backup_id=backup_id)
        if layout.TOMBSTONE in names:
            continue
        if layout.MANIFEST not in names:
            result.problems.append(
                (place.prefix, "objects without a manifest: a backup under way, or what a failed one left")
            )
            continue
        if (quick and _known_whole(services, place, names)) or _adopt(services, place, names, result):
            held.add(backup_id)
    return held


def _known_whole(services: Services, place: Place, names: set[str]) -> bool:
    row = services.ledger.backup(place.backup_id)
    if row is None or row.backup.target != place.target:
        return False
    whole = any(copy.store == place.store.name and copy.state == "complete" for copy in row.copies)
    return whole and not _missing(row.backup, names)


def _missing(backup: Backup, names: set[str]) -> list[str]:
    return [s.name for part in backup.parts for s in part.segments if s.name not in names]


def _adopt(services: Services, place: Place, names: set[str], result: Rebuilt) -> bool:
    try:
        opened = open_backup(place, services.keys)
    except (IntegrityError, KeyFileError, NotFoundError) as error:
        result.problems.append((place.key(layout.MANIFEST), _text(error)))
        return False
    missing = _missing(opened.backup, names)
    known = services.ledger.backup(place.backup_id)
    services.ledger.record_backup(
        opened.backup,
        manifest=opened.manifest,
        signature=opened.signature,
        coverage=known.coverage if known is not None else None,
    )
    state: CopyState = "damaged" if missing else "complete"
    error_text = f"missing: {', '.join(missing)}" if missing else None
    services.ledger.record_copy(place.backup_id, place.store.name, state, services.clock.now(), error_text)
    if missing:
        result.problems.append((place.prefix, f"objects are missing: {', '.join(missing)}"))
    for name in sorted(names):
        if _PROOF.fullmatch(name):
            _adopt_proof(services, place, name, result)
    result.backups += 1
    return True


def _adopt_proof(services: Services, place: Place, name: str, result: Rebuilt) -> None:
    try:
        data, _ = read_signed(place, name, services.keys)
        proof = codec.from_json(Proof, json.loads(data), "proof")
        if (proof.target, proof.backup_id) != (place.target, place.backup_id):
            raise IntegrityError("it is the proof of another backup")
    except (Error, ValueError, RecursionError) as error:
        result.problems.append((place.key(name), str(error)))
        return
    services.ledger.record_proof(proof)


def _forget(services: Services, seen: dict[str, set[str]], result: Rebuilt) -> None:
    """Take out of the ledger what the listed stores no longer hold."""
    for row in services.ledger.backups():
        for copy in row.copies:
            if copy.store in seen and row.backup.id not in seen[copy.store]:
                services.ledger.forget_copy(row.backup.id, copy.store)
        left = [copy for copy in row.copies if copy.store not in seen or row.backup.id in seen[copy.store]]
        if not left:
            services.ledger.forget_backup(row.backup.id)
            result.forgotten += 1


def _text(error: Error) -> str:
    return error.message if error.hint is None else f"{error.message}; {error.hint}"
