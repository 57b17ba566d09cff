"""What a backup is: the set of parts of a target at one time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

FORMAT_VERSION = 3  # the newest that this program reads and writes

Role = Literal["globals", "database", "catalog", "settings"]
PartFormat = Literal["plain", "custom", "tar", "json"]
Codec = Literal["none", "zstd"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One stored object. `name` is relative to the backup's folder; sizes and digests are of the stored bytes."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One piece of a backup, stored as one or more segments that are joined in order.

    `size` and `sha256` are of what the dumping program printed; `stored_size` and `stored_sha256` of the joined
    segments, after compression (`codec`) and encryption (to `recipients`; none means not encrypted).
    `header_sha256` is the digest of the age file's header with its nonce: whoever knows the recipients can make an
    age file that opens, but not one with this header, so every chunk behind it is known to be ours before it is used.
    """

    name: str
    role: Role
    format: PartFormat
    database: str | None
    segments: tuple[Segment, ...]
    size: int
    stored_size: int
    sha256: str
    stored_sha256: str
    codec: Codec
    recipients: tuple[str, ...]
    header_sha256: str | None = None


def format_version(parts: Iterable[Part]) -> int:
    """The oldest version of the format that has such parts, so that older programs read what they can.

    Version 2 came with databases that are no custom archive: version 1 would hand them to pg_restore as one. Version 3 came
    with the settings of a project on a platform: what comes before knows no such role.
    """
    held = tuple(parts)
    if any(part.role == "settings" for part in held):
        return 3
    return 2 if any(part.role == "database" and part.format != "custom" for part in held) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """The server that was backed up. `version_num` is PostgreSQL's own (150018)."""

    version: str
    version_num: int
    system_identifier: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What a copy that was encrypted anew was made from: the first manifest, by its digest and its signer; when, and where."""

    manifest_sha256: str
    signer: str
    at: datetime
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """A committed backup: what its manifest says. Times are aware, in UTC; `slot` is the scheduled time, if any.

    `documents` are the texts beside the parts, such as RESTORE.txt. Only a copy that was encrypted anew has an `origin`.
    `parent` and `wal` are kept for methods to come: they are None so far.
    """

    id: str
    format_version: int
    target: str
    slot: datetime | None
    method: str
    started_at: datetime
    finished_at: datetime
    server: Server
    tools: Mapping[str, str]
    parts: tuple[Part, ...]
    databases: tuple[str, ...]
    signer: str
    documents: tuple[Segment, ...] = ()
    host: str = ""
    parent: str | None = None
    wal: str | None = None
    labels: tuple[str, ...] = ()
    imported: bool = False
    origin: Origin | None = None

    @property
    def size(self) -> int:
        """Bytes that the dumping programs printed."""
        return sum(part.size for part in self.parts)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.finished_at - self.started_at).total_seconds()

    @property
    def stored_size(self) -> int:
        """Bytes in the store, the manifest and its companions aside."""
        return sum(part.stored_size for part in self.parts)

    @property
    def objects(self) -> tuple[Segment, ...]:
        """Every object that the manifest answers for."""
        return tuple(segment for part in self.parts for segment in part.segments) + self.documents

    @property
    def encrypted(self) -> bool:
        """Whether every part is encrypted."""
        return all(part.recipients for part in self.parts)

    def part(self, role: Role, database: str | None = None) -> Part | None:
        """Find the part of that role (and database), or None."""
        return next((p for p in self.parts if p.role == role and p.database == database), None)
