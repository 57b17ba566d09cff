"""What people and programs read of an import: a line for each file."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import get_args

from holdfast.jobs.importing import ImportReport, Outcome, State
from holdfast.model.codec import Json, time_text
from holdfast.model.script_reading import Reading
from holdfast.render.printing import line, table
from holdfast.render.words import many, size, when


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


def reading(value: Reading, path: Path) -> None:
    """Say what was understood of a script, what not, and how its old dumps come along."""
    line(f"{path} says, as far as it is understood (it was read, and not run):")
    for what, said in value.understood():
        line(f"  {what}: {said}")
    for title, found in (("not understood", value.missed), ("to do", value.notes)):
        if found:
            line(f"{title}:")
        for number, said in found:
            line(f"  line {number}: {said}" if number else f"  {said}")
    if value.days is not None or value.keep_last is not None:
        line(
            "how long backups are kept is not in the config that is proposed: see the retention of the target"
        )
    place = value.bucket or value.directory
    if place and value.pattern:
        opened = f" --passphrase-file {value.passphrase_file or 'FILE'}" if value.encryption else ""
        line("to take over what it has left behind, after a look with --dry-run:")
        line(f"  holdfast import {shlex.quote(place)} --pattern {shlex.quote(value.pattern)}{opened}")


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
