"""Restores a Supabase project's database into another project, which has the platform's part of it already."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace

from holdfast.methods import logical_restore, plain_restore
from holdfast.methods.destination import LABEL, Destination
from holdfast.methods.logical_restore import Restored, Task
from holdfast.methods.pg_restore import Options, Restoring
from holdfast.methods.staging import Staged
from holdfast.model.catalog import Database, LeftOut
from holdfast.model.errors import Error, UsageError
from holdfast.postgres import cutting, readiness, scripts, server, supabase_there, trying
from holdfast.postgres.entries import Entry, Toc
from holdfast.postgres.errors import PermanentSourceError
from holdfast.postgres.selecting import ALWAYS
from holdfast.postgres.statements import quoted_name
from holdfast.postgres.supabase_entries import Choice
from holdfast.system import spool
from holdfast.system.stop import Stop

Tell = Callable[[str], None]
_NAMED = 10
# Rows go in as they were: no trigger of the platform's fires, and no order is asked for.
_REPLICA = b"\nSET session_replication_role = replica;\n"
_ORIGIN = b"\nSET session_replication_role = origin;\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The beginning of an archive: its table of contents, and the bytes that this was read from."""

    toc: Toc = field(repr=False)
    raw: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectTask:
    """What is restored into a project: what was chosen, and an archive that holds no more than that, with its rows."""

    backup_id: str
    found: Database
    name: str
    head: Head = field(repr=False)
    choice: Choice = field(repr=False)
    archive: Staged = field(repr=False)
    options: Options
    doing: Tell


def is_project(into: Destination, name: str) -> bool:
    """Whether the server has the database, and it is a project's. Raise SourceError."""
    if not server.has_database(into.connection, name):
        return False
    with closing(_session(into, name)) as connection:
        return supabase_there.is_platform(connection)


def impossible(options: Options) -> Iterator[Error]:
    """Find which options a restore into a project cannot follow: it is one transaction, in an order of its own."""
    asked = [
        text
        for text, wanted in (
            ("--jobs", options.jobs > 1),
            ("--clean", options.clean),
            ("--section", bool(options.sections)),
            ("--role", options.role is not None),
        )
        if wanted
    ]
    if asked:
        yield UsageError(
            f"restoring into a Supabase project does not go with {', '.join(asked)}",
            hint="It is one transaction, in an order of its own, by the role that the URL names.",
        )


def refusals(into: Destination, name: str, found: Database, choice: Choice) -> Iterator[Error]:
    """Find what stands in the way of restoring into the project."""
    with closing(_session(into, name)) as connection:
        if there := supabase_there.made_by_owner(connection):
            yield UsageError(
                f"the project at {into.conninfo.safe} is not empty: it holds {_some(there)}",
                hint="Nothing is ever overwritten unasked: restore into a new project, or drop what is in the way.",
            )
        filled = [
            t for t in found.tables if t.oid in choice.filled and (t.schema, t.name) in _tables(connection)
        ]
        _, holding = readiness.not_ready_for_rows(connection, filled)
        if holding:
            yield UsageError(
                f"the project at {into.conninfo.safe} has rows already in {_some(holding)}",
                hint="Restore into a new project: rows of two projects cannot be told apart.",
            )
    if choice.lacking:
        yield UsageError(
            f"the project at {into.conninfo.safe} lacks columns that the backup has values for: {_some(choice.lacking)}",
            hint="The platform there is older than the one backed up: upgrade it, and restore again.",
        )
    wanted = [entry.tag or "" for entry in choice.entries if entry.desc == "EXTENSION"]
    if missing := readiness.missing_extensions(into.connection, wanted):
        yield PermanentSourceError(
            f"the backup needs extensions that the server does not have: {_some(missing)}",
            hint="Install them there; or restore into PostgreSQL without the platform: --plain leaves out what needs them.",
        )


def _tables(connection: server.Connection) -> set[tuple[str, str]]:
    return set(supabase_there.look(connection).tables)


def restore(into: Destination, task: ProjectTask, *, stop: Stop, warn: Tell) -> Restored:
    """Restore it: one transaction, then what is tried by itself. Raise SourceError at the first real failure."""
    work = Restoring(into=into, database=task.name, stop=stop, warn=warn, on_table=task.doing)
    plain_restore.run(work, _script(into, task, stop), single_transaction=True)
    refused = _late(into, task, stop)
    counting = Task(
        backup_id=task.backup_id,
        found=_arrived(task),
        name=task.name,
        archive=task.archive,
        options=replace(task.options, analyze=False),
        tablespaces=False,
        doing=task.doing,
    )
    done = logical_restore.compared(into, counting, stop=stop)
    notes = (*done.notes, *refused, *(said(each) for each in task.choice.left_out))
    return replace(done, notes=notes)


def said(item: LeftOut) -> str:
    """Say of something that it was not restored, and why."""
    return f"not restored: {item.kind} {item.name}: {item.reason}"


def _script(into: Destination, task: ProjectTask, stop: Stop) -> Iterator[bytes]:
    """Give the whole script: definitions, rows as they were, then indexes, constraints, triggers and publications."""
    first = [each for each in task.choice.entries if each.section in {"none", "pre-data"}]
    schemas = [each for each in first if each.desc == "SCHEMA"]
    rights = [each for each in first if each.desc == "ACL"]
    others = [each for each in first if each.desc not in {"SCHEMA", "ACL"}]
    lent = [] if into.facts.is_superuser else _owners(into, task, others)
    yield _text(into, task, schemas, stop)
    yield from (f"GRANT CREATE ON SCHEMA {schema} TO {owner};\n".encode() for schema, owner in lent)
    yield _text(into, task, others, stop)
    yield from (f"REVOKE CREATE ON SCHEMA {schema} FROM {owner};\n".encode() for schema, owner in lent)
    yield _text(into, task, rights, stop)
    yield _REPLICA
    yield from _section(into, task, "data", stop)
    yield _ORIGIN
    yield from _section(into, task, "post-data", stop)


def _owners(into: Destination, task: ProjectTask, entries: Iterable[Entry]) -> list[tuple[str, str]]:
    """Tell who has to be able to create in which schema to be made an owner there: rights come only later."""
    if task.options.no_owner:
        return []
    return sorted(
        {
            (quoted_name(entry.namespace), quoted_name(entry.owner))
            for entry in entries
            if entry.namespace and entry.owner and entry.dump_id not in task.choice.disowned
            if entry.owner != into.facts.user
        }
    )


def _text(into: Destination, task: ProjectTask, entries: Iterable[Entry], stop: Stop) -> bytes:
    """Give the script of definitions."""
    wanted = {entry.dump_id for entry in entries}
    chosen = [each for each in task.head.toc.entries if each.dump_id in wanted or each.desc in ALWAYS]
    head = cutting.cut_head([task.head.raw], task.head.toc, chosen, disowned=task.choice.disowned)
    return scripts.text_of_archive(into.toolset, [head], _flags(task.options), stop)


def _section(into: Destination, task: ProjectTask, section: str, stop: Stop) -> Iterator[bytes]:
    flags = [f"--section={section}", *_flags(task.options), spool.path(task.archive.handle)]
    with closing(scripts.of_file(into.toolset, task.archive.handle, flags, stop)) as chunks:
        yield from chunks


def _flags(options: Options) -> list[str]:
    chosen = (("--no-owner", options.no_owner), ("--no-privileges", options.no_privileges))
    return [flag for flag, wanted in chosen if wanted]


def _late(into: Destination, task: ProjectTask, stop: Stop) -> tuple[str, ...]:
    """Try what stands on the platform's tables, and event triggers; tell what may not be, and why."""
    if not task.choice.late:
        return ()
    script = _text(into, task, task.choice.late, stop)
    with closing(_session(into, task.name)) as connection:
        server.pin(connection, server.ENDLESS)
        refused = trying.play(connection, [script], stop=stop)
    return tuple(f"not restored: {each.subject}: {each.reason}" for each in refused)


def _arrived(task: ProjectTask) -> Database:
    """What the catalog says of the database, as far as its rows were restored."""
    filled, made = task.choice.filled, {e.oid for e in task.choice.entries if e.desc == "MATERIALIZED VIEW"}
    return replace(
        task.found,
        tables=tuple(t if t.oid in filled | made else replace(t, rows=None) for t in task.found.tables),
        subscriptions=(),
    )


def _session(into: Destination, name: str) -> server.Connection:
    return server.connect(into.conninfo.with_database(name), application_name=LABEL)


def _some(items: tuple[str, ...]) -> str:
    more = f" and {len(items) - _NAMED} more" if len(items) > _NAMED else ""
    return ", ".join(items[:_NAMED]) + more
