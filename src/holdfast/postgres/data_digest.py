"""What a script of data holds: digests of rows by table, sequences, large objects. Nothing of the content but that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from holdfast.postgres.multiset import Multiset
from holdfast.postgres.trail import Trail

Name = tuple[str, str]  # schema and name


class Listener(Protocol):
    """Who wants to see each row as well: given whole lines, without their line breaks, and the hashes of long ones."""

    def lines(self, table: Name, lines: Sequence[bytes]) -> None:
        """Take rows of a table."""

    def long_line(self, table: Name, number: int) -> None:
        """Take the hash of a row that was too long to be held."""

    def large_object(self, oid: int, number: int, *, made: bool) -> None:
        """Take the hash of one thing that is known of a large object; `made` says that it is that it exists."""


@dataclass(slots=True)
class Rows:
    """The rows of one table so far. `columns` are the lists of them that the script has; INSERT has none.

    There are several where the rows of partitions go to their root. `trails` has one for each COPY.
    """

    columns: set[bytes] = field(default_factory=set)
    lines: Multiset = field(default_factory=Multiset)
    trails: list[Trail] = field(default_factory=list, repr=False)


@dataclass(slots=True)
class DataDigest:
    """What a script of data holds. `others` are statements that are none of these, by their first line.

    `inserts` are the options of pg_dump that make it write rows as this script does; none where it is COPY.
    """

    tables: dict[Name, Rows] = field(default_factory=dict)
    sequences: dict[Name, str] = field(default_factory=dict)
    large_objects: int = 0
    large_object_facts: Multiset = field(default_factory=Multiset)
    others: list[str] = field(default_factory=list)
    inserts: set[str] = field(default_factory=set)
