"""Finds what goes with the dumps of a script: their schedule, and the lines that name pg_dump and that nothing was read from."""

from __future__ import annotations

import posixpath
import re

from holdfast.model import shell_lines
from holdfast.model.idle_commands import IDLE
from holdfast.model.script_reading import Reading
from holdfast.model.shell_script import Script

DUMP = re.compile(r"\bpg_dump(?:all)?\b")


def unread(text: str, script: Script, reading: Reading, lines: set[int]) -> None:
    """Tell of each such line, so that nothing is passed over. `lines` are those that dumps were read from."""
    told = lines | {line for line, _ in reading.missed}
    told |= {
        command.line
        for command in script.commands
        if posixpath.basename(command.words[0]) in IDLE and DUMP.search(" ".join(command.words))
    }
    starts = [number for number, _ in shell_lines.logical_lines(text)]
    for number, line in enumerate(text.splitlines(), start=1):
        if DUMP.search(line.partition("#")[0]) is None:
            continue
        start = max((each for each in starts if each <= number), default=number)
        if not {number, start} & told:
            reading.missed.append((number, "pg_dump, in a way that is not understood"))


def settle_schedule(script: Script, reading: Reading, lines: set[int]) -> None:
    """Take the schedule of the first line that dumps; else that which a comment tells, and say so."""
    dumping = [each for each in script.schedules if each.line in lines]
    only_called = [each for each in script.schedules if not lines and not each.in_comment]
    found = dumping or only_called or [each for each in script.schedules if each.in_comment]
    if not found:
        return
    first = found[0]
    reading.schedule = first.text
    if first.in_comment:
        reading.notes.append((first.line, "the schedule stands in a comment: see whether it is true"))
    for each in found[1:]:
        if each.text != first.text:
            reading.notes.append((each.line, f"another schedule ({each.text}): it is not in the config"))
