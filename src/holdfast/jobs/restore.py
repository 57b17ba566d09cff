"""Restores a backup: everything under its own names, or one database, into a server where it overwrites nothing unasked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from holdfast.jobs import restore_reading, restore_supabase, runner, sameness
from holdfast.jobs.reading import Opened, can_open, read_catalog, read_plain
from holdfast.jobs.restore_supabase import Specials
from holdfast.jobs.services import Services
from holdfast.methods import logical_globals, logical_restore, restore_checks, supabase_globals
from holdfast.methods.destination import Destination, destination, refuse_name
from holdfast.methods.logical_restore import Restored, Task
from holdfast.methods.pg_restore import Options
from holdfast.model.backup import Part
from holdfast.model.catalog import Catalog, Database
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, UsageError
from holdfast.model.run import MANUAL
from holdfast.postgres import tools, unfinished
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.statements import quoted_name
from holdfast.system import spool
from holdfast.system.stop import Stop

Warn = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the operator asked for. `into` is the server; `database` None means everything.

    `rename` gives the one database another name; `tablespaces` maps the names of old tablespaces to directories.
    `roles` applies the globals; by default only when everything is restored. `options` are for pg_restore. When
    `thorough`, what came back is held against the backup, row by row, and the report tells. `plain` leaves out of a
    Supabase project what needs the platform.
    """

    into: Conninfo = field(repr=False)
    database: str | None = None
    rename: str | None = None
    tablespaces: Mapping[str, str] = field(default_factory=dict)
    roles: bool | None = None
    options: Options = field(default_factory=Options)
    thorough: bool = False
    plain: bool = False

    @property
    def wants_globals(self) -> bool:
        """Whether roles and tablespaces are restored."""
        if self.roles is not None:
            return self.roles
        return self.database is None and self.options.restores("pre-data")

    def name(self, part: Part) -> str:
        """Under which name a part's database is restored."""
        return self.rename or part.database or ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was restored. `globals` is None when they were not asked for; `size` is in plain bytes.

    `seconds` is without comparing; `sameness` is None where rows were counted, and no more.
    """

    backup_id: str
    target: str
    taken_at: datetime
    into: str
    globals: logical_globals.Applied | None
    databases: tuple[Restored, ...]
    size: int
    seconds: float
    warnings: tuple[str, ...]
    sameness: sameness.Sameness | None = None


def restore(
    services: Services, opened: Opened, wish: Wish, stop: Stop, *, within: runner.Meter | None = None
) -> Report:
    """Restore a backup as wished, recording the run. Raises what went wrong; databases finished before stay.

    Within a run that goes on already (`within` is its meter) none of its own is recorded.
    """
    backup = opened.backup
    parts = chosen_parts(opened, wish)
    require_identity(services, opened)
    if within is not None:
        return _restore(services, opened, wish, parts, within, stop)
    runner.close_lost_runs(services, "restore", backup.target)
    run = runner.new_run(services, "restore", backup.target, MANUAL, backup_id=backup.id)
    return runner.execute(services, run, lambda meter: _restore(services, opened, wish, parts, meter, stop))


def require_identity(services: Services, opened: Opened) -> None:
    """Raise KeyFileError where the backup is encrypted and nothing here opens it."""
    if not can_open(opened.backup, services.keys):
        raise KeyFileError(
            f"backup {opened.backup.id} is encrypted and this host has no identity",
            hint="Set encryption.identity_file (or HOLDFAST_ENCRYPTION__IDENTITY_FILE) to the file that keygen wrote.",
        )


def chosen_parts(opened: Opened, wish: Wish) -> tuple[Part, ...]:
    """The parts of the databases that are restored. Raise UsageError or NotFoundError for an impossible wish."""
    if wish.rename is not None and wish.database is None:
        raise UsageError(
            "--as goes with --database", hint="Name the one database to restore under another name."
        )
    if wish.rename == "":
        raise UsageError("--as is empty", hint="Give the new database's name.")
    for error in restore_checks.impossible(wish.options, database=wish.database):
        raise error
    parts = tuple(part for part in opened.backup.parts if part.role == "database")
    chosen = tuple(part for part in parts if wish.database in (None, part.database))
    if not chosen and wish.database is not None:
        raise NotFoundError(
            f"backup {opened.backup.id} holds no database {wish.database!r}",
            hint=f"It holds {', '.join(opened.backup.databases)}.",
        )
    for part in chosen:
        for error in restore_checks.impossible_for(part, wish.options):
            raise error
    return chosen


def specials(
    services: Services,
    opened: Opened,
    catalog: Catalog,
    wish: Wish,
    parts: tuple[Part, ...],
    into: Destination,
) -> Specials:
    """Choose, by the parts' names, what is restored of the databases that are not simply all restored."""
    going = [(part, described(catalog, part), wish.name(part)) for part in parts]
    return restore_supabase.specials(services, opened, catalog, going, into, plain=wish.plain)


def obstacles(
    services: Services,
    catalog: Catalog,
    wish: Wish,
    parts: tuple[Part, ...],
    into: Destination,
    special: Specials,
) -> Iterator[Error]:
    """Find everything that stands in the way, before anything is changed."""
    if wish.rename is not None:
        try:
            refuse_name(into, wish.rename)
        except UsageError as error:
            yield error
    coming = catalog.roles if wish.wants_globals else ()
    for part in parts:
        if (one := special.get(part.name)) is not None:
            yield from restore_supabase.obstacles(one, into, wish.options, coming)
            continue
        found = described(catalog, part)
        yield from restore_checks.refusals(into, found, wish.name(part), wish.options, coming=coming)
    if wish.options.jobs > 1:
        try:
            spool.require_space(services.spool_dir, max((part.size for part in parts), default=0))
        except Error as error:
            yield error


def described(catalog: Catalog, part: Part) -> Database:
    """What the catalog says of a part's database. Raise IntegrityError when it says nothing."""
    found = catalog.database(part.database or "")
    if found is None:
        raise IntegrityError(f"the catalog of the backup lacks {part.database!r}")
    return found


def told(opened: Opened, into: Destination) -> Iterator[str]:
    """Give what the operator should know of the server that is restored into."""
    for name in unfinished.left_behind(into.connection):
        yield (
            f"database {name!r} was left half restored by a run that died;"
            f" drop it when nobody needs it: DROP DATABASE {quoted_name(name)};"
        )
    server = opened.backup.server
    if tools.major(into.facts.version_num) < tools.major(server.version_num):
        yield (
            f"the server is PostgreSQL {into.facts.version_text}, older than the one backed up"
            f" ({server.version}): what it does not know will fail"
        )


def _restore(
    services: Services, opened: Opened, wish: Wish, parts: tuple[Part, ...], meter: runner.Meter, stop: Stop
) -> Report:
    began, before = services.clock.monotonic(), meter.done
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        services.reporter.warn(text, backup=opened.backup.id)

    catalog = read_catalog(opened, services.keys)
    with destination(wish.into, dump_version=opened.backup.tools.get("pg_dump")) as into:
        for said in told(opened, into):
            warn(said)
        special = specials(services, opened, catalog, wish, parts, into)
        for error in obstacles(services, catalog, wish, parts, into, special):
            raise error
        text = read_globals(services, opened, wish)
        applied = _globals(services, text, wish, into, special, warn)
        spaces = logical_globals.has_tablespaces(into.connection, catalog.tablespaces)
        if not spaces and applied is None:
            warn(f"tablespaces are left out, as they are not here: {', '.join(sorted(catalog.tablespaces))}")
        site = restore_supabase.Site(
            services=services,
            opened=opened,
            into=into,
            options=wish.options,
            meter=meter,
            stop=stop,
            warn=warn,
        )
        restored: list[Restored] = []
        held: list[sameness.Held] = []
        for part in parts:
            stop.check()
            if (one := special.get(part.name)) is not None:
                restored.append(restore_supabase.restore_part(site, one.again(catalog, into)))
            else:
                done, compared = _database(site, wish, part, described(catalog, part), tablespaces=spaces)
                restored.append(done)
                held += compared
        return Report(
            backup_id=opened.backup.id,
            target=opened.backup.target,
            taken_at=opened.backup.started_at,
            into=into.conninfo.safe,
            globals=applied,
            databases=tuple(restored),
            size=meter.done - before,
            seconds=services.clock.monotonic() - began - sum(each.seconds for each in held),
            warnings=tuple(warnings),
            sameness=_sameness(wish, into, None if special else text, applied, held, stop),
        )


def _database(
    site: restore_supabase.Site, wish: Wish, part: Part, found: Database, *, tablespaces: bool
) -> tuple[Restored, list[sameness.Held]]:
    """Restore one database, and hold it against the backup where that is wished."""
    services, opened, stop = site.services, site.opened, site.stop
    with restore_reading.archive(services, opened, part, wish.options.jobs, site.meter, stop) as archive:
        task = Task(
            backup_id=opened.backup.id,
            found=found,
            name=wish.name(part),
            archive=archive,
            format=part.format,
            options=wish.options,
            tablespaces=tablespaces,
            doing=services.reporter.doing,
        )
        done = logical_restore.restore_database(site.into, task, stop=stop, warn=site.warn)
        services.stage("restored")
        if not wish.thorough:
            return done, []
        return done, [sameness.hold_database(services, opened, part, site.into, task, stop)]


def _sameness(
    wish: Wish,
    into: Destination,
    text: bytes | None,
    applied: logical_globals.Applied | None,
    held: Sequence[sameness.Held],
    stop: Stop,
) -> sameness.Sameness | None:
    if not wish.thorough:
        return None
    if text is None or applied is None:
        return sameness.Sameness(databases=tuple(held))
    return sameness.with_globals(into, text, applied, held, stop)


def read_globals(services: Services, opened: Opened, wish: Wish) -> bytes | None:
    """Give the text of roles and tablespaces; None where they are not wanted or not in the backup."""
    part = opened.backup.part("globals")
    return read_plain(opened.place, part, services.keys) if wish.wants_globals and part is not None else None


def _globals(
    services: Services, text: bytes | None, wish: Wish, into: Destination, special: Specials, warn: Warn
) -> logical_globals.Applied | None:
    if text is None:
        return None
    if special:
        roles = supabase_globals.apply(
            into.connection, text, superuser=into.facts.is_superuser, plain=wish.plain
        )
        for refused in roles.refused:
            warn(refused)
        applied = roles.applied
    else:
        applied = logical_globals.apply(
            into.connection,
            text,
            tablespace_map=wish.tablespaces,
            leave_out=lambda why: warn(f"a setting is left out, as this server refuses it: {why}"),
        )
        for setting in applied.settings_left_out:
            warn(f"the role setting {setting} is left out: {logical_globals.GARBLED}")
    services.stage("globals_applied")
    return applied
