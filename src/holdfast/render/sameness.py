"""What people and programs read of restored databases that were held against their backup."""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.jobs.sameness import Held, Sameness
from holdfast.model.codec import Json, to_json
from holdfast.model.comparison import Comparison, Difference
from holdfast.render.words import duration, many

_SHOWN = 20


def facts(value: Sameness) -> dict[str, Json]:
    """What came of comparing."""
    return {
        "same": value.whole and not value.differs,
        "databases": [_held_facts(each) for each in value.databases],
        "reason": value.reason,
        "globals": None
        if value.globals is None
        else {"roles": value.globals.roles, "differences": to_json(value.globals.differences)},
    }


def _held_facts(value: Held) -> dict[str, Json]:
    found = value.comparison
    return {
        "name": value.database,
        "same": None if found is None else found.same,
        "tables": None if found is None else len(found.tables),
        "rows": None if found is None else found.rows,
        "definitions": None if found is None else found.definitions,
        "differences": [] if found is None else to_json(found.differences),
        "problems": [] if found is None else list(_unsound(found)),
        "reason": value.reason,
        "seconds": value.seconds,
    }


def lines(value: Sameness) -> Iterator[str]:
    """Say what came of comparing, database by database."""
    for each in value.databases:
        yield _held(each)
        if each.comparison is not None:
            problems = [*map(difference, each.comparison.differences), *_unsound(each.comparison)]
            yield from (f"  {text}" for text in problems[:_SHOWN])
            if len(problems) > _SHOWN:
                yield f"  and {len(problems) - _SHOWN} more"
    if value.reason is not None:
        yield f"roles: not compared: {value.reason}"
    if value.globals is not None:
        same = "as in the backup" if value.globals.same else "NOT as in the backup"
        yield f"roles: {value.globals.roles}, {same}"
        yield from (f"  {difference(each)}" for each in value.globals.differences[:_SHOWN])


def _held(value: Held) -> str:
    found = value.comparison
    if found is None:
        return f"{value.database}: not compared, but for the numbers of rows: {value.reason}"
    what = f"{many(len(found.tables), 'table')}, {many(found.rows, 'row')}, {many(found.definitions, 'definition')}"
    same = "identical to the backup" if found.same else "NOT as in the backup"
    return f"{value.database}: {what}: {same} (compared in {duration(value.seconds)})"


def _unsound(value: Comparison) -> Iterator[str]:
    for check in value.validity:
        yield from (f"{check.name}: {problem}" for problem in check.problems)


def difference(value: Difference) -> str:
    """Say how one thing is not the same."""
    sides = f": expected {value.expected}" if value.expected is not None else ""
    sides += f"{',' if sides else ':'} found {value.found}" if value.found is not None else ""
    example = f"; a row only in the {value.example_in}: {value.example}" if value.example else ""
    return f"{value.kind} {value.name} is {value.how}{sides}{example}"
