"""Compares rows again with their columns in one order, where tables or partitions have them in several.

pg_dump has no way to keep the order of a table that inherits (pg_dump.c, dumpTableSchema): inherited columns come first,
whenever they were added. And a row whose partition is chosen by the hash of an enum may come back in another partition, which
may have the columns in another order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace

from holdfast.methods.identity_dump import Look
from holdfast.methods.identity_reading import Both, read_both
from holdfast.methods.subject import Subject, session
from holdfast.postgres.column_lists import named
from holdfast.postgres.column_order import inheriting, pin_as_dump, read_rows
from holdfast.postgres.data_digest import Rows
from holdfast.postgres.relation_names import Name, shown
from holdfast.postgres.sessions import cancel
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Reordered:
    """What both sides are with the columns in one order, how to read them so, and a note of each table that came in another."""

    both: Both
    look: Look
    notes: tuple[str, ...] = ()


def reorder(subject: Subject, look: Look, both: Both, stop: Stop) -> Reordered:
    """Read the rows of such tables once more. Raise SourceError, or IntegrityError.

    That is no way to pass: only the same columns in another order are put in order, and every value is compared.
    """
    one = _partitions_in_order(subject, look, both, stop)
    shuffled = _shuffled(one.both)
    if not shuffled:
        return one
    again: dict[Name, Rows] = {}
    with session(subject.where) as connection, stop.calling(lambda: cancel(connection)):
        names = sorted(shuffled.keys() & inheriting(connection))
        pin_as_dump(connection, zone=look.zone, encoding=look.encoding)
        for name in names:
            stop.check()
            again[name] = read_rows(connection, name, shuffled[name], look.codec)
    restored = one.both.restored
    return replace(
        one,
        both=replace(one.both, restored=replace(restored, tables={**restored.tables, **again})),
        notes=tuple(
            f"{shown(*name)} came back with its columns in another order: pg_dump puts inherited ones first"
            for name in again
        ),
    )


def _partitions_in_order(subject: Subject, look: Look, both: Both, stop: Stop) -> Reordered:
    """Read both sides again where the rows of partitions that have the columns in several orders are not the same."""
    orders = dict(_of_several(both))
    if not orders:
        return Reordered(both=both, look=look)
    ordered = replace(look, orders=orders, ours=None)
    again = read_both(subject, ordered, stop)
    return Reordered(
        both=replace(
            both,
            archived=replace(
                both.archived, tables=_with(both.archived.tables, again.archived.tables, orders)
            ),
            restored=replace(
                both.restored, tables=_with(both.restored.tables, again.restored.tables, orders)
            ),
        ),
        look=ordered,
    )


def _with(
    tables: Mapping[Name, Rows], others: Mapping[Name, Rows], which: Collection[Name]
) -> dict[Name, Rows]:
    return {**tables, **{name: others[name] for name in which if name in others}}


def _of_several(both: Both) -> Iterator[tuple[Name, bytes]]:
    """Give the roots with partitions of several orders whose rows are not the same, with one of the lists."""
    for name in sorted(both.archived.tables.keys() & both.restored.tables.keys()):
        ours, theirs = both.archived.tables[name], both.restored.tables[name]
        lists = ours.columns | theirs.columns
        same = (ours.lines.count, ours.lines.digest) == (theirs.lines.count, theirs.lines.digest)
        if len(ours.columns) > 1 and not same and len({frozenset(named(each)) for each in lists}) == 1:
            yield name, min(lists)


def _shuffled(both: Both) -> dict[Name, bytes]:
    """Give the tables that have the same columns in another order, with the archive's list of them."""
    found = {}
    for name in both.archived.tables.keys() & both.restored.tables.keys():
        ours, theirs = _only(both.archived.tables[name].columns), _only(both.restored.tables[name].columns)
        if ours and theirs and ours != theirs and set(named(ours)) == set(named(theirs)):
            found[name] = ours
    return found


def _only(lists: Collection[bytes]) -> bytes | None:
    return next(iter(lists)) if len(lists) == 1 else None
