"""What the ledger keeps of the marks beside the manifests: as they are stored, so that they can be put back, and read."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

from holdfast.ledger.ledger import Ledger
from holdfast.ledger.rows import Value
from holdfast.model import mark as marks
from holdfast.model.codec import time_text
from holdfast.model.layout import MarkKind
from holdfast.model.mark import Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A mark that lies in a store under this name. `document` and `signature` are the stored bytes."""

    store: str
    name: str
    mark: Mark
    document: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def record(ledger: Ledger, kept: Kept) -> None:
    """Keep a mark whose signature was checked; one of the same place and name is replaced."""
    values: list[Value] = [
        kept.mark.backup_id,
        kept.store,
        kept.name,
        kept.mark.target,
        kept.mark.kind,
        time_text(kept.mark.at),
        kept.document,
        kept.signature,
    ]
    with ledger.writing() as connection:
        connection.execute(
            "INSERT OR REPLACE INTO marks (backup_id, store, name, target, kind, at, document, signature)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            values,
        )


def forget(ledger: Ledger, backup_id: str, store: str, name: str) -> None:
    """Forget a mark; one that is not there is no error."""
    with ledger.writing() as connection:
        connection.execute(
            "DELETE FROM marks WHERE backup_id = ? AND store = ? AND name = ?", [backup_id, store, name]
        )


def of_backup(ledger: Ledger, backup_id: str, *kinds: MarkKind) -> list[Kept]:
    """The marks of a backup in all stores, of these kinds (default: all), the oldest first."""
    return _found(ledger, "backup_id", backup_id, kinds)


def of_target(ledger: Ledger, target: str, *kinds: MarkKind) -> dict[str, list[Kept]]:
    """The marks of all backups of a target by backup id, those of removed ones too, the oldest first."""
    found: dict[str, list[Kept]] = {}
    for kept in _found(ledger, "target", target, kinds):
        found.setdefault(kept.mark.backup_id, []).append(kept)
    return found


def names(ledger: Ledger, store: str) -> dict[tuple[str, str], set[str]]:
    """The names of all marks that are known to lie in a store, by target and backup id."""
    found: dict[tuple[str, str], set[str]] = {}
    for row in ledger.read("SELECT target, backup_id, name FROM marks WHERE store = ?", [store]):
        found.setdefault((str(row["target"]), str(row["backup_id"])), set()).add(str(row["name"]))
    return found


def _found(ledger: Ledger, column: str, value: str, kinds: Collection[MarkKind]) -> list[Kept]:
    narrowed = f" AND kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
    rows = ledger.read(
        f"SELECT * FROM marks WHERE {column} = ?{narrowed} ORDER BY at, name, store",  # noqa: S608 - names of our own
        [value, *kinds],
    )
    return [_kept(row) for row in rows]


def _kept(row: dict[str, object]) -> Kept:
    document, signature = row["document"], row["signature"]
    assert isinstance(document, bytes) and isinstance(signature, bytes)  # noqa: S101, PT018 - strict columns
    where = f"the ledger's copy of {row['name']} of {row['backup_id']}"
    return Kept(
        store=str(row["store"]),
        name=str(row["name"]),
        mark=marks.parse(document, where=where),
        document=document,
        signature=signature,
    )
