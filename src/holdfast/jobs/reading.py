"""Reads backups back out of a store, believing nothing that is not signed and nothing whose digest does not fit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from functools import partial

from holdfast.jobs.services import Keys
from holdfast.jobs.writing import Place, trusted_comment
from holdfast.model import catalog as catalog_model
from holdfast.model import codec, layout, manifest
from holdfast.model.backup import Backup, Part, Segment
from holdfast.model.errors import IntegrityError, KeyFileError, NotFoundError
from holdfast.postgres import blocks
from holdfast.stores.base import NoRangesError, read_all
from holdfast.streams import age, compress, seekable
from holdfast.streams.age_ranges import AgeRanges
from holdfast.streams.ahead import ahead
from holdfast.streams.chunks import Tally, tally
from holdfast.streams.sign import verify

_ANOTHER = "`holdfast repair` mends it from a store that has it whole; else take another copy or backup: see `holdfast list`."


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


def stored_chunks(place: Place, part: Part) -> Generator[bytes, None, None]:
    """Give a part's stored bytes, segments joined. Raise IntegrityError where one is missing or differs.

    Close it when it is given up: what failed further down may be kept for long, and with it all that it held.
    """
    for segment in part.segments:
        key = place.key(segment.name)
        read = Tally()
        try:
            yield from tally(place.store.get(key), read)
        except NotFoundError as error:
            raise IntegrityError(f"{place.store.location}: {key} is missing", hint=_ANOTHER) from error
        if (read.size, read.sha256) != (segment.size, segment.sha256):
            raise IntegrityError(
                f"{place.store.location}: {key} is not what was written:"
                f" {read.size} bytes, sha256 {read.sha256[:16]}…;"
                f" the manifest says {segment.size} bytes, {segment.sha256[:16]}…",
                hint=_ANOTHER,
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


def compressed_chunks(place: Place, part: Part, keys: Keys) -> Iterator[bytes]:
    """Give what was encrypted, compressed as it is. Errors as in `plain_chunks`.

    That it is what was dumped is known at the end by the stored bytes, and before by nothing.
    """
    with closing(stored_chunks(place, part)) as stored, _named(place, part):
        chunks: Iterator[bytes] = stored
        if part.recipients:
            chunks = age.decrypt(chunks, keys.identities, header_sha256=part.header_sha256)
        yield from chunks


def plain_chunks(
    place: Place, part: Part, keys: Keys, *, threads: bool = False
) -> Generator[bytes, None, None]:
    """Give what the dumping program printed; raise at the latest at the end unless every byte is as it was.

    With `threads` reading, decompressing and checking go on beside one another, for who would wait for it.
    Raise KeyFileError when the part is encrypted and no identity here opens it.
    """
    where = f"{place.store.location}: {place.key(part.name)}"
    plain = Tally()
    try:
        with ExitStack() as layers:
            chunks: Iterator[bytes] = layers.enter_context(closing(stored_chunks(place, part)))
            if part.recipients:
                chunks = age.decrypt(chunks, keys.identities, header_sha256=part.header_sha256)
            if part.codec == "zstd":
                chunks = compress.decompress(_beside(layers, chunks) if threads else chunks)
            yield from tally(_beside(layers, chunks) if threads else chunks, plain)
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


def _beside(layers: ExitStack, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Pull the chunks in a thread that has ended before what it pulls from is closed."""
    return layers.enter_context(closing(ahead(chunks)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranged:
    """A part of which pieces are read. `size` is what was dumped, in bytes.

    `blocks` tells at which byte the data of an entry of a pg_dump archive begins, by its dump id; of entries that are
    not in it nothing is known.
    """

    size: int
    blocks: Mapping[int, int]
    place: Place
    part: Part
    sealed: AgeRanges = field(repr=False)
    table: seekable.SeekTable = field(repr=False)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """Give what was dumped from byte `start` to byte `end`, pulling no more than what holds it.

        Every byte is as it was written: the header is the one that the manifest names, and only its key seals
        chunks. Raise IntegrityError where that is not so.
        """
        if not 0 <= start <= end <= self.size:
            raise ValueError(f"no bytes {start} to {end} among {self.size}")
        return self._read(start, end) if start < end else iter(())

    def _read(self, start: int, end: int) -> Iterator[bytes]:
        stored, plain = self.table.stored, self.table.plain
        frames = self.table.frames(start, end)
        sizes = (plain[frame + 1] - plain[frame] for frame in frames)
        at = plain[frames.start]
        with _named(self.place, self.part):
            sealed = self.sealed.read(stored[frames.start], stored[frames.stop])
            for piece in compress.decompress_frames(sealed, sizes):
                if chosen := piece[max(0, start - at) : max(0, end - at)]:
                    yield chosen
                at += len(piece)


def ranged(place: Place, part: Part, keys: Keys) -> Ranged | None:
    """Open a part to read pieces of it; None where that cannot be done, and it has to be read whole.

    It can be done when the part is encrypted and the manifest names its header (a piece of any other part would be
    believed without proof), has a seek table, and lies in a store that gives ranges. Errors as in `plain_chunks`.
    """
    if not part.recipients or part.header_sha256 is None or part.codec != "zstd":
        return None
    try:
        with _named(place, part):
            return _ranged(place, part, keys, part.header_sha256)
    except NoRangesError:
        return None


def _ranged(place: Place, part: Part, keys: Keys, header_sha256: str) -> Ranged | None:
    stored = partial(_stored_range, place, part)
    sealed = AgeRanges(stored, part.stored_size, keys.identities, header_sha256=header_sha256)

    def read(start: int, end: int) -> bytes:
        return b"".join(sealed.read(start, end))

    table = seekable.read_table(read, sealed.size)
    if table is None or table.size != part.size:
        return None
    note = seekable.read_note(read, table) if part.format == "custom" else None
    found = blocks.parse_note(note or b"")
    if any(start >= part.size for start in found.values()):
        raise IntegrityError("its note tells of data behind its end")
    return Ranged(size=part.size, blocks=found, place=place, part=part, sealed=sealed, table=table)


def _stored_range(place: Place, part: Part, start: int, end: int) -> Iterator[bytes]:
    """Give a part's stored bytes from `start` to `end`, segments joined."""
    at = 0
    for segment in part.segments:
        first, behind = max(0, start - at), min(segment.size, end - at)
        if first < behind:
            yield from _piece(place, segment, first, behind - first)
        at += segment.size


def _piece(place: Place, segment: Segment, start: int, length: int) -> Iterator[bytes]:
    key, given = place.key(segment.name), 0
    try:
        for chunk in place.store.get(key, start=start, length=length):
            given += len(chunk)
            yield chunk
    except NotFoundError as error:
        raise IntegrityError(f"{place.store.location}: {key} is missing", hint=_ANOTHER) from error
    if given != length:
        raise IntegrityError(
            f"{place.store.location}: {key} is shorter than what was written",
            hint=_ANOTHER,
        )


@contextmanager
def _named(place: Place, part: Part) -> Iterator[None]:
    """Let an error that does not say so tell in which store and part it was."""
    try:
        yield
    except (KeyFileError, IntegrityError) as error:
        if error.message.startswith(place.store.location):
            raise
        where = f"{place.store.location}: {place.key(part.name)}"
        raise type(error)(f"{where}: {error.message}", hint=error.hint) from error


def open_beginning(place: Place, part: Part, keys: Keys) -> None:
    """Open as little of an encrypted part as shows that an identity opens it: its header and its first chunk.

    Errors as in `plain_chunks`. Where no piece can be read it is read whole.
    """
    if part.header_sha256 is not None:
        try:
            with _named(place, part):
                stored = partial(_stored_range, place, part)
                sealed = AgeRanges(
                    stored, part.stored_size, keys.identities, header_sha256=part.header_sha256
                )
                for _ in sealed.read(0, min(sealed.size, age.CHUNK)):
                    pass
        except NoRangesError:
            pass
        else:
            return
    for _ in plain_chunks(place, part, keys):
        pass


def read_plain(place: Place, part: Part, keys: Keys, *, limit: int = 1024**3) -> bytes:
    """Read a part whole, for the small ones. Raise IntegrityError beyond `limit` bytes."""
    if part.size > limit:
        raise IntegrityError(f"{place.key(part.name)} is too large to be read at once ({part.size} bytes)")
    return b"".join(plain_chunks(place, part, keys))


def can_open(backup: Backup, keys: Keys) -> bool:
    """Whether this host may open the backup at all: it has an identity, or nothing is encrypted."""
    return bool(keys.identities) or not any(part.recipients for part in backup.parts)


def opens(keys: Keys, backup: Backup) -> bool:
    """Whether every part is in the clear, or encrypted to an identity that this host has."""
    own = {identity.recipient.text for identity in keys.identities}
    return all(not part.recipients or own & set(part.recipients) for part in backup.parts)


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
