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

_LAST = 1 << 30  # notes on the whole script come last


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


def reading(value: Reading, path: Path, missing: tuple[str, ...]) -> None:
    """Say what was understood of a script, what not, what stands in the config in its place, and how its old dumps come along."""
    line(f"{path} says, as far as it is understood (it was read, and not run):")
    for what, said in value.understood():
        line(f"  {what}: {said}")
    if not value.dumps:
        line("  no call of pg_dump or pg_dumpall was understood")
    if missing:
        line("not said, so see whether it is right in the config:")
    for said in missing:
        line(f"  {said}")
    for title, found in (("not understood", value.missed), ("to do", value.notes)):
        if found:
            line(f"{title}:")
        for number, said in dict.fromkeys(sorted(found, key=lambda each: each[0] or _LAST)):
            line(f"  line {number}: {said}" if number else f"  {said}")
    if value.days is not None or value.keep_last is not None:
        rule = f'within = "{value.days}d"' if value.days is not None else f"keep_last = {value.keep_last}"
        line("how long backups are kept is not in the config: the default keeps daily to monthly ones, and")
        line(f"  {rule} under [targets.main.retention] does what the script did")
    _how_to_import(value)


def _how_to_import(value: Reading) -> None:
    place = value.bucket or value.directory
    if not place or not value.pattern:
        return
    ciphers = {each.split()[0] for each in value.encryption}
    opened = (
        f" --passphrase-file {shlex.quote(value.passphrase_file or 'FILE')}" if "openssl" in ciphers else ""
    )
    opened += f" --iterations {value.iterations}" if value.iterations else ""
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
