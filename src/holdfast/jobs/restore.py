"""Restores a backup: everything under its own names, or one database, into a server where it overwrites nothing."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.jobs import runner
from holdfast.jobs.reading import Opened, can_open, plain_chunks, read_catalog, read_plain
from holdfast.jobs.services import Services
from holdfast.methods import logical_globals, logical_restore
from holdfast.methods.logical_restore import Destination, Restored
from holdfast.model.backup import Part
from holdfast.model.errors import IntegrityError, KeyFileError, NotFoundError, UsageError
from holdfast.model.run import Run
from holdfast.postgres import tools
from holdfast.postgres.conninfo import Conninfo
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator asked for. `into` is the server; `database` None means everything.

    `rename` gives the one database another name; `tablespaces` maps the names of old tablespaces to directories.
    `roles` applies the globals; by default only when everything is restored.
    """

    into: Conninfo = field(repr=False)
    database: str | None = None
    rename: str | None = None
    tablespaces: Mapping[str, str] = field(default_factory=dict)
    roles: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was restored. `globals` is None when they were not asked for; `size` is in plain bytes."""

    backup_id: str
    target: str
    taken_at: datetime
    into: str
    globals: logical_globals.Applied | None
    databases: tuple[Restored, ...]
    size: int
    seconds: float
    warnings: tuple[str, ...]


def restore(services: Services, opened: Opened, wish: Wish, stop: Stop) -> Report:
    """Restore a backup as wished, recording the run. Raises what went wrong; databases finished before stay."""
    backup = opened.backup
    parts = _chosen(opened, wish)
    if not can_open(backup, services.keys):
        raise KeyFileError(
            f"backup {backup.id} is encrypted and this host has no identity",
            hint="Set encryption.identity_file (or HOLDFAST_ENCRYPTION__IDENTITY_FILE) to the file that keygen wrote.",
        )
    for dead in runner.lost_runs(services, "restore", backup.target):
        runner.close_lost(services, dead)
    run = Run(
        job="restore",
        target=backup.target,
        started_at=services.clock.now(),
        backup_id=backup.id,
        host=services.host,
        pid=services.pid,
    )
    return runner.execute(services, run, lambda meter: _restore(services, opened, wish, parts, meter, stop))


def _chosen(opened: Opened, wish: Wish) -> tuple[Part, ...]:
    """The parts of the databases that are restored. Raise UsageError or NotFoundError for an impossible wish."""
    if wish.rename is not None and wish.database is None:
        raise UsageError(
            "--as goes with --database", hint="Name the one database to restore under another name."
        )
    if wish.rename == "":
        raise UsageError("--as is empty", hint="Give the new database's name.")
    parts = tuple(part for part in opened.backup.parts if part.role == "database")
    if wish.database is None:
        return parts
    chosen = tuple(part for part in parts if part.database == wish.database)
    if not chosen:
        raise NotFoundError(
            f"backup {opened.backup.id} holds no database {wish.database!r}",
            hint=f"It holds {', '.join(opened.backup.databases)}.",
        )
    return chosen


def _restore(
    services: Services, opened: Opened, wish: Wish, parts: tuple[Part, ...], meter: runner.Meter, stop: Stop
) -> Report:
    began = services.clock.monotonic()
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        services.reporter.warn(text, backup=opened.backup.id)

    catalog = read_catalog(opened, services.keys)
    with logical_restore.destination(wish.into, dump_version=opened.backup.tools.get("pg_dump")) as into:
        if wish.rename is not None:
            logical_restore.refuse_name(into, wish.rename)
        for part in parts:
            logical_restore.refuse_non_empty(into, _name(part, wish))
        if tools.major(into.facts.version_num) < tools.major(opened.backup.server.version_num):
            warn(
                f"the server is PostgreSQL {into.facts.version_text}, older than the one backed up"
                f" ({opened.backup.server.version}): what it does not know will fail"
            )
        applied = _globals(services, opened, wish, into)
        spaces = logical_globals.has_tablespaces(into.connection, catalog.tablespaces)
        if not spaces and applied is None:
            warn(f"tablespaces are left out, as they are not here: {', '.join(sorted(catalog.tablespaces))}")
        restored = []
        for part in parts:
            stop.check()
            found = catalog.database(part.database or "")
            if found is None:
                raise IntegrityError(f"the catalog of backup {opened.backup.id} lacks {part.database!r}")
            with closing(_shown(services, opened, part, meter, stop)) as chunks:
                done = logical_restore.restore_database(
                    into,
                    found,
                    chunks,
                    name=_name(part, wish),
                    tablespaces=spaces,
                    stop=stop,
                    warn=warn,
                )
            restored.append(done)
        return Report(
            backup_id=opened.backup.id,
            target=opened.backup.target,
            taken_at=opened.backup.started_at,
            into=into.conninfo.safe,
            globals=applied,
            databases=tuple(restored),
            size=meter.done,
            seconds=services.clock.monotonic() - began,
            warnings=tuple(warnings),
        )


def _name(part: Part, wish: Wish) -> str:
    return wish.rename or part.database or ""


def _globals(
    services: Services, opened: Opened, wish: Wish, into: Destination
) -> logical_globals.Applied | None:
    wanted = wish.roles if wish.roles is not None else wish.database is None
    part = opened.backup.part("globals")
    if not wanted or part is None:
        return None
    text = read_plain(opened.place, part, services.keys)
    applied = logical_globals.apply(into.connection, text, tablespace_map=wish.tablespaces)
    services.stage("globals_applied")
    return applied


def _shown(
    services: Services, opened: Opened, part: Part, meter: runner.Meter, stop: Stop
) -> Generator[bytes, None, None]:
    """Give a part's plain bytes, telling of progress."""
    with services.reporter.progress(part.database or part.name, part.size) as show:
        for chunk in plain_chunks(opened.place, part, services.keys):
            stop.check()
            yield chunk
            meter.add(len(chunk))
            show(len(chunk))
    services.stage("fed")
