"""What people and programs read of an import: a line for each file."""

from __future__ import annotations

from typing import get_args

from holdfast.jobs.importing import ImportReport, Outcome, State
from holdfast.model.codec import Json, time_text
from holdfast.render import line, table
from holdfast.words import many, size, when

Facts = dict[str, Json]


def facts(value: ImportReport) -> list[Json]:
    """What became of each file."""
    return [
        {
            "file": each.name,
            "state": each.state,
            "taken_at": None if each.at is None else time_text(each.at),
            "kind": each.kind,
            "database": each.database,
            "size": each.size,
            "id": each.backup_id,
            "error": None if each.error is None else each.error.message,
            "hint": None if each.error is None else each.error.hint,
        }
        for each in value.outcomes
    ]


def report(value: ImportReport) -> None:
    """Say what became of each file, and why the broken ones are."""
    table(
        ("FILE", "TIME (UTC)", "KIND", "DATABASE", "SIZE", "STATE", "BACKUP"),
        (_row(each) for each in value.outcomes),
        right=frozenset({"SIZE"}),
    )
    for each in value.outcomes:
        if each.error is not None:
            line(f"broken  {each.name}: {each.error.message}")
            if each.error.hint:
                line(f"        {each.error.hint}")
    counts = [f"{many(count, 'file')} {state}" for state in get_args(State) if (count := value.count(state))]
    line(f"{', '.join(counts)}; the files are left as they are")


def _row(each: Outcome) -> tuple[str, ...]:
    return (
        each.name,
        "-" if each.at is None else when(each.at),
        each.kind or "-",
        each.database or "-",
        size(each.size) if each.size else "-",
        each.state,
        each.backup_id or "-",
    )
