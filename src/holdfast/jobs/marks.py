"""Puts marks beside manifests and reads them back, believing none whose signature does not hold."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from holdfast.jobs import writing
from holdfast.jobs.reading import read_signed
from holdfast.jobs.services import Keys, Services
from holdfast.ledger import marks as kept_marks
from holdfast.ledger import withdrawn
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.marks import Kept
from holdfast.model import codec, layout
from holdfast.model import mark as model
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, StoreError
from holdfast.model.layout import MarkKind
from holdfast.model.mark import Ack, Mark, Pin, Tombstone
from holdfast.model.proof import Proof
from holdfast.stores.base import ExistsError
from holdfast.streams.sign import sign

_TOKEN_BYTES = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The marks that lie beside a manifest, and the keys of those that are not believed, with why."""

    kept: tuple[Kept, ...] = ()
    problems: tuple[tuple[str, str], ...] = ()


def put(
    services: Services, place: writing.Place, content: Pin | Ack | Tombstone | Proof, *, at: datetime
) -> Kept:
    """Sign a mark, store it with its signature first, and let the ledger know it.

    Raise ExistsError where the backup has a tombstone already, KeyFileError without a signing key.
    """
    kind = _kind(content)
    value = model.of_proof(content) if isinstance(content, Proof) else codec.to_json(content)
    assert isinstance(value, dict)  # noqa: S101 - the JSON of a dataclass
    mark = Mark(
        kind=kind,
        backup_id=place.backup_id,
        target=place.target,
        at=at,
        host=services.host,
        signer=services.keys.signer().public.text,
        content=value,
    )
    name, data = layout.mark_name(kind, at, secrets.token_hex(_TOKEN_BYTES)), model.dump(mark)
    model.parse(data, where=name)  # what we could not read ourselves is not written
    if kind == "tombstone":
        signature = _put_tombstone(services, place, data)
    else:
        signature = writing.put_signed(place, name, data, services.keys.signer())
    kept = Kept(store=place.store.name, name=name, mark=mark, document=data, signature=signature)
    kept_marks.record(services.ledger, kept)
    services.stage(f"marked:{kind}")
    return kept


def _put_tombstone(services: Services, place: writing.Place, data: bytes) -> bytes:
    """Store the one mark whose name is always the same: a signature without it is the rest of a try that broke off.

    Two hosts may try at once. Whose document is there then, makes sure that the signature beside it is its own.
    """
    name = layout.TOMBSTONE
    key, signed = place.key(name), place.key(layout.signature_name(name))
    if place.store.stat(key) is not None:
        raise ExistsError(f"{place.store.location}: {key} exists already")
    signature = sign(
        data,
        services.keys.signer(),
        trusted_comment=writing.trusted_comment(place.target, place.backup_id, name),
    )
    place.store.put(signed, [signature])
    services.stage("tombstone_signed")
    try:
        writing.put_bytes(place, name, data)
    except (IntegrityError, StoreError) as error:
        if place.store.stat(key) is None:
            raise
        raise ExistsError(f"{place.store.location}: {key} is another's") from error
    with contextlib.suppress(IntegrityError, KeyFileError, NotFoundError):
        if read_signed(place, name, services.keys) == (data, signature):
            return signature
    place.store.put(signed, [signature])
    if read_signed(place, name, services.keys)[0] != data:
        raise ExistsError(f"{place.store.location}: {key} is another's")
    return signature


def read(place: writing.Place, name: str, keys: Keys) -> Kept:
    """Read a mark. Raise IntegrityError or KeyFileError for one that is not to be believed, NotFoundError for none."""
    data, signature = read_signed(place, name, keys)
    where = f"{place.store.location}: {place.key(name)}"
    mark = model.parse(data, where=where)
    if (mark.target, mark.backup_id) != (place.target, place.backup_id):
        raise IntegrityError(f"{where}: is a mark of {mark.target}/{mark.backup_id}")
    if layout.mark_kind(name) != mark.kind:
        raise IntegrityError(f"{where}: holds a mark of another kind: {mark.kind}")
    return Kept(store=place.store.name, name=name, mark=mark, document=data, signature=signature)


def read_all(place: writing.Place, names: Iterable[str], keys: Keys) -> Found:
    """Read those of the objects that are marks. One that is not to be believed is a problem, and else ignored."""
    kept: list[Kept] = []
    problems: list[tuple[str, str]] = []
    for name in sorted(names):
        if layout.mark_kind(name) is None:
            continue
        try:
            kept.append(read(place, name, keys))
        except (IntegrityError, KeyFileError, NotFoundError) as error:
            problems.append((place.key(name), text(error)))
    return Found(kept=tuple(kept), problems=tuple(problems))


def listed(place: writing.Place, keys: Keys) -> Found:
    """Read the marks of a backup, as the store lists them."""
    found = (layout.parse_key(stored.key) for stored in place.store.list(place.prefix))
    return read_all(place, [location.name for location in found if location is not None], keys)


def tombstone(place: writing.Place, keys: Keys) -> Kept | None:
    """The tombstone of a backup, or None where there is none that can be believed; whether it counts is another question."""
    try:
        return read(place, layout.TOMBSTONE, keys)
    except (NotFoundError, IntegrityError, KeyFileError):
        return None


def standing(services: Services, place: writing.Place) -> Kept | None:
    """The tombstone that hides a backup, or None where none does."""
    found = tombstone(place, services.keys)
    return found if found is None or void(services.ledger, services.stores, found) is None else None


def void(ledger: Ledger, stores: Collection[str], kept: Kept) -> str | None:
    """Say why a tombstone whose signature holds counts for nothing; None where it counts.

    Whoever can write to a store can put an old one there again, or one of another of the `stores`.
    """
    told = model.content(kept.mark, Tombstone).store
    if told != kept.store and told in stores:
        return f"is the tombstone of store {told}, and hides nothing here; somebody brought it here"
    if withdrawn.knows(ledger, kept):
        return "is a tombstone that was taken back, and hides nothing; somebody put it there again"
    return None


def remove_after(kept: Kept) -> datetime:
    """Before when nothing of the backup that a tombstone hides may be removed."""
    return model.content(kept.mark, Tombstone).remove_after


def adopt(services: Services, kept: Kept) -> None:
    """Let the ledger know a mark that was read, and what it says of the backup."""
    kept_marks.record(services.ledger, kept)
    if kept.mark.kind == "proof" and services.ledger.backup(kept.mark.backup_id) is not None:
        services.ledger.record_proof(model.proof(kept.mark))


def copy(services: Services, origin: writing.Place, place: writing.Place) -> None:
    """Bring the marks of a backup to another store, byte for byte; a tombstone is of its store alone."""
    there = {found.key for found in place.store.list(place.prefix)}
    found = listed(origin, services.keys)
    for kept in found.kept:
        if kept.mark.kind == "tombstone" or place.key(kept.name) in there:
            continue
        writing.put_bytes(place, layout.signature_name(kept.name), kept.signature)
        writing.put_bytes(place, kept.name, kept.document)
        kept_marks.record(
            services.ledger,
            Kept(
                store=place.store.name,
                name=kept.name,
                mark=kept.mark,
                document=kept.document,
                signature=kept.signature,
            ),
        )
    for key, problem in found.problems:
        services.reporter.warn("a mark is not believed", store=origin.store.name, key=key, problem=problem)


def text(error: Error) -> str:
    """An error and its hint on one line."""
    return error.message if error.hint is None else f"{error.message}; {error.hint}"


_KINDS: Mapping[type, MarkKind] = {Pin: "pin", Ack: "ack", Tombstone: "tombstone", Proof: "proof"}


def _kind(content: Pin | Ack | Tombstone | Proof) -> MarkKind:
    return _KINDS[type(content)]
