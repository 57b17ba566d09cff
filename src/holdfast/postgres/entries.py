"""The table of contents of a pg_dump archive: what its header and its entries tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

Section = Literal["none", "pre-data", "data", "post-data"]

RELATIONS = frozenset({"TABLE", "PARTITIONED TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What an archive says of itself. `version` is the format's (`1.14`), the other texts are PostgreSQL's.

    `int_size` and `offset_size` are the widths of numbers and of data offsets; `end` is where the number of entries
    stands, in bytes from the archive's beginning.
    """

    version: str
    compression: str
    database: str | None
    server_version: str | None
    dump_version: str | None
    int_size: int = 4
    offset_size: int = 8
    end: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: `desc` is its kind (`TABLE DATA`), `tag` its name; `table_oid` and `oid` its row in the catalogs.

    `start` and `end` are where it lies in the archive; it ends with the flag and the offset of its data. `copy` is its
    COPY statement, `relation` what its own statements say it is on, as they write it, `exclusion` the definition of an
    exclusion constraint, and `definition` the statement that makes it: where the reader was asked. `file` names its data
    in a tar archive. `drop` is from where to where its drop statement lies, with the length before it;
    `owned` the same of its owner's name.
    """

    dump_id: int
    table_oid: int
    oid: int
    tag: str | None
    desc: str
    section: Section
    namespace: str | None
    owner: str | None
    has_data: bool
    dependencies: tuple[int, ...]
    start: int = 0
    end: int = 0
    copy: str | None = None
    relation: str | None = None
    exclusion: str | None = None
    definition: str | None = None
    file: str | None = None
    drop: tuple[int, int] = (0, 0)
    owned: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Toc:
    """A table of contents, in the archive's order; the data begins at `end`."""

    header: Header
    entries: Sequence[Entry]
    end: int


def tells_of_tables(entry: Entry) -> bool:
    """Whether an entry counts for `defined_tables` and `data_tables`, or has data at all."""
    return entry.has_data or entry.desc in RELATIONS


def defined_tables(entries: Iterable[Entry]) -> frozenset[int]:
    """Give the OIDs of the relations with rows whose definition is in the archive: tables, views and their like."""
    return frozenset(entry.oid for entry in entries if entry.desc in RELATIONS)


def data_tables(entries: Iterable[Entry]) -> frozenset[int]:
    """Give the OIDs of the tables whose rows are in the archive."""
    return frozenset(entry.oid for entry in entries if entry.desc == "TABLE DATA")
