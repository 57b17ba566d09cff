"""Tells what a restore would do, and changes nothing: the dry run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from holdfast.jobs import restore as job
from holdfast.jobs.reading import Opened, plain_chunks, read_catalog
from holdfast.jobs.restore import Wish
from holdfast.jobs.restore_supabase import Specials
from holdfast.jobs.services import Services
from holdfast.methods import logical_globals, supabase_globals, supabase_restore
from holdfast.methods.destination import Destination, destination
from holdfast.methods.restored_properties import adapted
from holdfast.model.backup import Part
from holdfast.model.catalog import Catalog
from holdfast.model.errors import Error, UsageError
from holdfast.postgres import archive, properties, readiness, server
from holdfast.system import spool
from holdfast.system.stop import Stop

Action = Literal["create", "fill", "replace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One database: `source` is its name in the backup, `size` in plain bytes. `rows` is None where it was not counted."""

    name: str
    source: str
    action: Action
    size: int
    tables: int
    rows: int | None
    owner: str
    encoding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """What several jobs would need on this machine, in bytes."""

    directory: Path
    needed: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Why the restore would be refused or fail, and what to do."""

    message: str
    hint: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be restored. `globals` tells what would become of roles and tablespaces; None: they stay out."""

    backup_id: str
    target: str
    taken_at: datetime
    into: str
    server_version: str
    globals: logical_globals.Applied | None
    databases: tuple[Planned, ...]
    staging: Staging | None
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def plan(services: Services, opened: Opened, wish: Wish, stop: Stop) -> Plan:
    """Look at the backup and at the server. Raise what makes no sense at all, or keeps us from looking."""
    parts = job.chosen_parts(opened, wish)
    job.require_identity(services, opened)
    catalog = read_catalog(opened, services.keys)
    with destination(wish.into, dump_version=opened.backup.tools.get("pg_dump")) as into:
        text = job.read_globals(services, opened, wish)
        special = job.specials(services, opened, catalog, wish, parts, into)
        planned = None if text is None else _globals(wish, text, into, special)
        usual = tuple(part for part in parts if part.name not in special)
        problems = [
            *job.obstacles(services, catalog, wish, parts, into, special),
            *_more(services, opened, wish, catalog, usual, into, stop),
        ]
        return Plan(
            backup_id=opened.backup.id,
            target=opened.backup.target,
            taken_at=opened.backup.started_at,
            into=into.conninfo.safe,
            server_version=into.facts.version_text,
            globals=planned,
            databases=tuple(_planned(catalog, part, wish, into) for part in parts),
            staging=_staging(services, wish, parts),
            problems=tuple(Problem(message=each.message, hint=each.hint) for each in problems),
            notes=(
                *_notes(opened, wish, catalog, into),
                *(supabase_restore.said(each) for one in special.values() for each in one.choice.left_out),
            ),
        )


def _globals(wish: Wish, text: bytes, into: Destination, special: Specials) -> logical_globals.Applied:
    if special:
        superuser = into.facts.is_superuser
        return supabase_globals.apply(
            into.connection, text, superuser=superuser, plain=wish.plain, dry=True
        ).applied
    return logical_globals.planned(into.connection, text, tablespace_map=wish.tablespaces)


def _planned(catalog: Catalog, part: Part, wish: Wish, into: Destination) -> Planned:
    found, name = job.described(catalog, part), wish.name(part)
    counted = [table.rows for table in found.tables if table.rows is not None]
    exists = server.has_database(into.connection, name)
    return Planned(
        name=name,
        source=found.name,
        action="create" if not exists else "replace" if wish.options.clean else "fill",
        size=part.size,
        tables=sum(1 for t in found.tables if t.kind in "rpm" and t.extension is None and t.left_out is None),
        rows=sum(counted) if counted or not found.tables else None,
        owner=adapted(found.properties, wish.options, into.facts.user).owner,
        encoding=found.properties.encoding,
    )


def _staging(services: Services, wish: Wish, parts: tuple[Part, ...]) -> Staging | None:
    if wish.options.jobs == 1:
        return None
    try:
        free = spool.free_bytes(services.spool_dir)
    except Error:  # it is among the problems
        free = 0
    return Staging(
        directory=services.spool_dir, needed=max((part.size for part in parts), default=0), free=free
    )


def _more(
    services: Services,
    opened: Opened,
    wish: Wish,
    catalog: Catalog,
    parts: tuple[Part, ...],
    into: Destination,
    stop: Stop,
) -> Iterator[Error]:
    """Find what the restore itself would stumble over only when it comes there."""
    spaces = logical_globals.has_tablespaces(into.connection, catalog.tablespaces)
    for part in parts:
        stop.check()
        found, name = job.described(catalog, part), wish.name(part)
        wanted = adapted(found.properties, wish.options, into.facts.user)
        try:
            properties.create_database_sql(name, wanted, into.facts.version_num, tablespaces=spaces)
        except Error as error:
            yield error
        coming = catalog.roles if wish.wants_globals else ()
        owners = {wanted.owner} if wish.options.no_owner else {wanted.owner, *_owners(services, opened, part)}
        if missing := readiness.missing_roles(into.connection, owners - {"", *coming}):
            yield UsageError(
                f"database {found.name!r} has owners that the server lacks: {', '.join(missing)}",
                hint="Restore the roles too (--roles), create them, or leave owners out with --no-owner.",
            )


def _owners(services: Services, opened: Opened, part: Part) -> set[str]:
    """Who owns what is in the archive, by its table of contents; no more of it is read. Others do not tell at once."""
    if part.format != "custom":
        return set()
    chunks = plain_chunks(opened.place, part, services.keys)
    toc = archive.read_toc(chunks, where=opened.place.key(part.name))
    return {entry.owner for entry in toc.entries if entry.owner}


def _notes(opened: Opened, wish: Wish, catalog: Catalog, into: Destination) -> Iterator[str]:
    yield from job.told(opened, into)
    if not wish.wants_globals and not logical_globals.has_tablespaces(into.connection, catalog.tablespaces):
        yield f"tablespaces would be left out, as they are not here: {', '.join(sorted(catalog.tablespaces))}"
