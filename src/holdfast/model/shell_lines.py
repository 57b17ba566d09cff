"""Gives the lines of a shell script, those that go on joined, and takes the schedule off those of a crontab."""

from __future__ import annotations

import re
from collections.abc import Iterator

_CRON = re.compile(
    r"\s*(@(?:hourly|daily|midnight|weekly|monthly|yearly|annually)|(?:[\d*/,\-A-Za-z]+\s+){4}[\d*/,\-A-Za-z]+)\s+(?=\S)"
)
_QUOTED_CRON = re.compile(
    r"(?:^|\s)#?(@(?:hourly|daily|weekly|monthly)|(?:[\d*/,\-]+\s+){4}[\d*/,\-A-Za-z]+)\s+(?=[\w/])"
)
_FIELD = re.compile(r"(?:\*|\d+(?:-\d+)?|[A-Za-z]{3}(?:-[A-Za-z]{3})?)(?:/\d+)?(?:,\S+)?\Z")
_CRON_FIELDS = 5


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Give lines with those that go on joined, each with the number that it begins at."""
    held, start = "", 0
    for number, line in enumerate(text.splitlines(), start=1):
        start = start if held else number
        held += line
        if held.endswith("\\") and not held.endswith("\\\\"):
            held = held[:-1] + " "
            continue
        if not held.lstrip().startswith("#") and _is_open(held):
            held += "\n"
            continue
        yield start, held.replace("\n", " ")
        held = ""
    if held:
        yield start, held


def _is_open(line: str) -> bool:
    """Whether a line ends inside of an array; quotes over several lines are not looked for."""
    return re.search(r"=\([^)]*\Z", line) is not None


def without_schedule(line: str) -> tuple[str | None, str]:
    """Take the five fields of a crontab off a line; of one that a comment quotes nothing else is left."""
    commented = line.lstrip().startswith("#")
    found = (_QUOTED_CRON.search if commented else _CRON.match)(line)
    if found is None or not _is_schedule(found[1]):
        return None, "" if commented else line
    rest = "" if commented else line[found.end() :].replace("\\%", "%")
    return " ".join(found[1].split()), rest


def _is_schedule(text: str) -> bool:
    fields = text.split()
    return text.startswith("@") or (
        len(fields) == _CRON_FIELDS and all(_FIELD.match(each) for each in fields)
    )
