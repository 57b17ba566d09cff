"""Tells what a database holds that its backup does not: what was written, made or dropped since, thing by thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from holdfast.postgres.survey import LARGE_OBJECTS, Survey


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """A table whose rows differ. `rows_old` or `rows_backup` is None where there is no such table."""

    name: str
    rows_old: int | None
    rows_backup: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceChange:
    """A sequence that stands elsewhere; None where there is no such sequence."""

    name: str
    old: int | None
    backup: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DefinitionChange:
    """A thing that is made in another way, or that only one side has: `where` is old, backup or both."""

    name: str
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """A thing that could not be compared, and why."""

    name: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """How the old database differs from the backup. `tables_compared` counts those that both sides could read."""

    tables_compared: int
    tables: tuple[TableChange, ...]
    sequences: tuple[SequenceChange, ...]
    large_objects: tuple[str, ...]
    definitions: tuple[DefinitionChange, ...]
    unread: tuple[Unread, ...]


def written(old: Survey, backup: Survey) -> Written:
    """Compare the survey of the old database, which nobody uses any more, with that of the restored backup."""
    unread = backup.unread | old.unread
    tables = _changed(old.digest.tables, backup.digest.tables, unread)
    sequences = _changed(old.digest.sequences, backup.digest.sequences, unread)
    large_objects = _changed(old.digest.large_objects, backup.digest.large_objects, unread)
    if LARGE_OBJECTS in unread:
        large_objects = iter(())
    one_sided = (old.digest.tables.keys() ^ backup.digest.tables.keys()) - unread.keys()
    return Written(
        tables_compared=len(old.digest.tables.keys() & backup.digest.tables.keys()),
        tables=tuple(
            TableChange(name=name, rows_old=_first(a), rows_backup=_first(b)) for name, a, b in tables
        ),
        sequences=tuple(
            SequenceChange(name=name, old=_first(a), backup=_first(b)) for name, a, b in sequences
        ),
        large_objects=tuple(name for name, _, _ in large_objects),
        definitions=tuple(
            DefinitionChange(name=name, where="old" if b is None else "backup" if a is None else "both")
            for name, a, b in _changed(old.definitions, backup.definitions, {})
            # What is on a table goes without saying where the table itself is missing.
            if name.removeprefix("table ") not in one_sided and name.rpartition(" on ")[2] not in one_sided
        ),
        unread=tuple(Unread(name=name, error=error) for name, error in sorted(unread.items())),
    )


def _changed(
    old: Mapping[str, str], backup: Mapping[str, str], unread: Mapping[str, str]
) -> Iterator[tuple[str, str | None, str | None]]:
    for name in sorted(old.keys() | backup.keys()):
        a, b = old.get(name), backup.get(name)
        if a != b and name not in unread:
            yield name, a, b


def _first(text: str | None) -> int | None:
    """Give the number that a table's or a sequence's text begins with: rows, or the last value."""
    return None if text is None else int(text.split(" ")[0])
