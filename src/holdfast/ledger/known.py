"""Reads backups out of the ledger, with all that its tables know of each."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from holdfast.ledger import rows
from holdfast.ledger.rows import BackupRow, Value
from holdfast.model.kinship import Stored

_BACKUPS = """
    SELECT id, target, manifest, signature, coverage, proof, proof_at, (
        SELECT json_group_array(json_object('store', store, 'state', state, 'at', at, 'error', error, 'covered', covered))
        FROM copies WHERE backup_id = backups.id
    ) AS copies
    FROM backups
"""


class Source(Protocol):
    """What is read: a ledger."""

    needed: Mapping[str, int]
    among: Mapping[str, Collection[str]]

    def read(self, query: str, values: list[Value]) -> list[dict[str, object]]:
        """The rows that a query finds."""
        ...


def backups(ledger: Source, where: str, values: list[Value]) -> list[BackupRow]:
    """Give the backups that fit, newest first. Who let one go matters only where it has to be in several stores."""
    found = ledger.read(f"{_BACKUPS} {where} ORDER BY id DESC", values)
    variants = _variants(ledger, where, values) if found else {}
    let_go = _let_go(ledger, {str(row["target"]) for row in found} & ledger.needed.keys())
    return [
        rows.backup_of(
            row,
            let_go=frozenset(let_go.get(str(row["id"]), ())),
            needed=ledger.needed.get(str(row["target"]), 1),
            among=ledger.among.get(str(row["target"])),
            variants=variants.get(str(row["id"]), {}),
        )
        for row in found
    ]


def _let_go(ledger: Source, targets: Iterable[str]) -> dict[str, set[str]]:
    """By backup, the stores whose tombstone says that it was taken out of them on purpose."""
    query = "SELECT backup_id, store FROM marks WHERE target = ? AND kind = 'tombstone'"
    found: dict[str, set[str]] = {}
    for target in targets:
        for row in ledger.read(query, [target]):
            found.setdefault(str(row["backup_id"]), set()).add(str(row["store"]))
    return found


def _variants(ledger: Source, where: str, values: list[Value]) -> dict[str, dict[str, Stored]]:
    """By backup and store, the manifests that are not the backup's own."""
    of = f"SELECT id FROM backups {where}"  # noqa: S608 - our own text
    query = f"SELECT backup_id, store, manifest, signature FROM variants WHERE backup_id IN ({of})"  # noqa: S608 - our own text
    found: dict[str, dict[str, Stored]] = {}
    for row in ledger.read(query, values):
        backup_id, store = str(row["backup_id"]), str(row["store"])
        found.setdefault(backup_id, {})[store] = rows.stored_of(row, f"{backup_id} in {store}")
    return found
