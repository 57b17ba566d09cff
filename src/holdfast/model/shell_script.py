"""What a shell script was split into: commands, and the values that their words stand for. Some words are marks of what is not known."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field

UNKNOWN = "\x03"
EVERY_DATABASE = "\x02"  # the output of a query of pg_database
MARK = "\x01"  # around the name of what stands for several values
_MOST_VALUES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of a script: its words, what was set for it alone, and where its output goes. `line` counts from 1."""

    line: int
    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    output: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """The five fields of a line of a crontab; or of one that a comment quotes, which may be true or not."""

    line: int
    text: str
    in_comment: bool


@dataclass(slots=True)
class Script:
    """What was read: variables by name, lists that one word stands for, commands, and the schedules of a crontab's lines."""

    variables: dict[str, str] = field(default_factory=dict)
    lists: dict[str, list[str]] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    schedules: list[Scheduled] = field(default_factory=list)

    def values(self, word: str, *, depth: int = 3) -> tuple[str, ...]:
        """Give what a word stands for: several where it came from a loop, or from the calls of a function."""
        if (found := re.search(f"{MARK}(.+?){MARK}", word)) is None:
            return (word,)
        if not depth:
            return (UNKNOWN,)
        whole = (
            value
            for each in self.lists.get(found[1]) or [UNKNOWN]
            for value in self.values(word[: found.start()] + each + word[found.end() :], depth=depth - 1)
        )
        return tuple(dict.fromkeys(itertools.islice(whole, _MOST_VALUES)))

    def one_value(self, word: str) -> str:
        """Give what a word stands for where that is one thing; else the mark of what is not known."""
        values = self.values(word)
        return values[0] if len(values) == 1 and UNKNOWN not in values[0] else UNKNOWN

    def spread(self, words: tuple[str, ...]) -> tuple[str, ...]:
        """Put in place of each list of options (`"${OPTIONS[@]}"`) what it holds."""
        spread: list[str] = []
        for word in words:
            values = self.values(word)
            spread += (
                values if word.startswith(MARK) and any(one.startswith("-") for one in values) else (word,)
            )
        return tuple(spread)

    def with_places(self, word: str) -> str:
        """Write a word with `{database}` where something of several stands."""
        word = re.sub(f"{MARK}.+?{MARK}", self._place, word).replace(EVERY_DATABASE, "{database}")
        first, *others = word.split("{database}", maxsplit=1)
        return "{database}".join((first, *(each.replace("{database}", "*") for each in others))).replace(
            UNKNOWN, "*"
        )

    def _place(self, mark: re.Match[str]) -> str:
        value = self.one_value(mark[0])
        return "{database}" if value == UNKNOWN else value
