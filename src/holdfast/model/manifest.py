"""The manifest: the JSON document whose presence makes a backup exist (docs/reference/format.md)."""

from __future__ import annotations

import json

from holdfast.model import codec, layout
from holdfast.model.backup import FORMAT_VERSION, Backup
from holdfast.model.errors import IntegrityError

MAX_SIZE = 2**63  # what a database or an object store can count


def dump(backup: Backup) -> bytes:
    """Write a backup as its manifest: UTF-8 JSON, keys in order, two spaces, one newline at the end."""
    text = json.dumps(codec.to_json(backup), indent=2, sort_keys=True, ensure_ascii=False)
    # A name from a server without an encoding may hold stray bytes; JSON can say them as an escape only.
    return text.encode("utf-8", "backslashreplace") + b"\n"


def parse(data: bytes, *, where: str) -> Backup:
    """Read a manifest. Raise IntegrityError, naming `where`, when it is malformed or of a later format."""
    try:
        value = json.loads(data)
        version = value.get("format_version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise IntegrityError(
                f"{where}: format version {version} is newer than this program knows ({FORMAT_VERSION})",
                hint="Use the Holdfast release that wrote it, or a later one.",
            )
        backup = codec.from_json(Backup, value, "manifest")
        _check(backup)
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where}: not a manifest: {error}") from error
    return backup


def _check(backup: Backup) -> None:
    layout.check_target(backup.target)
    layout.check_backup_id(backup.id)
    if backup.format_version < 1:
        raise ValueError(f"format version {backup.format_version} never existed")
    names: set[str] = set()
    for part in backup.parts:
        if not part.segments:
            raise ValueError(f"part {part.name!r} has no segments")
        for size in (part.size, part.stored_size, *(segment.size for segment in part.segments)):
            if not 0 <= size < MAX_SIZE:
                raise ValueError(f"part {part.name!r} has an impossible size: {size}")
    for segment in backup.objects:
        layout.check_object_name(segment.name)
        if segment.name in names:
            raise ValueError(f"object {segment.name!r} is named twice")
        names.add(segment.name)
