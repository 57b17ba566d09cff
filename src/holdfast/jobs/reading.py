"""Reads backups back out of a store, believing nothing that is not signed and nothing whose digest does not fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.jobs.services import Keys
from holdfast.jobs.writing import Place, trusted_comment
from holdfast.model import catalog as catalog_model
from holdfast.model import codec, layout, manifest
from holdfast.model.backup import Backup, Part, Segment
from holdfast.model.errors import IntegrityError, KeyFileError, NotFoundError
from holdfast.stores.base import read_all
from holdfast.streams import age, compress
from holdfast.streams.chunks import Tally, tally
from holdfast.streams.sign import verify


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A backup whose manifest was read from a store and whose signature holds."""

    place: Place
    backup: Backup
    manifest: bytes
    signature: bytes


def open_backup(place: Place, keys: Keys) -> Opened:
    """Read and check a manifest.

    Raise NotFoundError when there is none, IntegrityError when it is damaged or lies in another's place, and
    KeyFileError when its signer is not known here.
    """
    data, signature = read_signed(place, layout.MANIFEST, keys)
    where = f"{place.store.location}: {place.key(layout.MANIFEST)}"
    backup = manifest.parse(data, where=where)
    if (backup.target, backup.id) != (place.target, place.backup_id):
        raise IntegrityError(
            f"{where}: is the manifest of {backup.target}/{backup.id}",
            hint="Somebody moved or replaced objects in the store.",
        )
    return Opened(place=place, backup=backup, manifest=data, signature=signature)


def read_signed(place: Place, name: str, keys: Keys) -> tuple[bytes, bytes]:
    """Read a small signed object and check who signed it for this place. Errors as in `open_backup`."""
    key = place.key(name)
    data = read_all(place.store, key)
    try:
        signature = read_all(place.store, place.key(layout.signature_name(name)))
    except NotFoundError as error:
        raise IntegrityError(f"{place.store.location}: {key} has no signature") from error
    try:
        verified = verify(data, signature, keys.trusted)
    except KeyFileError as error:
        raise KeyFileError(f"{place.store.location}: {key}: {error.message}", hint=error.hint) from error
    except IntegrityError as error:
        raise IntegrityError(f"{place.store.location}: {key}: {error.message}", hint=error.hint) from error
    if verified.trusted_comment != trusted_comment(place.target, place.backup_id, name):
        raise IntegrityError(
            f"{place.store.location}: {key}: is signed as {verified.trusted_comment!r}",
            hint="Somebody moved or replaced objects in the store.",
        )
    return data, signature


def stored_chunks(place: Place, part: Part) -> Iterator[bytes]:
    """Give a part's stored bytes, segments joined. Raise IntegrityError where one is missing or differs."""
    for segment in part.segments:
        key = place.key(segment.name)
        read = Tally()
        try:
            yield from tally(place.store.get(key), read)
        except NotFoundError as error:
            raise IntegrityError(f"{place.store.location}: {key} is missing") from error
        if (read.size, read.sha256) != (segment.size, segment.sha256):
            raise IntegrityError(
                f"{place.store.location}: {key} is not what was written:"
                f" {read.size} bytes, sha256 {read.sha256[:16]}…;"
                f" the manifest says {segment.size} bytes, {segment.sha256[:16]}…",
                hint="Restore from another copy or another backup; `holdfast list` shows them.",
            )


def read_document(place: Place, document: Segment) -> bytes | None:
    """Read a text that lies beside the parts; None when it is missing. Raise IntegrityError when it is another."""
    key = place.key(document.name)
    try:
        data = read_all(place.store, key)
    except NotFoundError:
        return None
    if hashlib.sha256(data).hexdigest() != document.sha256:
        raise IntegrityError(
            f"{place.store.location}: {key} is not what was written",
            hint="Do not follow what it says: somebody who can write to the store may have changed it.",
        )
    return data


def plain_chunks(place: Place, part: Part, keys: Keys) -> Iterator[bytes]:
    """Give what the dumping program printed; raise at the latest at the end unless every byte is as it was.

    Raise KeyFileError when the part is encrypted and no identity here opens it.
    """
    chunks = stored_chunks(place, part)
    where = f"{place.store.location}: {place.key(part.name)}"
    plain = Tally()
    try:
        if part.recipients:
            chunks = age.decrypt(chunks, keys.identities, header_sha256=part.header_sha256)
        if part.codec == "zstd":
            chunks = compress.decompress(chunks)
        yield from tally(chunks, plain)
    except KeyFileError as error:
        for _ in stored_chunks(place, part):  # a damaged header looks like somebody else's: the digest tells
            pass
        raise KeyFileError(f"{where}: {error.message}", hint=error.hint) from error
    except IntegrityError as error:
        if error.message.startswith(place.store.location):
            raise
        raise IntegrityError(f"{where}: {error.message}", hint=error.hint) from error
    if (plain.size, plain.sha256) != (part.size, part.sha256):
        raise IntegrityError(f"{where}: opens, but is not what was dumped")


def read_plain(place: Place, part: Part, keys: Keys, *, limit: int = 1024**3) -> bytes:
    """Read a part whole, for the small ones. Raise IntegrityError beyond `limit` bytes."""
    if part.size > limit:
        raise IntegrityError(f"{place.key(part.name)} is too large to be read at once ({part.size} bytes)")
    return b"".join(plain_chunks(place, part, keys))


def can_open(backup: Backup, keys: Keys) -> bool:
    """Whether this host may open the backup at all: it has an identity, or nothing is encrypted."""
    return bool(keys.identities) or not any(part.recipients for part in backup.parts)


def read_catalog(opened: Opened, keys: Keys) -> catalog_model.Catalog:
    """Read a backup's catalog. Raise IntegrityError when it is missing or malformed."""
    part = opened.backup.part("catalog")
    if part is None:
        raise IntegrityError(f"backup {opened.backup.id} has no catalog")
    data = read_plain(opened.place, part, keys)
    try:
        return codec.from_json(
            catalog_model.Catalog, json.loads(data.decode(errors="surrogateescape")), "catalog"
        )
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{opened.place.key(part.name)}: not a catalog: {error}") from error
