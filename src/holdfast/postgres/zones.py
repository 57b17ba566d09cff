"""Finds out in which time zone rows were dumped, from the times among them."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import LiteralString

import psycopg

from holdfast.postgres.data_digest import Name
from holdfast.postgres.server import Connection, pin, translate
from holdfast.postgres.snapshot import PINS

_TIME = re.compile(rb"\d{4,6}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?[+-]\d\d(?::\d\d){0,2}(?: BC)?")
_IN_UTC = re.compile(rb"[+-]00(?: BC)?\Z")
_LOOKED_AT = 500  # rows of a block: to search all of a megabyte takes twenty milliseconds
_PER_BLOCK = 100
_SHOWN = 3
_ZONES: LiteralString = "SELECT name FROM pg_timezone_names WHERE name !~ '^posix' ORDER BY name"
_FITS: LiteralString = (
    "SELECT count(*) FROM pg_catalog.unnest(%s::text[]) AS x(t) WHERE t::timestamptz::text = t"
)


class Times:
    """Listens to rows, and keeps some of the times among them that are written in another zone than UTC.

    They are taken from the first block of a table's rows, the second, the fourth, and so on: of all years if may be.
    """

    def __init__(self) -> None:
        self._blocks: dict[Name, int] = {}
        self._kept: dict[Name, set[bytes]] = {}

    def lines(self, table: Name, lines: Sequence[bytes]) -> None:
        """Take rows of a table."""
        number = self._blocks[table] = self._blocks.get(table, 0) + 1
        if number & (number - 1):
            return
        block = b"\n".join(lines[:_LOOKED_AT])
        found = list(dict.fromkeys(each for each in _TIME.findall(block) if not _IN_UTC.search(each)))
        kept = self._kept.setdefault(table, set())
        kept.update(found[:: len(found) // _PER_BLOCK + 1])

    def long_line(self, table: Name, number: int) -> None:
        """Take nothing of a row that was too long to be held."""

    def large_object(self, oid: int, number: int, *, made: bool) -> None:
        """Take nothing of a large object."""

    def of(self, tables: Collection[Name]) -> list[str]:
        """Give the times that were found in these tables."""
        found = {each.decode() for table in tables for each in self._kept.get(table, ())}
        return sorted(filter(_is_time, found))


def _is_time(text: str) -> bool:
    """Whether it is a time and not a text that looks like one; those of other millennia are done without."""
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def fitting_zones(conn: Connection, times: list[str]) -> list[str]:
    """Name the zones of the server in which most of these times are written as they are: the best three.

    `conn` is outside a transaction; its settings are changed. Raise SourceError.
    """
    try:
        pin(conn, PINS)
        scores: list[tuple[int, str]] = []
        for (zone,) in conn.execute(_ZONES).fetchall():
            conn.execute("SELECT set_config('TimeZone', %s, false)", (zone,))
            scores.append((-conn.execute(_FITS, (times,)).fetchall()[0][0], zone))
    except psycopg.Error as error:
        raise translate(error, "looking for a time zone") from error
    return [zone for score, zone in sorted(scores)[:_SHOWN] if score]
