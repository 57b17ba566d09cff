"""Turns model values into the ledger's rows and back. Column names are the names of the fields."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeVar

from holdfast.model import codec, manifest
from holdfast.model.backup import Backup
from holdfast.model.catalog import Coverage
from holdfast.model.errors import LedgerError
from holdfast.model.kinship import Stored
from holdfast.model.proof import Level
from holdfast.model.run import Run

Value = None | int | str | bytes
Row = Mapping[str, object]
CopyState = Literal["copying", "complete", "missing", "damaged", "hidden"]
T = TypeVar("T")
GONE = "it was there, and the store holds no manifest of it any more"


@dataclass(frozen=True, slots=True, kw_only=True)
class Copy:
    """What is known of a backup in one store: its state since `at`, and why it is not complete.

    `covered` says what somebody deleted or wrote over there, whose versions lie beneath and are read.
    """

    store: str
    state: CopyState
    at: datetime
    error: str | None = None
    covered: str | None = None

    @property
    def gone(self) -> bool:
        """Whether it was whole once; other copies that are missing never came to be."""
        return self.state == "missing" and self.error == GONE

    @property
    def whole(self) -> bool:
        """Whether all of it is known to be there, hidden or not."""
        return self.state == "complete" or (self.state == "hidden" and self.error is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupRow:
    """A backup with what became known after its commit. `copies` are in the order of their stores' names.

    `manifest` and `signature` are the stored bytes. `coverage` is None where the catalog was never opened here;
    `proof_at` is the time of the proof that gave the level, None for `stored`. `let_go` are the stores that held it
    until a tombstone took it out of them on purpose, and `needed` is how many stores, `among` those of its target, have
    to have held it. `variants` are, by store, the manifests of copies that were encrypted anew.
    """

    backup: Backup
    coverage: Coverage | None
    proof: Level
    proof_at: datetime | None
    copies: tuple[Copy, ...]
    manifest: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    let_go: frozenset[str] = frozenset()
    needed: int = 1
    among: frozenset[str] | None = None
    variants: Mapping[str, Stored] = field(default_factory=dict, repr=False)

    def stored_in(self, store: str) -> Stored:
        """The manifest of its copy in a store, which differs where that was encrypted anew."""
        own = Stored(backup=self.backup, manifest=self.manifest, signature=self.signature)
        return self.variants.get(store, own)

    @property
    def whole(self) -> bool:
        """Whether at least one whole copy is known that no tombstone hides."""
        return any(copy.state == "complete" for copy in self.copies)

    @property
    def held(self) -> int:
        """How many of the target's stores hold it whole, or held it until retention took it out of them."""
        found = {copy.store for copy in self.copies if copy.whole} | self.let_go
        return len(found if self.among is None else found & self.among)

    @property
    def waiting(self) -> bool:
        """Whether more than one store has to hold it, and not as many do."""
        return 1 < self.needed > self.held

    @property
    def good(self) -> bool:
        """Whether it counts: it is whole, and in as many stores as it has to be."""
        return self.whole and not self.waiting

    @property
    def hidden(self) -> bool:
        """Whether a tombstone hides it wherever it still lies."""
        states = {copy.state for copy in self.copies}
        return "hidden" in states and states <= {"hidden", "missing"}


def text(value: str) -> str:
    """SQLite keeps UTF-8 only: write a stray byte of a name (a lone surrogate) as its escape."""
    return value.encode("utf-8", "backslashreplace").decode()


def run_values(run: Run) -> dict[str, Value]:
    """The columns of `runs` for a run; the id aside, which the ledger gives."""
    values = codec.to_json(run)
    assert isinstance(values, dict)  # noqa: S101 - the JSON of a dataclass
    return {name: _plain(value) for name, value in values.items() if name != "id"}


def run_of(row: Row) -> Run:
    """Read a row of `runs`."""
    return decoded(Run, dict(row), f"run {row['id']}")


def backup_values(backup: Backup) -> dict[str, Value]:
    """The columns of `backups` that repeat the manifest."""
    return {
        "id": backup.id,
        "target": backup.target,
        "slot": None if backup.slot is None else codec.time_text(backup.slot),
        "started_at": codec.time_text(backup.started_at),
        "finished_at": codec.time_text(backup.finished_at),
        "size": backup.size,
        "stored_size": backup.stored_size,
        "encrypted": int(backup.encrypted),
        "server_version": text(backup.server.version),
        "databases": json.dumps(backup.databases),
        "labels": json.dumps(backup.labels),
        "imported": int(backup.imported),
        "signer": text(backup.signer),
        "objects": _objects(backup),
    }


def _objects(backup: Backup) -> int:
    """How many objects of a store the backup is; the manifest and its signature are two of them."""
    return 2 + len(backup.documents) + sum(len(part.segments) for part in backup.parts)


def part_values(backup: Backup) -> list[dict[str, Value]]:
    """The rows of `parts`, numbered from 1 in the manifest's order."""
    return [
        {
            "backup_id": backup.id,
            "number": number,
            "name": text(part.name),
            "role": part.role,
            "format": part.format,
            "database": None if part.database is None else text(part.database),
            "size": part.size,
            "stored_size": part.stored_size,
            "sha256": text(part.sha256),
            "stored_sha256": text(part.stored_sha256),
            "codec": part.codec,
        }
        for number, part in enumerate(backup.parts, start=1)
    ]


def coverage_text(coverage: Coverage | None) -> str | None:
    """The column of `backups` that holds the coverage."""
    return None if coverage is None else json.dumps(codec.to_json(coverage))


def backup_of(
    row: Row,
    *,
    let_go: frozenset[str],
    needed: int,
    among: Collection[str] | None,
    variants: Mapping[str, Stored],
) -> BackupRow:
    """Read a row of `backups` with its copies as one JSON array. Raise LedgerError where it makes no sense."""
    where, stored = f"backup {row['id']}", stored_of(row, str(row["id"]))
    known = {
        "coverage": _json(row["coverage"], where),
        "proof": row["proof"],
        "proof_at": row["proof_at"],
        "copies": _json(row["copies"], where),
    }
    facts = decoded(_Facts, known, where)
    return BackupRow(
        backup=stored.backup,
        coverage=facts.coverage,
        proof=facts.proof,
        proof_at=facts.proof_at,
        copies=tuple(sorted(facts.copies, key=lambda copy: copy.store)),
        manifest=stored.manifest,
        signature=stored.signature,
        let_go=let_go,
        needed=needed,
        among=None if among is None else frozenset(among),
        variants=variants,
    )


def stored_of(row: Row, what: str) -> Stored:
    """Read the columns `manifest` and `signature`."""
    data, signature = row["manifest"], row["signature"]
    assert isinstance(data, bytes) and isinstance(signature, bytes)  # noqa: S101, PT018 - strict columns
    backup = manifest.parse(data, where=f"the ledger's copy of the manifest of {what}")
    return Stored(backup=backup, manifest=data, signature=signature)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Facts:
    """The part of a row that is not in the manifest."""

    coverage: Coverage | None
    proof: Level
    proof_at: datetime | None
    copies: tuple[Copy, ...]


def _plain(value: codec.Json) -> Value:
    assert not isinstance(value, float | list | dict)  # noqa: S101 - Run has no such fields
    return text(value) if isinstance(value, str) else value


def _json(value: object, where: str) -> object:
    if value is None:
        return None
    try:
        return json.loads(str(value))
    except ValueError as error:
        raise _unreadable(where, error) from error


def decoded(kind: type[T], value: object, where: str) -> T:
    """Build a value of the model from a row. Raise LedgerError where it makes no sense."""
    try:
        return codec.from_json(kind, value, where)
    except ValueError as error:
        raise _unreadable(where, error) from error


def _unreadable(where: str, error: ValueError) -> LedgerError:
    return LedgerError(
        f"the ledger holds something unreadable about {where}: {error}",
        hint="Use the Holdfast release that wrote it, or run `holdfast catalog rebuild`.",
    )
