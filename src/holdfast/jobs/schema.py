"""Tells how the schema of a target has changed, from the catalogs of its backups."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdfast.jobs.find import open_best
from holdfast.jobs.reading import can_open, read_catalog
from holdfast.jobs.services import Services
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout, schema
from holdfast.model.catalog import Catalog, Database
from holdfast.model.errors import KeyFileError, NotFoundError, StoreError, UsageError
from holdfast.model.schema import Change, SchemaObject
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaVersion:
    """The first backup that has a database's schema in this form. `changes` is None where nothing is known before it."""

    backup_id: str
    at: datetime
    database: str
    fingerprint: str
    objects: tuple[SchemaObject, ...]
    changes: tuple[Change, ...] | None
    migration: str | None


def history(
    services: Services, target: str, stop: Stop, *, database: str | None = None
) -> Iterator[SchemaVersion]:
    """Give every version of the schemas of a target, oldest first. Raise KeyFileError, NotFoundError, StoreError.

    A catalog is opened only where the ledger does not know that its schemas are those of the backup before.
    """
    rows = sorted(services.ledger.backups(target), key=lambda row: row.backup.started_at)
    if not rows:
        raise NotFoundError(f"no backup of target {target}", hint="`holdfast list` shows what there is.")
    last: dict[str, SchemaVersion] = {}
    for row in rows:
        stop.check()
        wanted = [name for name in row.backup.databases if database in (None, name)]
        if all(_is_known(row, name, last) for name in wanted):
            continue
        catalog = open_catalog(services, row)
        for name in wanted:
            version = _version(row, catalog.database(name), last.get(name))
            if version is not None:
                last[name] = version
                yield version


def _is_known(row: BackupRow, name: str, last: dict[str, SchemaVersion]) -> bool:
    """Whether the ledger knows that a database's schema is the last one."""
    if row.coverage is None or name not in last:
        return False
    return any((each.name, each.schema) == (name, last[name].fingerprint) for each in row.coverage.databases)


def _version(row: BackupRow, found: Database | None, last: SchemaVersion | None) -> SchemaVersion | None:
    """Give a version that is another than the last one, of a database whose schema was kept."""
    if found is None or found.schema_objects is None:
        return None
    fingerprint = schema.fingerprint(found.schema_objects)
    if last is not None and last.fingerprint == fingerprint:
        return None
    return SchemaVersion(
        backup_id=row.backup.id,
        at=row.backup.started_at,
        database=found.name,
        fingerprint=fingerprint,
        objects=found.schema_objects,
        changes=None if last is None else schema.changes(last.objects, found.schema_objects),
        migration=found.migration,
    )


def open_catalog(services: Services, row: BackupRow) -> Catalog:
    """Open the catalog of a backup. Raise KeyFileError where nothing here opens it."""
    if not can_open(row.backup, services.keys):
        raise KeyFileError(
            f"the schema of backup {row.backup.id} lies in its encrypted catalog, and this host has no identity",
            hint="Ask on a host that has the identity, or set encryption.identity_file.",
        )
    return read_catalog(open_best(services, row), services.keys)


def schema_of(
    services: Services, row: BackupRow, database: str | None
) -> tuple[str, tuple[SchemaObject, ...]]:
    """Give a database of a backup and its schema. Raise UsageError where it could be several, NotFoundError."""
    catalog = open_catalog(services, row)
    names = ", ".join(each.name for each in catalog.databases)
    chosen = [each for each in catalog.databases if database in (None, each.name)]
    if not chosen:
        raise NotFoundError(
            f"backup {row.backup.id} holds no database {database!r}", hint=f"It holds {names}."
        )
    if len(chosen) > 1:
        raise UsageError("which database?", hint=f"Add --database NAME; the backup holds {names}.")
    if chosen[0].schema_objects is None:
        raise NotFoundError(
            f"backup {row.backup.id} keeps no schema of database {chosen[0].name!r}",
            hint="It was imported, taken by an earlier release, or is too large. `holdfast export --format sql` has it, too.",
        )
    return chosen[0].name, chosen[0].schema_objects


def export(
    services: Services, target: str, directory: Path, stop: Stop, *, database: str | None = None
) -> list[Path]:
    """Write each version as an SQL file, dated by its backup; a file that is there stays. Give those that were written.

    Raise StoreError where the directory cannot be written, and as `history`.
    """
    written: list[Path] = []
    for version in history(services, target, stop, database=database):
        path = directory / layout.encode(version.database) / f"{version.backup_id}.sql"
        if path.exists():
            continue
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_suffix(".sql.part")
            draft.write_bytes(schema.schema_text(version.objects).encode("utf-8", "surrogateescape"))
            draft.replace(path)
        except OSError as error:
            raise StoreError(f"cannot write {path}: {error.strerror}") from error
        written.append(path)
    return written


def before_migration(services: Services, version: str, target: str, stop: Stop) -> BackupRow:
    """Find the last backup before the first one in which a migration was applied.

    Raise NotFoundError where no backup has it, or already the oldest has.
    """
    rows = sorted(services.ledger.backups(target), key=lambda row: row.backup.started_at)
    before: BackupRow | None = None
    for row in rows:
        stop.check()
        if _has_applied(open_catalog(services, row), version):
            if before is None:
                raise NotFoundError(
                    f"migration {version} was applied before the oldest backup, {row.backup.id}, was taken",
                    hint="There is no backup from before it.",
                )
            return before
        before = row
    raise NotFoundError(
        f"no backup of target {target} has migration {version} applied",
        hint="`holdfast list` shows what each has applied. If it was applied since the last one, restore `latest`.",
    )


def _has_applied(catalog: Catalog, version: str) -> bool:
    return any(
        applied == version or applied.startswith(f"{version}_") or applied.endswith(f".{version}")
        for database in catalog.databases
        for each in database.migrations
        for applied in each.applied
    )
