"""Reads the names that a script gave to its dumps: the time, and the database where the name tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

# Of strftime: what a script may write with `date +…`. Names of days and months tell no date that could be trusted.
_FIELDS: dict[str, str] = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d{2})",
    "m": r"(?P<m>0[1-9]|1[0-2])",
    "d": r"(?P<d>0[1-9]|[12]\d|3[01])",
    "e": r"(?P<d>[ 1-9]|[12]\d|3[01])",
    "j": r"(?P<j>[0-3]\d\d)",
    "H": r"(?P<H>[01]\d|2[0-3])",
    "M": r"(?P<M>[0-5]\d)",
    "S": r"(?P<S>[0-5]\d|60)",
    "s": r"(?P<s>\d{9,11})",
    "N": r"\d{1,9}",
    "z": r"(?P<z>[+-]\d{2}:?\d{2})",
    "Z": r"[A-Za-z0-9+-]{1,9}",
    "a": r"\w{1,20}",
    "A": r"\w{1,20}",
    "b": r"\w{1,20}",
    "B": r"\w{1,20}",
    "u": r"[1-7]",
    "w": r"[0-6]",
    "U": r"\d\d",
    "V": r"\d\d",
    "W": r"\d\d",
    "G": r"\d{4}",
    "%": "%",
}
_SHORT = {"F": "%Y-%m-%d", "T": "%H:%M:%S", "R": "%H:%M", "D": "%m/%d/%y"}
_DATABASE = "{database}"
_LONG = 4  # the time to read a name grows by its length with each
_PIECE = re.compile(r"%(?P<field>.)|\{(?P<word>[^{}]*)\}|(?P<wild>\*+|\?)|(?P<text>.)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """What a name tells. `at` is None where it tells no full date."""

    at: datetime | None
    database: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A pattern of names. `zone` is where the script's clock stood."""

    text: str
    zone: tzinfo
    expression: re.Pattern[str]

    def read(self, name: str) -> Named | None:
        """Read a name; None when it is none of the pattern's, or tells a day that never was."""
        found = self.expression.fullmatch(name)
        if found is None:
            return None
        fields = {key: value for key, value in found.groupdict().items() if value is not None}
        database = fields.pop("database", None)
        try:
            return Named(at=_time(fields, self.zone), database=database)
        except ValueError:  # the 31st of February
            return None


def compile_pattern(text: str, zone: tzinfo) -> Pattern:
    """Read a pattern: fields of strftime (`%Y%m%d`), `{database}`, `*` and `?`. Raise ValueError for another."""
    for short, long in _SHORT.items():
        text = text.replace(f"%{short}", long)
    seen: set[str] = set()
    pieces: list[str] = []
    for piece in _PIECE.finditer(text):
        if piece["field"] is not None:
            pieces.append(_field(piece["field"], seen))
        elif piece["word"] is not None:
            pieces.append(_word(piece["word"], seen))
        elif piece["wild"] is not None:
            pieces.append("[^/]" if piece["wild"] == "?" else "[^/]*")
        elif piece["text"] == "%":
            raise ValueError("a % stands at its end: write %% for one")
        else:
            pieces.append(re.escape(piece["text"]))
    if not text:
        raise ValueError("it is empty")
    if pieces.count("[^/]*") + ("database" in seen) > _LONG:
        raise ValueError(f"* and {_DATABASE} may stand in it {_LONG} times in all")
    return Pattern(text=text, zone=zone, expression=re.compile("".join(pieces)))


def _field(letter: str, seen: set[str]) -> str:
    expression = _FIELDS.get(letter)
    if expression is None:
        raise ValueError(f"%{letter} is not known: use {', '.join(f'%{known}' for known in 'YmdHMSsFT')}")
    return _once(expression, seen)


def _word(word: str, seen: set[str]) -> str:
    if word != "database":
        raise ValueError(f"{{{word}}} is not known: {_DATABASE} is")
    return _once(r"(?P<database>[^/]+?)", seen)


def _once(expression: str, seen: set[str]) -> str:
    """Let a field that stands there again be the same again."""
    name = re.match(r"\(\?P<(\w+)>", expression)
    if name is None:
        return expression
    if name[1] in seen:
        return f"(?P={name[1]})"
    seen.add(name[1])
    return expression


def _time(fields: dict[str, str], zone: tzinfo) -> datetime | None:
    if "s" in fields:
        return datetime.fromtimestamp(int(fields["s"]), UTC)
    year = int(fields["Y"]) if "Y" in fields else 2000 + int(fields["y"]) if "y" in fields else None
    if year is None:
        return None
    if "j" in fields:
        day = datetime(year, 1, 1, tzinfo=UTC) + timedelta(days=int(fields["j"]) - 1)
        if day.year != year:
            raise ValueError("no such day in that year")
        month, number = day.month, day.day
    elif {"m", "d"} <= fields.keys():
        month, number = int(fields["m"]), int(fields["d"])
    else:
        return None
    hour, minute = int(fields.get("H", "0")), int(fields.get("M", "0"))
    second = min(int(fields.get("S", "0")), 59)  # a leap second
    where = _offset(fields["z"]) if "z" in fields else zone
    return datetime(year, month, number, hour, minute, second, tzinfo=where).astimezone(UTC)


def _offset(text: str) -> tzinfo:
    found = datetime.strptime(text.replace(":", ""), "%z").tzinfo
    if found is None:
        raise ValueError(f"{text} is not an offset from UTC")
    return found
