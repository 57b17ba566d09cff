"""The files of a project's buckets: how they are listed, how their contents are named in a store, and what a snapshot of them is."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.model import codec, layout
from holdfast.model.backup import Segment
from holdfast.model.errors import IntegrityError

SNAPSHOT_VERSION = 1
_ID_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file as its bucket lists it. `etag` changes when the content does."""

    bucket: str
    name: str
    size: int
    etag: str
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """What a bucket keeps of a file besides its bytes."""

    content_type: str | None = None
    cache_control: str | None = None
    content_disposition: str | None = None
    content_encoding: str | None = None
    content_language: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Content:
    """A stored content: its size and SHA-256 as it lies in the store."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A line of a snapshot's list: a file, and the id of its content."""

    bucket: str
    name: str
    size: int
    etag: str
    modified_at: datetime
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """All files of all buckets at one time: what its manifest says. `size` is of the files, `stored_size` of their contents.

    The `list` of the files is encrypted to the `recipients` (none: in the clear); the `index` has the ids, sizes and digests
    of the contents alone, for those who have to know what is needed and cannot open the list.
    """

    snapshot_version: int
    target: str
    id: str
    started_at: datetime
    finished_at: datetime
    host: str
    signer: str
    buckets: int
    files: int
    size: int
    stored_size: int
    recipients: tuple[str, ...]
    list: Segment
    index: Segment


def content_id(secret: bytes, file: File, number: int = 0) -> str:
    """The id of a file's content: 32 hexadecimal digits. Nobody without the secret can tell which file it is.

    The `number` gives others, where something lies under the first already.
    """
    version = file.etag or codec.time_text(file.modified_at)
    told = json.dumps([file.bucket, file.name, version, file.size, number]).encode()
    return hashlib.blake2b(told, key=secret, digest_size=_ID_BYTES).hexdigest()


def secret_of(seed: bytes, target: str) -> bytes:
    """The secret by which contents of a target are named, made from a host's signing key."""
    return hashlib.blake2b(target.encode(), key=seed, person=b"holdfast objects").digest()


def dump(snapshot: Snapshot) -> bytes:
    """Write a snapshot as its manifest."""
    return json.dumps(codec.to_json(snapshot), indent=2, sort_keys=True).encode() + b"\n"


def parse(data: bytes, *, where: str) -> Snapshot:
    """Read a manifest. Raise IntegrityError, naming `where`, when it is malformed or of a later version."""
    try:
        value = json.loads(data)
        version = value.get("snapshot_version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > SNAPSHOT_VERSION:
            raise IntegrityError(
                f"{where}: version {version} is newer than this program knows ({SNAPSHOT_VERSION})",
                hint="Use the Holdfast release that wrote it, or a later one.",
            )
        found = codec.from_json(Snapshot, value, "snapshot")
        layout.check_backup_id(found.id)
        layout.check_object_name(found.list.name)
        layout.check_object_name(found.index.name)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where}: not a snapshot's manifest: {error}") from error
    return found


def entry_line(entry: Entry) -> bytes:
    """Write a line of the list."""
    return json.dumps(codec.to_json(entry)).encode() + b"\n"


def parse_entry(line: bytes) -> Entry:
    """Read a line of the list. Raise ValueError when it is none."""
    entry = codec.from_json(Entry, _json(line), "entry")
    layout.check_content_id(entry.content)
    return entry


def index_line(content_id: str, content: Content) -> bytes:
    """Write a line of the index, or of the journal of what was stored so far."""
    return f"{content_id} {content.size} {content.sha256}\n".encode()


def parse_index_line(line: bytes) -> tuple[str, Content]:
    """Read a line of the index. Raise ValueError when it is none."""
    content_id, size, sha256 = line.decode("ascii").split()
    if len(sha256) != hashlib.sha256().digest_size * 2:
        raise ValueError("a digest was expected")
    return layout.check_content_id(content_id), Content(int(size), sha256)


def head_of(properties: Properties) -> bytes:
    """Write the line that stands before a file's bytes in its content."""
    return json.dumps(codec.to_json(properties)).encode() + b"\n"


def parse_head(line: bytes) -> Properties:
    """Read the line that stands before a file's bytes. Raise ValueError when it is none."""
    return codec.from_json(Properties, _json(line), "properties")


def _json(line: bytes) -> object:
    try:
        return json.loads(line)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def needed(snapshots: Iterable[str], backups: Collection[str]) -> frozenset[str]:
    """Which snapshots are kept: the newest, and of each backup that is there the last before and the first after it."""
    ordered = sorted(snapshots)
    kept = set(ordered[-1:])
    for backup in backups:
        at = bisect_left(ordered, backup)
        kept.update(ordered[max(at - 1, 0) : at + 1])
    return frozenset(kept)
