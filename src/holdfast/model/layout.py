"""Where things lie in a store: the only module that builds and parses keys and backup ids.

`<target>/<backup id>/<object name>`, relative to the store's own prefix; the files of buckets lie below `<target>/objects/`,
leases below `.holdfast-lease/<target>/`. An object's name is made of the letters,
digits, `.`, `_`, `-` and `=`, where `=XX` is a byte of a database name that is none of the safe ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, get_args

from holdfast.model.backup import Codec, PartFormat

MANIFEST = "manifest.json"
SIGNATURE_SUFFIX = ".minisig"
RESTORE_TEXT = "RESTORE.txt"
TOMBSTONE = "tombstone.json"
PROBE_PREFIX = ".holdfast-probe"
LOCK_PROBE_PREFIX = ".holdfast-lock-probe"
LEASE_PREFIX = ".holdfast-lease"
AHEAD = timedelta(
    days=1
)  # what is dated later than that is not true; less is a clock of another host, or this one's
MarkKind = Literal["pin", "proof", "ack", "tombstone"]
LeaseKind = Literal["retention", "copies", "backup", "objects"]
# A segment fits an object store's limit of 10,000 parts with parts of 8 MiB (78 GiB), of which two are in memory.
SEGMENT_BYTES = 64 * 1024**3

_TARGET = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_ID = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{4,16}")  # \d would take digits of every script
_OBJECT = re.compile(r"[A-Za-z0-9_=-][A-Za-z0-9._=-]{0,254}")
_CONTENT = re.compile(r"[0-9a-f]{32}")
_CONTENT_KEY = re.compile(r"[^/]+/objects/([0-9a-f]{2})/([0-9a-f]{30})(?:\.age)?")
_SNAPSHOT_KEY = re.compile(r"[^/]+/objects/([0-9]{8}T[0-9]{6}Z-[0-9a-f]{4,16})/([^/]+)")
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")
_NUMBERED_MARK = re.compile(r"(pin|proof|ack)-([0-9]{8}T[0-9]{6}Z)-[0-9a-f]{8}\.json")
_LEASE = re.compile(r"(retention|copies|backup|objects)-([0-9]{10,})\.json")
_DETAIL = re.compile(r"detail-([0-9]{8}T[0-9]{6}Z)-[0-9a-f]{8}\.json\.zst(\.age)?")
_EXTENSION: dict[PartFormat, str] = {"custom": "dump", "tar": "tar", "plain": "sql", "json": "json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """A parsed key: the object `name` of backup `backup_id` of `target`."""

    target: str
    backup_id: str
    name: str


def check_target(name: str) -> str:
    """Return the name if it may name a target; else raise ValueError."""
    if not _TARGET.fullmatch(name):
        raise ValueError(
            f"{name!r} cannot name a target: use 1 to 63 of a-z, 0-9, - and _, beginning with a letter or digit"
        )
    return name


def check_backup_id(backup_id: str) -> str:
    """Return the id if it is one; else raise ValueError."""
    if not _ID.fullmatch(backup_id):
        raise ValueError(f"{backup_id!r} is not a backup id")
    backup_time(backup_id)
    return backup_id


def check_object_name(name: str) -> str:
    """Return the name if an object in a backup's folder may have it; else raise ValueError."""
    if not _OBJECT.fullmatch(name):
        raise ValueError(f"{name!r} cannot name an object of a backup")
    return name


def new_backup_id(now: datetime, token: str) -> str:
    """Make an id that sorts by time, to the 65536th of a second. `token` is up to 12 random hexadecimal digits."""
    fraction = now.microsecond * 65536 // 1_000_000
    return check_backup_id(f"{now.astimezone(UTC):%Y%m%dT%H%M%SZ}-{fraction:04x}{token}")


def first_ahead(now: datetime) -> str:
    """The least id of a backup whose date cannot be true: it lies further ahead than clocks of hosts differ."""
    return f"{now.astimezone(UTC) + AHEAD:%Y%m%dT%H%M%SZ}"


def backup_time(backup_id: str) -> datetime:
    """The time in an id, in UTC."""
    return datetime.strptime(backup_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def target_prefix(target: str) -> str:
    """The prefix of all keys of a target."""
    return f"{check_target(target)}/"


def backup_prefix(target: str, backup_id: str) -> str:
    """The prefix of all keys of a backup."""
    return f"{target_prefix(target)}{check_backup_id(backup_id)}/"


def key(target: str, backup_id: str, name: str) -> str:
    """The key of an object of a backup."""
    return backup_prefix(target, backup_id) + check_object_name(name)


def parse_key(text: str) -> Location | None:
    """Read a key; None when it is not of this layout."""
    pieces = text.split("/")
    if len(pieces) != 3:  # noqa: PLR2004 - target, id, name
        return None
    try:
        return Location(
            target=check_target(pieces[0]),
            backup_id=check_backup_id(pieces[1]),
            name=check_object_name(pieces[2]),
        )
    except ValueError:
        return None


def objects_prefix(target: str) -> str:
    """The prefix of all that is kept of the files of a target's buckets."""
    return f"{target_prefix(target)}objects/"


def check_content_id(content_id: str) -> str:
    """Return the id if it is one of a file's content; else raise ValueError."""
    if not _CONTENT.fullmatch(content_id):
        raise ValueError(f"{content_id!r} is not the id of a content")
    return content_id


def content_key(target: str, content_id: str, *, encrypted: bool) -> str:
    """The key of a file's content; folders of a file system do not get too large by it."""
    check_content_id(content_id)
    return f"{objects_prefix(target)}{content_id[:2]}/{content_id[2:]}{'.age' if encrypted else ''}"


def parse_content_key(text: str) -> str | None:
    """The id of the content that lies at a key; None for every other key."""
    match = _CONTENT_KEY.fullmatch(text)
    return match[1] + match[2] if match is not None else None


def snapshot_key(target: str, snapshot_id: str, name: str) -> str:
    """The key of an object of a snapshot of the buckets' files."""
    return f"{objects_prefix(target)}{check_backup_id(snapshot_id)}/{check_object_name(name)}"


def parse_snapshot_key(text: str) -> tuple[str, str] | None:
    """The snapshot's id and the object's name of such a key; None for every other key."""
    match = _SNAPSHOT_KEY.fullmatch(text)
    return (match[1], match[2]) if match is not None else None


def part_name(stem: str, part_format: PartFormat, codec: Codec, *, encrypted: bool) -> str:
    """The object name of a part: `app.dump.zst.age`. `stem` is any text, such as a database's name."""
    pieces = [encode(stem), _EXTENSION[part_format]]
    if codec == "zstd":
        pieces.append("zst")
    if encrypted:
        pieces.append("age")
    return check_object_name(".".join(pieces))


def segment_name(part: str, number: int, *, numbered: bool) -> str:
    """The object name of a part's segment, counted from 1. Only the first of a small part carries no number."""
    return part if number == 1 and not numbered else f"{part}.{number:04d}"


def signature_name(name: str) -> str:
    """The name of the signature that lies beside an object."""
    return name + SIGNATURE_SUFFIX


def mark_name(kind: MarkKind, at: datetime, token: str) -> str:
    """The object name of a mark; those of a kind sort by time. `token` is 8 random hexadecimal digits."""
    if kind == "tombstone":
        return TOMBSTONE
    name = f"{kind}-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{token}.json"
    if mark_kind(name) != kind:
        raise ValueError(f"{name!r} cannot name a mark")
    return name


def mark_kind(name: str) -> MarkKind | None:
    """The kind of mark that an object's name tells; None for every other object."""
    if name == TOMBSTONE:
        return "tombstone"
    match = _NUMBERED_MARK.fullmatch(name)
    return next((kind for kind in get_args(MarkKind) if match is not None and match[1] == kind), None)


def detail_name(at: datetime, token: str, *, encrypted: bool) -> str:
    """The object name of the detail of a restore test, which its proof names. `token` is 8 random hexadecimal digits."""
    name = f"detail-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}-{token}.json.zst{'.age' if encrypted else ''}"
    if not is_detail(name):
        raise ValueError(f"{name!r} cannot name a detail")
    return name


def is_detail(name: str) -> bool:
    """Whether an object is the detail of a restore test."""
    return _DETAIL.fullmatch(name) is not None


def lease_prefix(target: str, kind: LeaseKind) -> str:
    """The prefix of all generations of a lease."""
    return f"{LEASE_PREFIX}/{check_target(target)}/{kind}-"


def lease_key(target: str, kind: LeaseKind, generation: int) -> str:
    """The key of one generation of a lease, counted from 1."""
    if generation < 1:
        raise ValueError(f"{generation} is no generation of a lease")
    return f"{lease_prefix(target, kind)}{generation:010d}.json"


def lease_generation(text: str) -> int | None:
    """The generation in a lease's key; None for every other key."""
    match = _LEASE.fullmatch(text.rpartition("/")[2])
    return int(match[2]) if match is not None and text.startswith(f"{LEASE_PREFIX}/") else None


def encode(text: str) -> str:
    """Write any text with the safe characters only: each other byte of its UTF-8 becomes `=XX`."""
    raw = text.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if byte in _SAFE else f"={byte:02X}" for byte in raw)


def decode(text: str) -> str:
    """Read what `encode` wrote. Raise ValueError for anything else."""
    raw = re.sub(rb"=([0-9A-F]{2})", lambda match: bytes([int(match[1], 16)]), text.encode())
    decoded = raw.decode("utf-8", "surrogateescape")
    if encode(decoded) != text:
        raise ValueError(f"{text!r} is not an encoded name")
    return decoded
