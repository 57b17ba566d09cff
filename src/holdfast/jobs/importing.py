"""Takes over the dumps of a script as backups like any other: encrypted, signed, with their own dates."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Literal

from holdfast.jobs import copies, locking, runner, sweep, writing
from holdfast.jobs.import_files import Broken, Dump, ImportWish, look, plain_chunks, unlike
from holdfast.jobs.restore_text import restore_text
from holdfast.jobs.services import Services
from holdfast.methods.base import Source
from holdfast.methods.logical import catalog_source
from holdfast.model import catalog as model
from holdfast.model import layout
from holdfast.model.backup import Backup, Part, Server, format_version
from holdfast.model.errors import Error, IntegrityError
from holdfast.model.run import Run
from holdfast.model.target import Target
from holdfast.postgres import archive, blocks, tools
from holdfast.postgres.entries import tells_of_tables
from holdfast.system.stop import Stop

State = Literal["imported", "would be imported", "there already", "broken"]
_TOKEN_BYTES = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one file. `backup_id` is None where there is none; `error` says why it is broken."""

    name: str
    state: State
    at: datetime | None
    kind: str | None = None
    database: str | None = None
    size: int = 0
    backup_id: str | None = None
    error: Error | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReport:
    """What became of all files, and which copies of the new backups to other stores failed."""

    target: str
    outcomes: tuple[Outcome, ...]
    failed_copies: tuple[str, ...] = ()

    def count(self, state: State) -> int:
        """How many files are in this state."""
        return sum(1 for each in self.outcomes if each.state == state)


def import_dumps(services: Services, target: Target, wish: ImportWish, stop: Stop) -> ImportReport:
    """Read all files of the pattern, and make a backup of those of one time. What is there already stays as it is.

    A broken file is in the report, and keeps no other from its backup. Raise what has nothing to do with one file.
    """
    if not wish.dry_run:
        services.keys.signer()  # without it there is no need to begin
        with runner.target_lock(services, target.name):  # a backup may begin between two of ours
            sweep.sweep(services, target)
    outcomes: list[Outcome] = []
    failed: list[str] = []
    for at, group in groupby(look(services, target, wish, stop), key=lambda each: each.at):
        dumps: list[Dump] = []
        for each in _told_apart(list(group)):
            if isinstance(each, Broken):
                outcomes.append(_broken(each))
            elif (there := _there(services, target, each)) is not None:
                outcomes.append(_outcome(each, "there already", there))
            else:
                dumps.append(each)
        if dumps:
            outcomes += _taken(services, target, wish, at, dumps, failed, stop)
    return ImportReport(target=target.name, outcomes=tuple(outcomes), failed_copies=tuple(failed))


def _told_apart(group: list[Dump | Broken]) -> Iterator[Dump | Broken]:
    yield from (each for each in group if isinstance(each, Broken))
    yield from unlike([each for each in group if isinstance(each, Dump)])


def _there(services: Services, target: Target, dump: Dump) -> str | None:
    """Find the backup that was made of this very dump."""
    for row in services.ledger.backups(target.name):
        if row.backup.imported and row.backup.started_at == dump.at:
            held = {(part.database, part.sha256) for part in row.backup.parts}
            if (dump.database, dump.sha256) in held:
                return row.backup.id
    return None


def _broken(each: Broken) -> Outcome:
    return Outcome(name=each.name, state="broken", at=each.at, error=each.error)


def _outcome(dump: Dump, state: State, backup_id: str | None) -> Outcome:
    return Outcome(
        name=dump.name,
        state=state,
        at=dump.at,
        kind="globals" if dump.found.role == "globals" else dump.found.format,
        database=dump.database,
        size=dump.size,
        backup_id=backup_id,
    )


def _taken(
    services: Services,
    target: Target,
    wish: ImportWish,
    at: datetime,
    dumps: list[Dump],
    failed: list[str],
    stop: Stop,
) -> list[Outcome]:
    """Make one backup of the dumps of one time."""
    if wish.dry_run:
        return [_outcome(dump, "would be imported", None) for dump in dumps]
    run = Run(
        job="import",
        target=target.name,
        started_at=services.clock.now(),
        backup_id=layout.new_backup_id(at, secrets.token_hex(_TOKEN_BYTES)),
        host=services.host,
        pid=services.pid,
    )
    try:
        with runner.target_lock(services, target.name):
            made = runner.execute(
                services, run, lambda meter: _write(services, target, wish, run, dumps, meter, stop)
            )
            locking.begin(services, target, made.id, target.stores[0], stop)
            failed += [f"{made.id} to {name}" for name, _ in copies.copy_out(services, target, made.id, stop)]
    except IntegrityError as error:  # a file is another than a moment ago
        return [_broken(Broken(name=dump.name, at=at, error=error)) for dump in dumps]
    return [_outcome(dump, "imported", made.id) for dump in dumps]


def _write(
    services: Services,
    target: Target,
    wish: ImportWish,
    run: Run,
    dumps: list[Dump],
    meter: runner.Meter,
    stop: Stop,
) -> Backup:
    place = writing.Place(
        store=services.store(target.stores[0]),
        target=target.name,
        backup_id=str(run.backup_id),
        pulse=meter.pulse,
    )
    locking.prepare(services, place.store, stop)
    dumps = sorted(dumps, key=lambda dump: (dump.database is not None, dump.database))
    whole = _catalog(dumps)
    try:
        parts = [_part(services, target, place, wish, dump, meter, stop) for dump in dumps]
        parts.append(_write_part(services, target, place, catalog_source(whole), meter))
        services.stage("parts_stored")
        made = _made(services, wish, run, dumps, tuple(parts), whole)
        text = restore_text(made, to_create=_to_create(dumps))
        document = writing.put_bytes(place, layout.RESTORE_TEXT, text.encode())
        made = dataclasses.replace(made, documents=(document,))
        data, signature = writing.commit(services, place, made)
    except BaseException:
        writing.discard(services, place)
        raise
    services.ledger.record_backup(made, manifest=data, signature=signature, coverage=model.coverage(whole))
    services.ledger.record_copy(made.id, place.store.name, "complete", services.clock.now())
    services.stage("recorded")
    return made


def _part(
    services: Services,
    target: Target,
    place: writing.Place,
    wish: ImportWish,
    dump: Dump,
    meter: runner.Meter,
    stop: Stop,
) -> Part:
    services.stage(f"part:{dump.found.role}")
    custom = dump.found.format == "custom"
    reader = archive.TocReader(keep=tells_of_tables)
    finder = blocks.BlockFinder(reader)
    with closing(plain_chunks(wish, dump.name, stop)) as chunks:
        source = Source(
            role=dump.found.role,
            format=dump.found.format,
            stem="globals" if dump.database is None else dump.database,
            database=dump.database,
            size_hint=dump.size,
            chunks=blocks.watch_blocks(archive.watch(chunks, reader), finder) if custom else chunks,
            note=(lambda: blocks.dump_note(finder.found)) if custom else None,
        )
        part = _write_part(services, target, place, source, meter)
    if part.sha256 != dump.sha256:
        raise IntegrityError(
            f"{dump.name} was changed while it was read",
            hint="Does the script still write it? Import again when it is done.",
        )
    return part


def _write_part(
    services: Services, target: Target, place: writing.Place, source: Source, meter: runner.Meter
) -> Part:
    return writing.write_part(
        place,
        source,
        recipients=services.keys.recipients,
        compression=target.compression,
        on_bytes=meter.add,
    )


def _catalog(dumps: list[Dump]) -> model.Catalog:
    """What the dumps tell of the server."""
    version = next((each.found.server_version for each in dumps if each.found.server_version), None)
    roles = {role for each in dumps for role in each.found.roles}
    return model.Catalog(
        version=model.CATALOG_VERSION,
        server_version=version or "unknown",
        version_num=_number(version),
        system_identifier=None,
        roles=tuple(sorted(roles)),
        tablespaces={name: path for each in dumps for name, path in each.found.tablespaces.items()},
        role_passwords=any(each.found.role_passwords for each in dumps),
        databases=tuple(each.found.catalog(each.database) for each in dumps if each.database is not None),
        imported_from=tuple(each.name for each in dumps),
    )


def _number(version: str | None) -> int:
    """A version as PostgreSQL counts; 0 where it is not known."""
    try:
        return tools.version_num(version or "")
    except ValueError:
        return 0


def _made(
    services: Services,
    wish: ImportWish,
    run: Run,
    dumps: list[Dump],
    parts: tuple[Part, ...],
    whole: model.Catalog,
) -> Backup:
    at = dumps[0].at
    newest = max(dumps, key=lambda each: _number(each.found.dump_version)).found.dump_version
    return Backup(
        id=str(run.backup_id),
        format_version=format_version(parts),
        target=run.target,
        slot=None,
        method="logical",
        started_at=at,
        finished_at=at,
        server=Server(version=whole.server_version, version_num=whole.version_num, system_identifier=None),
        tools={} if not _number(newest) else {"pg_dump": str(newest)},
        parts=parts,
        databases=tuple(each.name for each in whole.databases),
        signer=services.keys.signer().public.text,
        host=services.host,
        labels=wish.labels,
        imported=True,
    )


def _to_create(dumps: list[Dump]) -> dict[str, str]:
    """The databases whose plain dumps do not make them, with their encodings."""
    return {
        each.database: each.found.contents.properties.encoding
        for each in dumps
        if each.database is not None and each.found.format == "plain" and not each.found.creates
    }
