"""Compares rows again in the archive's order of columns, where tables that inherit came back in another.

pg_dump has no way to keep it (pg_dump.c, dumpTableSchema): inherited columns come first, whenever they were added.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace

from holdfast.methods.identity_dump import Look
from holdfast.methods.identity_reading import Both
from holdfast.methods.subject import Subject, session
from holdfast.postgres.column_order import inheriting, pin_as_dump, read_rows
from holdfast.postgres.data_digest import Rows
from holdfast.postgres.relation_names import Name, shown
from holdfast.postgres.sessions import cancel
from holdfast.system.stop import Stop

_COLUMN = re.compile(rb'"(?:[^"]|"")*"|[^\s",()]+')


@dataclass(frozen=True, slots=True, kw_only=True)
class Reordered:
    """What both sides are with the columns in one order, and a note of each table where they were not."""

    both: Both
    notes: tuple[str, ...] = ()


def reorder(subject: Subject, look: Look, both: Both, stop: Stop) -> Reordered:
    """Read the restored rows of such tables once more. Raise SourceError.

    That is no way to pass: only the same columns in another order are put in order, and every value is compared.
    """
    shuffled = _shuffled(both)
    if not shuffled:
        return Reordered(both=both)
    again: dict[Name, Rows] = {}
    with session(subject.where) as connection, stop.calling(lambda: cancel(connection)):
        names = sorted(shuffled.keys() & inheriting(connection))
        pin_as_dump(connection, zone=look.zone, encoding=look.encoding)
        for name in names:
            stop.check()
            again[name] = read_rows(connection, name, shuffled[name], look.codec)
    return Reordered(
        both=replace(both, restored=replace(both.restored, tables={**both.restored.tables, **again})),
        notes=tuple(
            f"{shown(*name)} came back with its columns in another order: pg_dump puts inherited ones first"
            for name in again
        ),
    )


def _shuffled(both: Both) -> dict[Name, bytes]:
    """Give the tables that have the same columns in another order, with the archive's list of them."""
    found = {}
    for name in both.archived.tables.keys() & both.restored.tables.keys():
        ours, theirs = _only(both.archived.tables[name].columns), _only(both.restored.tables[name].columns)
        if ours and theirs and ours != theirs and set(_COLUMN.findall(ours)) == set(_COLUMN.findall(theirs)):
            found[name] = ours
    return found


def _only(lists: Collection[bytes]) -> bytes | None:
    return next(iter(lists)) if len(lists) == 1 else None
