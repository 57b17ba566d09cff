"""Marks: the small signed objects beside a manifest, which say what became known after the commit (docs/reference/format.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar

from holdfast.model import codec, layout
from holdfast.model.errors import IntegrityError
from holdfast.model.proof import Proof

VERSION = 1  # the newest format of marks: it did not change with that of backups
Kind = layout.MarkKind
T = TypeVar("T")
_ENVELOPE = ("backup_id", "target", "at")  # what a proof shares with every mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What all marks have in common. `content` is the JSON of the kind's own fields; `at` is when it was made, by whom `host` and `signer` tell."""

    format_version: int = VERSION
    kind: Kind
    backup_id: str
    target: str
    at: datetime
    host: str
    signer: str
    content: Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Keeps a backup, `until` a time or (None) for good. Of several the newest holds; one whose time is over lets go."""

    why: str
    until: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether the backup is still pinned."""
        return self.until is None or self.until > now


@dataclass(frozen=True, slots=True, kw_only=True)
class Ack:
    """Somebody looked at what was unusual about this backup, and about those of its target before it."""

    why: str
    by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tombstone:
    """Hides a backup in one store. `remove_after` is when its objects may go, `why` the verdict, `policy` what gave it."""

    store: str
    why: str
    remove_after: datetime
    policy: str = ""
    by: Literal["retention", "person"] = "retention"


_CONTENTS: Mapping[Kind, type] = {"pin": Pin, "ack": Ack, "tombstone": Tombstone}


def of_proof(proof: Proof) -> dict[str, codec.Json]:
    """The content of the mark that says a proof."""
    value = codec.to_json(proof)
    assert isinstance(value, dict)  # noqa: S101 - the JSON of a dataclass
    return {name: field for name, field in value.items() if name not in _ENVELOPE}


def proof(mark: Mark) -> Proof:
    """The proof that a mark says. Raise ValueError where it says none."""
    shared = {"backup_id": mark.backup_id, "target": mark.target, "at": codec.time_text(mark.at)}
    return codec.from_json(Proof, {**mark.content, **shared}, "proof")


def content(mark: Mark, kind: type[T]) -> T:
    """The content of a mark as a `Pin`, `Ack` or `Tombstone`. Raise ValueError where it is another."""
    return codec.from_json(kind, dict(mark.content), f"{mark.kind}.content")


def dump(mark: Mark) -> bytes:
    """Write a mark: UTF-8 JSON, keys in order, two spaces, one newline at the end."""
    text = json.dumps(codec.to_json(mark), indent=2, sort_keys=True, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def parse(data: bytes, *, where: str) -> Mark:
    """Read a mark. Raise IntegrityError, naming `where`, when it is malformed or of a later format."""
    try:
        value = json.loads(data)
        version = value.get("format_version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise IntegrityError(
                f"{where}: format version {version} is newer than this program knows ({VERSION})",
                hint="Use the Holdfast release that wrote it, or a later one.",
            )
        mark = codec.from_json(Mark, value, "mark")
        layout.check_target(mark.target)
        layout.check_backup_id(mark.backup_id)
        if mark.kind == "proof":
            proof(mark)
        else:
            content(mark, _CONTENTS[mark.kind])
    except (ValueError, RecursionError) as error:
        raise IntegrityError(f"{where}: not a mark: {error}") from error
    return mark
