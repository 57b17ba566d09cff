"""Restores a backup of a Supabase project where it is not simply all restored: into another project, or without the platform."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from holdfast.jobs import restore_reading, runner
from holdfast.jobs.reading import Opened, plain_chunks
from holdfast.jobs.services import Services
from holdfast.methods import restore_checks, staging, supabase_restore
from holdfast.methods.destination import LABEL, Destination
from holdfast.methods.logical_restore import Restored, Task, restore_database
from holdfast.methods.pg_restore import Options
from holdfast.methods.staging import Staged
from holdfast.methods.supabase_restore import Head
from holdfast.model.backup import Part
from holdfast.model.catalog import Catalog, Database
from holdfast.model.errors import Error, UsageError
from holdfast.postgres import cutting, readiness, server, supabase_there
from holdfast.postgres.archive import TocReader
from holdfast.postgres.entries import RELATIONS
from holdfast.postgres.supabase_entries import Choice, for_plain, for_project
from holdfast.system.stop import Stop

Way = Literal["project", "plain"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What a restore works with: `meter` counts what is read, `warn` is told what the operator should know."""

    services: Services = field(repr=False)
    opened: Opened = field(repr=False)
    into: Destination
    options: Options
    meter: runner.Meter = field(repr=False)
    stop: Stop = field(repr=False)
    warn: Callable[[str], None] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One part, what of it is restored, and how. `name` is the database's new one."""

    way: Way
    part: Part
    found: Database
    name: str
    head: Head = field(repr=False)
    choice: Choice = field(repr=False)

    def again(self, catalog: Catalog, into: Destination) -> Planned:
        """Choose once more: now the roles are there that something may belong to."""
        return planned(catalog, self.found, self.head, self.part, self.name, into, self.way)


Specials = Mapping[str, Planned]


def specials(
    services: Services,
    opened: Opened,
    catalog: Catalog,
    going: Iterable[tuple[Part, Database, str]],
    into: Destination,
    *,
    plain: bool,
) -> Specials:
    """Choose what is restored of the databases that are not simply all restored; `going` has each with its new name."""
    found = {}
    for part, database, name in going:
        how = way(catalog, into, name, plain=plain)
        if how is not None:
            head = read_head(services, opened, part)
            found[part.name] = planned(catalog, database, head, part, name, into, how)
    return found


def way(catalog: Catalog, into: Destination, name: str, *, plain: bool) -> Way | None:
    """Tell how a database of the backup goes to this server; None: as any other does. Raise SourceError, UsageError."""
    if catalog.platform is None:
        if plain:
            raise UsageError("--plain goes with backups of a Supabase project", hint="Leave it out.")
        return None
    if supabase_restore.is_project(into, name):
        if plain:
            raise UsageError(
                f"--plain: the server at {into.conninfo.safe} has the platform",
                hint="Leave --plain out, or restore into another database (--database NAME --as NEW_NAME).",
            )
        return "project"
    return "plain" if plain else None


def planned(
    catalog: Catalog, found: Database, head: Head, part: Part, name: str, into: Destination, how: Way
) -> Planned:
    """Choose from an archive's table of contents what is restored."""
    if how == "project":
        with closing(server.connect(into.conninfo.with_database(name), application_name=LABEL)) as connection:
            there = supabase_there.look(connection)
        choice = for_project(
            head.toc.entries,
            there,
            extras=catalog.platform.extras if catalog.platform else (),
            empty={table.oid for table in found.tables if table.rows == 0},
        )
    else:
        wanted = [extension.name for extension in found.extensions]
        missing = readiness.missing_extensions(into.connection, wanted)
        roles = supabase_there.look(into.connection).roles | set(catalog.roles)
        choice = for_plain(head.toc.entries, roles=roles, available=set(wanted) - set(missing))
    return Planned(way=how, part=part, found=found, name=name, head=head, choice=choice)


def read_head(services: Services, opened: Opened, part: Part) -> Head:
    """Read the table of contents of a part; no more of it is read."""
    reader = TocReader(opened.place.key(part.name), copies=True)
    read = []
    for chunk in plain_chunks(opened.place, part, services.keys):
        read.append(chunk)
        reader.feed(chunk)
        if reader.done:
            break
    toc = reader.finish()
    return Head(toc=toc, raw=b"".join(read)[: toc.end])


def obstacles(one: Planned, into: Destination, options: Options, roles: tuple[str, ...]) -> Iterator[Error]:
    """Find what stands in the way, before anything is changed. `roles` will be made first."""
    if one.way == "plain":
        yield from restore_checks.refusals(into, _reduced(one), one.name, options, coming=roles)
        return
    impossible = list(supabase_restore.impossible(options))
    yield from impossible or supabase_restore.refusals(into, one.name, one.found, one.choice)


def restore_part(site: Site, one: Planned) -> Restored:
    """Restore one database. Raise what refuses or fails."""
    services = site.services
    with _cut(site, one) as chunks:
        if one.way == "plain":
            return _plain(site, one, chunks)
        with staging.staged(chunks, services.spool_dir, size=one.part.size) as staged:
            services.stage("staged")
            return supabase_restore.restore(
                site.into, _task(site, one, staged), stop=site.stop, warn=site.warn
            )


def _task(site: Site, one: Planned, staged: Staged) -> supabase_restore.ProjectTask:
    return supabase_restore.ProjectTask(
        backup_id=site.opened.backup.id,
        found=one.found,
        name=one.name,
        head=one.head,
        choice=one.choice,
        archive=staged,
        options=site.options,
        doing=site.services.reporter.doing,
    )


def _plain(site: Site, one: Planned, chunks: Iterator[bytes]) -> Restored:
    task = Task(
        backup_id=site.opened.backup.id,
        found=_reduced(one),
        name=one.name,
        archive=chunks,
        options=site.options,
        tablespaces=False,
        doing=site.services.reporter.doing,
    )
    if site.options.jobs == 1:
        done = restore_database(site.into, task, stop=site.stop, warn=site.warn)
    else:
        with staging.staged(chunks, site.services.spool_dir, size=one.part.size) as staged:
            parallel = replace(task, archive=staged)
            done = restore_database(site.into, parallel, stop=site.stop, warn=site.warn)
    left_out = (supabase_restore.said(each) for each in one.choice.left_out)
    return replace(done, notes=(*done.notes, *left_out))


def _reduced(one: Planned) -> Database:
    """What the catalog says of the database, less what is left out."""
    entries = one.choice.entries
    extensions = {entry.tag for entry in entries if entry.desc == "EXTENSION"} | {"plpgsql"}
    schemas = {entry.tag for entry in entries if entry.desc == "SCHEMA"} | {"public"}
    made = {entry.oid for entry in entries if entry.desc in RELATIONS}
    filled = one.choice.filled
    return replace(
        one.found,
        extensions=tuple(each for each in one.found.extensions if each.name in extensions),
        schemas=tuple(each for each in one.found.schemas if each in schemas),
        tables=tuple(
            table
            if table.kind != "r" or table.oid in filled
            else replace(table, rows=None, data_left_out="left out")
            for table in one.found.tables
            if table.oid in made
        ),
        subscriptions=(),
    )


@contextmanager
def _cut(site: Site, one: Planned) -> Iterator[Iterator[bytes]]:
    """Give the chosen entries as an archive."""
    with restore_reading.stream(site.services, site.opened, one.part, site.meter, site.stop) as chunks:
        yield cutting.cut(chunks, one.head.toc, one.choice.entries, disowned=one.choice.disowned)
