"""Writes parts and the commit of a backup into a store, and takes back what was not committed."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from holdfast.jobs.services import Services
from holdfast.methods.base import Source
from holdfast.model import layout, manifest
from holdfast.model.backup import Backup, Codec, Part, Segment
from holdfast.model.errors import Error, IntegrityError, StoreError
from holdfast.model.target import Compression
from holdfast.stores.base import ExistsError, RefusedError, Store, housekeeping
from holdfast.stores.versioned import versioned
from holdfast.streams import age, compress
from holdfast.streams.age_keys import Recipient
from holdfast.streams.chunks import Checksum, Tally, counted, split, tally
from holdfast.streams.sign import SigningKey, sign

_STALE_UPLOAD = timedelta(days=1)


def _no_pulse() -> None:
    """Take no notice."""


class Folder(Protocol):
    """Where objects lie together in a store; `pulse` is called while what was written there is read back."""

    @property
    def store(self) -> Store:
        """The store."""
        ...

    @property
    def pulse(self) -> Callable[[], None]:
        """What is called meanwhile."""
        ...

    def key(self, name: str) -> str:
        """The key of the object of that name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """The folder of one backup in one store. `pulse` is called while what was written there is read back."""

    store: Store
    target: str
    backup_id: str
    pulse: Callable[[], None] = field(default=_no_pulse, repr=False, compare=False)

    def key(self, name: str) -> str:
        """The key of an object of the backup."""
        return layout.key(self.target, self.backup_id, name)

    @property
    def prefix(self) -> str:
        """The prefix of all its keys."""
        return layout.backup_prefix(self.target, self.backup_id)


def write_part(
    place: Place,
    source: Source,
    *,
    recipients: tuple[Recipient, ...],
    compression: Compression,
    on_bytes: Callable[[int], None],
) -> Part:
    """Compress, encrypt and store one source, and read it back; give the part as the manifest tells of it."""
    plain = Tally()
    chunks = tally(counted(source.chunks, on_bytes), plain)
    part_codec: Codec = "zstd" if source.compressible and compression.kind != "none" else "none"
    if part_codec == "zstd":
        threads = (
            compress.spare_threads(os.cpu_count()) if compression.threads is None else compression.threads
        )
        chunks = compress.compress(chunks, level=compression.level, threads=threads, note=source.note)
    header = Tally()
    if recipients:
        chunks = _first_tallied(age.encrypt(chunks, recipients), header)
    name = layout.part_name(source.stem, source.format, part_codec, encrypted=bool(recipients))
    numbered = source.size_hint > layout.SEGMENT_BYTES
    segments, stored = _write_segments(place, name, chunks, numbered=numbered)
    return Part(
        name=name,
        role=source.role,
        format=source.format,
        database=source.database,
        segments=segments,
        size=plain.size,
        sha256=plain.sha256,
        stored_size=stored.size,
        stored_sha256=stored.sha256,
        codec=part_codec,
        recipients=tuple(recipient.text for recipient in recipients),
        header_sha256=header.sha256 if recipients else None,
    )


def write_resealed(
    place: Place, part: Part, chunks: Iterator[bytes], recipients: tuple[Recipient, ...]
) -> Part:
    """Encrypt to others what a part of another store holds, compressed as it is, and store it; give it as it lies there."""
    header = Tally()
    name = part.name if part.recipients else f"{part.name}.age"
    sealed = _first_tallied(age.encrypt(chunks, recipients), header)
    segments, stored = _write_segments(place, name, sealed, numbered=part.segments[0].name != part.name)
    return dataclasses.replace(
        part,
        name=name,
        segments=segments,
        stored_size=stored.size,
        stored_sha256=stored.sha256,
        recipients=tuple(recipient.text for recipient in recipients),
        header_sha256=header.sha256,
    )


def _first_tallied(chunks: Iterator[bytes], into: Tally) -> Iterator[bytes]:
    """Pass the chunks on unchanged, and count the first alone."""
    for chunk in chunks:
        if not into.size:
            into.add(chunk)
        yield chunk


def _write_segments(
    place: Place, name: str, chunks: Iterator[bytes], *, numbered: bool
) -> tuple[tuple[Segment, ...], Tally]:
    """Store a stream in pieces that any store can hold. The whole's tally doubles as the first segment's."""
    whole = Tally()
    segments: list[Segment] = []
    for number, piece in enumerate(split(chunks, layout.SEGMENT_BYTES), start=1):
        own = whole if number == 1 else Tally()
        passing = tally(piece, whole)
        segment = layout.segment_name(name, number, numbered=numbered)
        put_checked(place, segment, passing if number == 1 else tally(passing, own), own)
        segments.append(Segment(name=segment, size=own.size, sha256=own.sha256))
    return tuple(segments), whole


def put_checked(place: Folder, name: str, chunks: Iterator[bytes], written: Tally) -> None:
    """Store an object under a new key and make sure that it lies there as written (`written` tallies `chunks`)."""
    key, store = place.key(name), place.store
    sent = Checksum()
    try:
        vouched = store.put(key, tally(chunks, sent), absent=True)
    except ExistsError:  # our own put may have landed though its answer was lost: the content tells
        vouched = False
    found = store.stat(key)
    if found is None or found.size != written.size:
        size = "nothing" if found is None else f"{found.size} bytes"
        raise StoreError(f"{store.location}: {key}: {written.size} bytes were written, {size} is there")
    if not vouched and not _reads_back(place, key, sent, written):
        raise IntegrityError(
            f"{store.location}: {key} reads back differently from what was written",
            hint="The store or the way to it damages data: check its disks, memory and network.",
        )


def _reads_back(place: Folder, key: str, sent: Checksum, written: Tally) -> bool:
    """Whether an object is what was sent, or where it was there already and none of it was sent, what was meant."""
    if sent.size == written.size:
        again = Checksum()
        _read(place, key, again)
        return again.value == sent.value
    whole = Tally()
    _read(place, key, whole)
    return whole.sha256 == written.sha256


def _read(place: Folder, key: str, into: Tally | Checksum) -> None:
    for _ in tally(place.store.get(key), into):
        place.pulse()


def put_bytes(place: Folder, name: str, data: bytes) -> Segment:
    """Store a small object, checked; give it as the manifest tells of it. The same one may lie there already."""
    written = Tally()
    written.add(data)  # before the put: one that finds the key taken asks for no byte
    put_checked(place, name, iter([data]), written)
    return Segment(name=name, size=written.size, sha256=written.sha256)


def put_signed(place: Place, name: str, data: bytes, key: SigningKey) -> bytes:
    """Store a small object after its signature, so that it is never seen without; return the signature."""
    signature = sign(data, key, trusted_comment=trusted_comment(place.target, place.backup_id, name))
    put_bytes(place, layout.signature_name(name), signature)
    put_bytes(place, name, data)
    return signature


def trusted_comment(target: str, backup_id: str, name: str) -> str:
    """What the signature binds an object to, besides its bytes: its place."""
    return f"holdfast {target}/{backup_id}/{name}"


def commit(services: Services, place: Place, backup: Backup) -> tuple[bytes, bytes]:
    """Write what makes the backup exist; the manifest comes last. Return the manifest and its signature."""
    services.stage("manifest")
    check_there(place, backup.objects)
    data = manifest.dump(backup)
    signature = put_signed(place, layout.MANIFEST, data, services.keys.signer())
    services.stage("committed")
    return data, signature


def check_there(place: Place, segments: Iterable[Segment]) -> None:
    """Make sure that objects still lie there: a filesystem that was unmounted meanwhile leaves an empty folder.

    And that none lies over another, in a store that keeps versions: with a manifest the older one would count.
    """
    store = versioned(place.store)
    beneath = {} if store is None else store.beneath(place.prefix)
    for segment in segments:
        found = place.store.stat(place.key(segment.name))
        if found is None or found.size != segment.size:
            raise StoreError(
                f"{place.store.location}: {place.key(segment.name)} was stored, but is no longer there",
                hint="Somebody removed it, or the filesystem is not mounted any more.",
            )
        older = beneath.get(place.key(segment.name))
        if older is not None and not _is_same(older, segment):
            raise _beneath(place, segment.name)


def check_free(place: Place) -> None:
    """Make sure that nothing is left of an earlier try that wrote other bytes. Raise IntegrityError where we could not remove it."""
    store = versioned(place.store)
    for key in () if store is None else store.beneath(place.prefix):
        with contextlib.suppress(RefusedError):
            place.store.delete(key)
    beneath = {} if store is None else store.beneath(place.prefix)
    for key in (*(found.key for found in place.store.list(place.prefix)), *beneath):
        where = layout.parse_key(key)
        if where is not None and layout.mark_kind(where.name.removesuffix(layout.SIGNATURE_SUFFIX)) is None:
            raise _beneath(place, where.name)


def _is_same(older: Iterator[bytes], segment: Segment) -> bool:
    read = Tally()
    for _ in tally(older, read):
        pass
    return (read.size, read.sha256) == (segment.size, segment.sha256)


def _beneath(place: Place, name: str) -> IntegrityError:
    return IntegrityError(
        f"{place.store.location}: {place.key(name)}: an earlier try left another one, which these credentials may not remove,"
        " and which would be read in the place of a new one",
        hint="Make the copy with credentials that may delete there, versions too.",
    )


def discard(services: Services, place: Place) -> None:
    """Remove all objects of a backup that was not committed; the manifest first, if one lies there.

    What a tombstone accounts for is left alone: it was a backup. Trouble is a warning: the failure that led here
    matters more, and the next run sweeps again. That a mere writer may not delete is none: whoever prunes removes it.
    """
    told = {"store": place.store.name, "backup": place.backup_id}
    try:
        if place.store.stat(place.key(layout.TOMBSTONE)) is not None:
            return
        abort_uploads(services, place)
        _remove_all(place)
    except RefusedError as refused:
        services.reporter.info(
            "the objects of a failed backup are left for who prunes", **told, why=str(refused)
        )
    except Error as trouble:
        services.reporter.warn("could not remove the objects of a failed backup", **told, error=str(trouble))


def _remove_all(place: Place) -> None:
    for name in (layout.MANIFEST, layout.signature_name(layout.MANIFEST)):
        place.store.delete(place.key(name))
    for found in list(place.store.list(place.prefix)):
        place.store.delete(found.key)


def abort_uploads(services: Services, place: Place) -> None:
    """Abort all half-written uploads of a backup; the caller knows that none of them goes on."""
    if (keeper := housekeeping(place.store)) is not None:
        keeper.abort_stale(place.prefix, services.clock.now() + _STALE_UPLOAD)


def abort_stale_uploads(services: Services, store: Store, target: str) -> None:
    """Abort half-written uploads of a target that are older than a day."""
    keeper = housekeeping(store)
    if keeper is None:
        return
    try:
        count = keeper.abort_stale(layout.target_prefix(target), services.clock.now() - _STALE_UPLOAD)
    except Error as trouble:
        services.reporter.warn("could not look for stale uploads", store=store.name, error=str(trouble))
        return
    if count:
        services.reporter.info("removed stale uploads", store=store.name, count=count)
