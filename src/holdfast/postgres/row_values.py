"""Takes the values of rows out of what PostgreSQL says of an error: they are nobody's to read in a log."""

from __future__ import annotations

import re
from dataclasses import dataclass

_HIDDEN = "…"
# What a value follows. A value may hold anything, line ends too; what comes behind it is not worth a guess.
_BEFORE_A_VALUE = re.compile(
    r"COPY .*?, line \d+(?:, column [^:\"]*(?=: )|(?=[,:]))"
    r"|JSON data, line \d+(?=:)"
    r"|^DETAIL:  Failing row contains \("
    r"|^DETAIL:  Key .*?\)=\("
    r"|^DETAIL:  Partition key of the failing row contains .*?\) = \("
    r"|^DETAIL:  (?:Token|Character with value|Array value|Value) "
    r"|ERROR:  .*?(?:: (?=\")|\bvalue (?=\"))"
    r"|INSERT INTO .*? VALUES \("
)
_NEXT = re.compile(r"(?:pg_\w+: |psql:|ERROR:|DETAIL:|HINT:|CONTEXT:|LINE \d|Command was:|SQL |PL/\w+ )")


@dataclass(slots=True)
class Veil:
    """Takes lines of an error, one after the other; `_inside` is set while a value goes on over the ends of lines."""

    _inside: bool = False

    def over(self, line: str) -> str | None:
        """Give the line with the value of a row cut off, or None where all of it is one's continuation."""
        if self._inside and not _NEXT.match(line):
            return None
        found = _BEFORE_A_VALUE.search(line)
        self._inside = found is not None
        return line if found is None else line[: found.end()] + _HIDDEN
