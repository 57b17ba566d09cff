"""Remembers which tables and columns the last backup of a database had, as digests, and tells what is gone since.

A writer cannot open the catalog of an earlier backup, and no name of a table is to lie on its disk in the clear.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.ledger.ledger import Ledger
from holdfast.ledger.rows import text
from holdfast.model.backup import Backup
from holdfast.model.event import Finding

_SALT = "schema_salt"
_DIGEST = 8  # bytes; of a hundred thousand names two share one once in four billion times
_COUNT = struct.Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The tables of a database, those that are not dumped too, and the columns of those that are. All by plain names."""

    fingerprint: str
    tables: frozenset[str]
    columns: Mapping[str, frozenset[str]] = field(default_factory=dict)


def record(ledger: Ledger, backup: Backup, found: Mapping[str, Names]) -> None:
    """Compare with what was known, and keep what is now. An older backup than the one that is known changes nothing."""
    key = _key(ledger)
    for database, names in found.items():
        tables = {_digest(key, table) for table in names.tables}
        columns = {
            (_digest(key, table), _digest(key, table, column))
            for table, held in names.columns.items()
            for column in held
        }
        known = ledger.read(
            'SELECT backup_id, names FROM schemas WHERE target = ? AND "database" = ?',
            [backup.target, text(database)],
        )
        if known and str(known[0]["backup_id"]) >= backup.id:
            continue
        before = known[0]["names"] if known else None
        gone_tables, gone_columns = _gone(before, tables, columns) if isinstance(before, bytes) else (0, 0)
        with ledger.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO schemas VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    backup.target,
                    text(database),
                    backup.id,
                    names.fingerprint,
                    gone_tables,
                    gone_columns,
                    _packed(tables, columns),
                ],
            )


def dropped(ledger: Ledger, target: str, backup_id: str) -> tuple[Finding, ...]:
    """What a backup, the newest, has not any more that the one before it had."""
    rows = ledger.read(
        'SELECT "database", dropped_tables, dropped_columns FROM schemas WHERE target = ? AND backup_id = ?'
        ' ORDER BY "database"',
        [target, backup_id],
    )
    return tuple(
        Finding(database=str(row["database"]), measure=f"dropped {what}", value=count, expected=0.0)
        for row in rows
        for what in ("tables", "columns")
        if (count := int(str(row[f"dropped_{what}"])))
    )


def _gone(before: bytes, tables: set[bytes], columns: set[tuple[bytes, bytes]]) -> tuple[int, int]:
    """Count the tables that are gone, and the columns that are gone of tables that are not."""
    old_tables, old_columns = _unpacked(before)
    dumped = {table for table, _ in columns}
    gone = {column for column in old_columns - columns if column[0] in dumped}
    return len(old_tables - tables), len(gone)


def _packed(tables: Iterable[bytes], columns: Iterable[tuple[bytes, bytes]]) -> bytes:
    held = sorted(tables)
    return _COUNT.pack(len(held)) + b"".join(held) + b"".join(a + b for a, b in sorted(columns))


def _unpacked(data: bytes) -> tuple[set[bytes], set[tuple[bytes, bytes]]]:
    (count,) = _COUNT.unpack_from(data)
    end = _COUNT.size + count * _DIGEST
    tables = {data[at : at + _DIGEST] for at in range(_COUNT.size, end, _DIGEST)}
    columns = {
        (data[at : at + _DIGEST], data[at + _DIGEST : at + 2 * _DIGEST])
        for at in range(end, len(data), 2 * _DIGEST)
    }
    return tables, columns


def _digest(key: bytes, *names: str) -> bytes:
    joined = "\0".join(names).encode("utf-8", "surrogateescape")
    return hashlib.blake2b(joined, key=key, digest_size=_DIGEST).digest()


def _key(ledger: Ledger) -> bytes:
    known = ledger.meta_get(_SALT)
    if known is None:
        known = secrets.token_hex(16)
        ledger.meta_set(_SALT, known)
    return bytes.fromhex(known)
