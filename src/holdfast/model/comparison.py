"""What a restore test found when it held a restored database against its archive: data only, for others to tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from holdfast.model.catalog import LeftOut

How = Literal["missing", "unexpected", "different"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What one side holds of a table: its rows, and a digest of them (32 hex digits) that knows no order."""

    rows: int
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCompared:
    """One table on both sides; `name` is qualified, and quoted where SQL asks for it.

    A side is None where it has no rows to show: the archive was made without them, or the table is not there.
    `source_rows` is the count of the backup's catalog, taken in the dump's own snapshot; None where none was made.
    """

    name: str
    archived: Content | None
    restored: Content | None
    source_rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not the same.

    `kind` is pg_dump's word for a definition (table, index, acl, fk constraint, …), or rows, row count, columns,
    sequence, large objects, large object, statement, contents, property, role, role setting, membership, role password.

    `expected` is what the archive (or the catalog) says and `found` what was restored: short texts without secrets.
    `example` is the hash of a row that only one side has, in hex, and `example_in` which side that is.
    """

    kind: str
    name: str
    how: How
    expected: str | None = None
    found: str | None = None
    example: str | None = None
    example_in: Literal["archive", "restored"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Respelled:
    """A definition that PostgreSQL writes in other words after a restore, and that means the same."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """One check that what was restored makes sense: indexes, constraints, or amcheck on heaps and indexes.

    `checked` counts the objects; `problems` tells of each that failed. `skipped` says why it could not be made.
    """

    name: str
    checked: int
    problems: tuple[str, ...] = ()
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """How long one part of the comparison took, in seconds."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A restored database beside its archive.

    It is `same` when nothing differs and no check of validity failed. `left_out` names what was not compared and why,
    `notes` what a reader should know though nothing is wrong.
    """

    database: str
    tables: tuple[TableCompared, ...]
    definitions: int
    sequences: int
    large_objects: int
    differences: tuple[Difference, ...]
    respelled: tuple[Respelled, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()
    validity: tuple[Validity, ...] = ()
    phases: tuple[Phase, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the restored database is what was archived."""
        return not self.differences and not any(check.problems for check in self.validity)

    @property
    def rows(self) -> int:
        """How many rows of the archive were compared."""
        return sum(table.archived.rows for table in self.tables if table.archived is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GlobalsCompared:
    """Roles, memberships, their settings and tablespaces of a restored server beside the backup's."""

    roles: int
    memberships: int
    settings: int
    tablespaces: int
    differences: tuple[Difference, ...]
    left_out: tuple[LeftOut, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether the server has what the backup says."""
        return not self.differences
