"""What a restore test is to do, by the config: when, how, and the owner's own checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Literal

from holdfast.model.planning import Timetable

Isolation = Literal["required", "preferred"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """A question of the owner's, and what the answer (the first column of the first row) has to be.

    Without `database` it is asked in every one of the backup. `max_age` is in seconds before the backup began.
    """

    name: str
    sql: str
    database: str | None = None
    equals: str | None = None
    min: Decimal | None = None
    max: Decimal | None = None
    not_empty: bool = False
    max_age: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreTesting:
    """How a target's backups are tested. `timetable` None: never by itself; `also_older` counts random older backups.

    The cluster lies in `scratch_dir` (None: the spool directory), and `settings` are its own besides ours. With
    `scratch_url` there is none: a database on that server, which is not that of `source_url`, the target's own. `timeout`
    and `check_timeout` are in seconds.
    """

    timetable: Timetable | None = None
    also_older: int = 1
    jobs: int = 2
    isolation: Isolation = "required"
    scratch_dir: Path | None = None
    scratch_url: str | None = field(default=None, repr=False)
    source_url: str | None = field(default=None, repr=False)
    server_bin_dirs: tuple[Path, ...] = ()
    without_extensions: tuple[str, ...] = ()
    amcheck: bool = True
    settings: Mapping[str, str] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    timeout: float | None = None
    check_timeout: float = 300


def wrong(check: Check, found: object, *, rows: int, taken_at: datetime) -> str | None:
    """Tell what is wrong with the answer to a check, or None where it is as it has to be.

    `found` is the first value, `rows` how many rows came (of two at most). The value itself is not repeated: it is
    somebody's data.
    """
    if rows == 0:
        return "it gave no row"
    if check.not_empty and (found is None or found == ""):
        return "its answer is empty"
    if check.equals is not None and not _equal(found, check.equals):
        return "its answer is another than expected"
    if check.min is not None or check.max is not None:
        return _outside(check, found)
    if check.max_age is not None:
        return _too_old(found, check.max_age, taken_at)
    return None


def _equal(found: object, expected: str) -> bool:
    if isinstance(found, bool):
        return expected.lower() in ({"true", "t"} if found else {"false", "f"})
    number, wanted = _number(found), _number(expected)
    return number == wanted if number is not None and wanted is not None else str(found) == expected


def _outside(check: Check, found: object) -> str | None:
    number = _number(found)
    if number is None:
        return "its answer is not a number"
    if check.min is not None and number < check.min:
        return f"its answer is below {check.min}"
    if check.max is not None and number > check.max:
        return f"its answer is above {check.max}"
    return None


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def _too_old(found: object, most: float, taken_at: datetime) -> str | None:
    if isinstance(found, datetime):
        at = found if found.tzinfo else found.replace(tzinfo=UTC)
    elif isinstance(found, date):
        at = datetime.combine(found, time.max, UTC)
    else:
        return "its answer is not a time"
    age = (taken_at - at).total_seconds()
    return f"its answer is older than {most:g} s before the backup" if age > most else None
