"""Tells how long a script keeps its backups, from what it clears away."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from holdfast.model.script_reading import Reading

_NUMBER = re.compile(r"[0-9]{1,6}")
_MINUTES_OF_DAY = 1440


@dataclass(frozen=True, slots=True, kw_only=True)
class Age:
    """What one `find` clears away: where, and after how many days. `folder` is "" where that is not known."""

    line: int
    folder: str
    days: int


def days_of(words: tuple[str, ...]) -> int | None:
    """Read the age in the arguments of `find`; None where there is none that is plain."""
    days = None
    for key, value in itertools.pairwise(words):
        digits = value.lstrip("+")
        if key in {"-mtime", "-ctime", "-atime"} and _NUMBER.fullmatch(digits):
            days = int(digits)
        elif key in {"-mmin", "-cmin"} and _NUMBER.fullmatch(digits):
            days = max(1, int(digits) // _MINUTES_OF_DAY)
    return days


def settle_age(ages: list[Age], folders: list[str], reading: Reading) -> None:
    """Take the age from what clears away where the dumps lie. Of several ages the longest counts, and the others are told."""
    if not folders and ages:
        reading.directory = reading.directory or ages[0].folder or None
        folders = [ages[0].folder]
    near = [
        age
        for age in ages
        if not age.folder or any(_is_in(age.folder, other) or _is_in(other, age.folder) for other in folders)
    ]
    reading.days = max((age.days for age in near), default=None)
    for age in ages:
        if age.days != reading.days or age not in near:
            reading.missed.append(
                (age.line, f"find (clears {age.folder or 'a folder'} after {age.days} days)")
            )


def _is_in(folder: str, other: str) -> bool:
    return f"{folder}/".startswith(f"{other.rstrip('/')}/")
