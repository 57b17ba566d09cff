"""How a Supabase project is dumped: as the role `postgres`, without the rows that are the platform's own.

The archive holds the definitions of the platform's schemas too: what is restored of them is chosen at the restore.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from holdfast.model.catalog import Database, LeftOut, Platform, Table
from holdfast.model.supabase import Project
from holdfast.model.target import Target
from holdfast.postgres import catalog, server, supabase_there
from holdfast.postgres import supabase_names as names
from holdfast.postgres.statements import quoted_name

ROLE = "postgres"
_PLATFORM_ROWS = "the platform keeps these rows itself, and every project has its own"
_UNREADABLE = "the platform lets this role not read it"
# What no dump of a database holds.
_ELSEWHERE = (
    ("edge functions", "their code is with the platform: keep it under version control"),
    ("API keys", "the keys and the JWT secret are the project's own; another project has others"),
    ("extension settings", "what is set for extensions and the server lies with the platform"),
    ("vault key", "the root key that opens the rows of the vault never leaves the platform"),
)
_OBJECTS = ("storage objects", "the database has only their names: storage_objects = true saves the files")
_SETTINGS = (
    "settings",
    "auth, network and API settings lie with the platform: config_snapshot = true saves them",
)


def as_dumped(target: Target) -> Target:
    """Give the target with what the platform asks for; one that is no project as it is."""
    project = target.supabase
    if project is None:
        return target
    options = target.options
    if not role_of(target):
        options = (*options, f"--role={ROLE}")
    selection = target.selection
    if "migrations" not in project.extras:
        excluded = (*selection.exclude_schemas, names.MIGRATIONS)
        selection = replace(selection, exclude_schemas=excluded)
    return replace(target, options=options, selection=selection)


def role_of(target: Target) -> str | None:
    """Give the role that pg_dump takes on."""
    roles = [option.partition("=")[2] for option in target.options if option.startswith("--role=")]
    return roles[-1] if roles else None


def settled(target: Target, connection: server.Connection) -> Target:
    """Leave out what of the platform's the role may not read, and rows that are the platform's own.

    Tables are named one by one, as a pattern would take the values of sequences, too. `connection` is in the database.
    Raise SourceError.
    """
    project = target.supabase
    if project is None:
        return target
    selection = target.selection
    rows = (
        _pattern(schema, table)
        for schema, table in supabase_there.tables(connection)
        if _without_rows(schema, table, project)
    )
    hidden = _hidden(catalog.unreadable(connection, selection, target.options))
    return replace(
        target,
        selection=replace(
            selection,
            exclude_tables=(*selection.exclude_tables, *hidden),
            exclude_table_data=(*selection.exclude_table_data, *rows),
        ),
    )


def _hidden(unreadable: Iterable[LeftOut]) -> Iterator[str]:
    for each in unreadable:
        schema, _, name = each.name.partition(".")
        if not names.is_platform(schema):
            continue
        if each.kind == "schema":
            yield f"{quoted_name(schema)}.*"
        elif each.kind in {"table", "sequence"}:
            yield _pattern(schema, name)


def _pattern(schema: str, name: str) -> str:
    return f"{quoted_name(schema)}.{quoted_name(name)}"


def _without_rows(schema: str, table: str, project: Project) -> bool:
    if schema == names.VAULT:
        return "vault" not in project.extras
    return schema != names.MIGRATIONS and not names.keeps_rows(schema, table)


def of_owner(unreadable: tuple[LeftOut, ...]) -> tuple[LeftOut, ...]:
    """Leave out what is the platform's, which a dump does without."""
    return tuple(each for each in unreadable if not names.is_platform(each.name.partition(".")[0]))


def described(found: Database, project: Project | None) -> Database:
    """Say in the catalog whose what was left out is."""
    if project is None:
        return found
    return replace(found, tables=tuple(map(_reasoned, found.tables)))


def _reasoned(table: Table) -> Table:
    if table.left_out and names.is_platform(table.schema) and "exclude_tables" in table.left_out:
        return replace(table, left_out=_UNREADABLE)
    if table.data_left_out and "exclude_table_data" in table.data_left_out:
        kept = table.schema in {names.MIGRATIONS, names.VAULT}
        if not kept and not names.keeps_rows(table.schema, table.name):
            return replace(table, data_left_out=_PLATFORM_ROWS)
    return table


def platform(project: Project | None) -> Platform | None:
    """Give what the catalog says of the project."""
    if project is None:
        return None
    return Platform(name="supabase", ref=project.ref, extras=tuple(sorted(project.extras)))


def elsewhere(project: Project | None) -> Iterator[LeftOut]:
    """Name what is no part of the database, so that no dump holds it."""
    if project is None:
        return
    absent = [*_ELSEWHERE]
    if not project.storage_objects:
        absent.append(_OBJECTS)
    if not project.config_snapshot:
        absent.append(_SETTINGS)
    for what, reason in absent:
        yield LeftOut(kind="supabase", name=what, reason=reason)
