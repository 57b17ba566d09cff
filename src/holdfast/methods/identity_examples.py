"""Looks a second time at what is not the same, for the hash of a row that only one side has."""

from __future__ import annotations

from dataclasses import replace

from holdfast.methods.identity_dump import Look
from holdfast.methods.identity_reading import Both, read_both
from holdfast.methods.subject import Subject
from holdfast.model.comparison import Difference
from holdfast.postgres.relation_names import Name, shown
from holdfast.postgres.row_sketch import LargeObject, Sketch
from holdfast.system.stop import Stop

_TABLES = 20
_LARGE_OBJECTS = 20


def second_look(
    subject: Subject, look: Look, both: Both, differences: tuple[Difference, ...], stop: Stop
) -> tuple[Difference, ...]:
    """Give the differences with an example each, for the first tables among them; large objects get their numbers.

    Both sides are read again. Errors as in `read_both`.
    """
    tables = _wanted(both, differences)
    large = any(each.kind == "large objects" for each in differences)
    if not tables and not large:
        return differences
    members = {leaf: root for leaf, root in both.groups.items() if root in tables}
    counted = {**{name: name for name in tables}, **members}
    ours, theirs = Sketch(counted), Sketch(counted)
    # The names of tables are given to pg_dump, which reads them in the encoding that it dumps in.
    narrow = not large and all(name.isascii() for pair in counted for name in pair)
    narrowed = tuple(name for name in counted if name not in members.values()) if narrow else ()
    read_both(subject, replace(look, ours=ours, theirs=theirs, tables=narrowed), stop)
    by_name = {shown(*name): name for name in tables}
    told = [_with_example(each, by_name, ours, theirs) for each in differences]
    if large:
        told += [_large_object(each) for each in ours.large_objects(theirs)[:_LARGE_OBJECTS]]
    return tuple(told)


def _wanted(both: Both, differences: tuple[Difference, ...]) -> tuple[Name, ...]:
    named = {each.name for each in differences if each.kind == "rows" and each.how == "different"}
    there = both.archived.tables.keys() & both.restored.tables.keys()
    return tuple(name for name in sorted(there) if shown(*name) in named)[:_TABLES]


def _with_example(each: Difference, tables: dict[str, Name], ours: Sketch, theirs: Sketch) -> Difference:
    if each.kind != "rows" or each.name not in tables:
        return each
    example = ours.example(theirs, tables[each.name])
    return each if example is None else replace(each, example=example.row, example_in=example.side)


def _large_object(found: LargeObject) -> Difference:
    return Difference(
        kind="large object",
        name=str(found.number),
        how="missing" if found.only == "archive" else "unexpected" if found.only else "different",
    )
