"""What is asked of a restore of some tables, and what it tells afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.methods.pg_restore import Options
from holdfast.model.errors import UsageError
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.selecting import Skipped


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesWish:
    """What the operator asked for: `tables` and `schemas` are patterns. `into` is the server.

    `database` is that of the backup, None where it holds one; `into_database` the existing one that is restored into,
    by default of the same name. `rename` (old table, new name) and `into_schema` put what is restored beside what is
    there. `dry_run` only looks.
    """

    into: Conninfo = field(repr=False)
    database: str | None = None
    into_database: str | None = None
    tables: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    into_schema: str | None = None
    options: Options = field(default_factory=Options)
    dry_run: bool = False

    @property
    def beside(self) -> bool:
        """Whether the tables get other names than they had."""
        return bool(self.rename) or self.into_schema is not None

    def check(self) -> None:
        """Raise UsageError for options that exclude each other."""
        if not (self.tables or self.schemas or self.rename):
            raise UsageError(
                "no table was named", hint="Add --table NAME or --schema NAME; both may be repeated."
            )
        if self.beside and self.options.clean:
            raise UsageError(
                "--clean replaces what is there, and --rename-table and --into-schema put something beside it",
                hint="Choose one of the two ways.",
            )
        if self.beside and self.options.sections:
            raise UsageError("--section does not go with --rename-table and --into-schema")
        if (
            self.into_schema is not None
            and self.schemas
            and (len(self.schemas) > 1 or self.tables or self.rename)
        ):
            raise UsageError(
                "--into-schema takes one whole --schema, or tables",
                hint="Restore each schema by a command of its own.",
            )
        if self.rename and self.schemas:
            raise UsageError("--rename-table goes with --table, not with --schema")


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoredTable:
    """A relation that was restored. `rows` is None where it holds none of its own or they were not counted.

    `was` is its name in the backup where that is another.
    """

    kind: str
    name: str
    was: str | None = None
    rows: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TablesReport:
    """What was restored, or with `dry_run` would be: rows are the backup's then.

    `also` names what the tables need and the database lacked; `skipped` what was left out and why; `kinds` counts the
    archive's entries by kind. `size` is in plain bytes read, of a dry run those to be read.
    """

    backup_id: str
    target: str
    taken_at: datetime
    into: str
    database: str
    into_database: str
    dry_run: bool
    tables: tuple[RestoredTable, ...]
    also: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]
    kinds: Mapping[str, int]
    size: int
    seconds: float
    warnings: tuple[str, ...]
