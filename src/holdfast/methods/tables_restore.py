"""Restores chosen entries of an archive into a database that exists: refuses first, and looks at what arrived."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from holdfast.methods import pg_restore, restore_hints
from holdfast.methods.destination import LABEL, Destination, refuse_name
from holdfast.methods.pg_restore import Options
from holdfast.model.catalog import Table
from holdfast.model.errors import Error, IntegrityError, NotFoundError, SourceError, UsageError
from holdfast.model.target import Selection as Everything
from holdfast.postgres import catalog, partitions, presence, readiness, restored, server, sessions, snapshot
from holdfast.postgres.belonging import HOLDERS, INDEXES, Belonging
from holdfast.postgres.entries import Entry
from holdfast.postgres.errors import PermanentSourceError
from holdfast.postgres.public_schema import PUBLIC, make_public
from holdfast.postgres.relation_names import Name, shown
from holdfast.postgres.selecting import Late, Roots, Selection, Skipped, questions, select
from holdfast.postgres.statement_names import filled_by, spellings
from holdfast.system.stop import Stop

Warn = Callable[[str], None]
_NAMED = 10
_PATIENCE = {"lock_timeout": "60s"}  # others may be at work in what was just restored
_TAKEN_BY_OTHERS = (
    "Something else has these names: rename that, or put the tables beside it (--into-schema SCHEMA)."
)
_ERROR = re.compile(r"ERROR:\s+(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """The database that tables are restored into, and how."""

    into: Destination
    database: str
    options: Options
    stop: Stop = field(repr=False)
    warn: Warn = field(repr=False)
    doing: Callable[[str], None] = field(repr=False)


def require_database(into: Destination, name: str) -> None:
    """Raise NotFoundError where the server has no such database, and UsageError for a template."""
    refuse_name(into, name)
    if not server.has_database(into.connection, name):
        raise NotFoundError(
            f"there is no database {name!r} on {into.conninfo.safe}",
            hint="Tables are restored into a database that exists: name it with --as, or restore the whole database.",
        )


def chosen(goal: Goal, index: Belonging, roots: Roots, *, alone: bool = False) -> Selection:
    """Choose what the roots are made of and what they need that the database lacks. Raise SourceError."""
    where = goal.into.conninfo.with_database(goal.database)
    with closing(server.connect(where, application_name=LABEL)) as connection:
        there = presence.present(connection, index, questions(index, roots))
    return select(index, roots, there, alone=alone)


def refusals(goal: Goal, index: Belonging, selection: Selection) -> Iterator[Error]:
    """Find what stands in the way of restoring the selection."""
    database, options = goal.database, goal.options
    if options.role is not None and readiness.missing_roles(goal.into.connection, [options.role]):
        yield UsageError(
            f"--role {options.role}: the server has no such role", hint="Create it, or name another."
        )
    yield from _loaded_by_parent(selection)
    taken = [entry for entry in selection.existing if not options.clean or entry.desc in INDEXES]
    if not options.restores("pre-data"):
        yield from _not_ready(goal, selection)
    elif taken:
        yield UsageError(
            f"database {database!r} already has {_some([index.title(entry) for entry in taken])}",
            hint=_TAKEN_BY_OTHERS
            if all(entry.desc in INDEXES for entry in taken)
            else "--clean replaces them, --rename-table OLD=NEW and --into-schema SCHEMA put the backup's beside them.",
        )
    elif options.clean:
        yield from _lost_partitions(goal, selection)
    yield from _lacking(goal, selection)


def _lost_partitions(goal: Goal, selection: Selection) -> Iterator[Error]:
    """Partitions made since the backup, which would be dropped with their parent."""
    known = {(entry.namespace, entry.tag) for entry in selection.relations}
    where = goal.into.conninfo.with_database(goal.database)
    with closing(server.connect(where, application_name=LABEL)) as connection:
        there = presence.partitions(connection, selection.existing)
    if lost := [shown(*name) for name in there if name not in known]:
        yield UsageError(
            f"--clean would drop partitions that the backup does not hold: {_some(lost)}",
            hint="Detach them first (ALTER TABLE … DETACH PARTITION …), or restore beside them (--into-schema).",
        )


def _lacking(goal: Goal, selection: Selection) -> Iterator[Error]:
    """What the server itself has to have."""
    extensions = [entry.tag or "" for entry in selection.entries if entry.desc == "EXTENSION"]
    if missing := readiness.missing_extensions(goal.into.connection, extensions):
        yield PermanentSourceError(
            f"what is restored needs what the server does not have installed: extension {', '.join(missing)}",
            hint=restore_hints.install(missing, goal.into.facts.version_num),
        )
    owners = {entry.owner for entry in selection.entries if entry.owner and entry.desc in HOLDERS}
    if not goal.options.no_owner and (missing := readiness.missing_roles(goal.into.connection, owners)):
        yield NotFoundError(
            f"the server lacks the roles that own what is restored: {_some(missing)}",
            hint="Create them, or add --no-owner.",
        )


def _loaded_by_parent(selection: Selection) -> Iterator[Error]:
    """Rows of partitions that would go into a parent which was not chosen, and may be there and full."""
    chosen = {name for entry in selection.relations for name in spellings(entry.namespace, entry.tag)}
    for entry in selection.entries:
        own = spellings(entry.namespace, entry.tag)
        if entry.copy and filled_by(entry.copy) not in chosen | own:
            yield UsageError(
                f"the rows of {shown(entry.namespace, entry.tag or '')} were dumped to be loaded by way of its parent",
                hint="pg_dump was told to, or the hash of an enum chooses the partition: choose the partitioned table.",
            )


def _not_ready(goal: Goal, selection: Selection) -> Iterator[Error]:
    if not goal.options.restores("data"):
        return
    tables = [
        Table(oid=entry.oid, schema=entry.namespace or "", name=entry.tag or "", kind="r")
        for entry in selection.entries
        if entry.desc == "TABLE DATA"
    ]
    where = goal.into.conninfo.with_database(goal.database)
    with closing(server.connect(where, application_name=LABEL)) as connection:
        absent, filled = readiness.not_ready_for_rows(connection, tables)
    if absent:
        yield UsageError(
            f"database {goal.database!r} lacks tables whose rows would be restored: {_some(absent)}",
            hint="Without --section their definitions come, too.",
        )
    if filled:
        yield UsageError(
            f"database {goal.database!r} has tables that hold rows already: {_some(filled)}",
            hint="Rows go into empty tables only: truncate them, or use --rename-table or --into-schema.",
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def prepare(goal: Goal, entries: Iterable[Entry]) -> None:
    """Make what no entry makes, and every database is thought to have. Raise SourceError."""
    if not goal.options.restores("pre-data") or all(entry.namespace != PUBLIC for entry in entries):
        return
    where = goal.into.conninfo.with_database(goal.database)
    with closing(server.connect(where, application_name=LABEL)) as connection:
        make_public(connection)


def feed(goal: Goal, chunks: Iterator[bytes], *, whole: bool = True) -> None:
    """Restore an archive, by default `whole`: in one transaction. Raise SourceError."""
    try:
        work = pg_restore.Restoring(
            into=goal.into,
            database=goal.database,
            options=goal.options,
            hasty=not whole,
            stop=goal.stop,
            warn=goal.warn,
            on_table=goal.doing,
        )
        pg_restore.run(work, chunks, single_transaction=whole)
    except SourceError as error:
        if goal.options.clean and "other objects depend on it" in error.message:
            error.hint = (
                "Choose what depends on it as well, or drop it first and make it again afterwards; or restore beside"
                " (--rename-table, --into-schema)."
            )
        raise


def feed_late(goal: Goal, archives: Iterable[tuple[Late, bytes]]) -> tuple[Skipped, ...]:
    """Try what ties the restored tables to others, each by itself; give what could not be, and why."""
    if not goal.options.restores("post-data"):
        return ()
    plain = replace(goal, options=replace(goal.options, clean=False, sections=()))
    skipped = []
    for late, archive in archives:
        goal.stop.check()
        try:
            feed(plain, iter([archive]))
        except SourceError as error:
            goal.stop.check()
            said = _ERROR.search(error.message)
            skipped.append(Skipped(what=late.what, reason=said[1] if said else error.message))
    return tuple(skipped)


@contextmanager
def _afterwards(goal: Goal) -> Iterator[None]:
    """Turn what goes wrong with the server, once the tables are there, into a warning."""
    try:
        yield
    except SourceError as error:
        goal.stop.check()
        goal.warn(f"the tables are restored, but: {error.message}")


def counted(goal: Goal, names: Collection[Name], expected: Mapping[Name, int]) -> dict[Name, int]:
    """Count the rows of tables that were just restored. Raise IntegrityError where any are missing.

    The database is in use, so that there may be more by now: that is a warning, as is that they cannot be counted.
    """
    found: dict[Name, int] | None = None
    roots: dict[Name, Name] = {}
    goal.doing("counting rows")
    with _afterwards(goal):
        found, roots = _count(goal, names)
    if found is None:
        return {}
    wrong = []
    lacking = partitions.lacking(expected, found, roots)
    for name, rows in expected.items():
        text = f"{shown(*name)}: {rows} rows in the backup, {found.get(name, 'none')} restored"
        if lacking.get(roots.get(name, name)) == 0:  # the hash of an enum may have moved rows
            continue
        if found.get(name, 0) < rows:
            wrong.append(text)
        elif found[name] > rows:
            goal.warn(f"{text}; somebody may have written since")
    if wrong:
        raise IntegrityError(
            f"tables were restored into {goal.database!r}, but differ: {_some(wrong)}",
            hint="Somebody may have deleted rows since, or a rule or an extension changed them; look before you use it.",
        )
    return found


def _count(goal: Goal, names: Collection[Name]) -> tuple[dict[Name, int], dict[Name, Name]]:
    """Count the rows of tables, and tell which of them are partitions of which root."""
    with snapshot.exported_snapshot(
        goal.into.conninfo.with_database(goal.database), application_name=LABEL, lock_wait_timeout=60
    ) as snap:
        there = catalog.read_database(
            snap.connection, Everything(), name=goal.database, version_num=goal.into.facts.version_num
        )
        some = tuple(table for table in there.tables if (table.schema, table.name) in names)
        there = catalog.count_rows(
            snap.connection, replace(there, tables=some), stop=goal.stop, foreign_code=True
        )
        roots = partitions.read_roots(snap.connection)
    return {(t.schema, t.name): t.rows for t in there.tables if t.rows is not None}, roots


def settle(
    goal: Goal, tables: Collection[Name], *, owners: Collection[str], large_objects: int
) -> tuple[str, ...]:
    """ANALYZE the tables, if that is wished; tell of columns that may name large objects, and of default grants."""
    notes: list[str] = []
    where = goal.into.conninfo.with_database(goal.database)
    with _afterwards(goal), closing(server.connect(where, application_name=LABEL)) as connection:
        server.pin(connection, _PATIENCE)
        schemas = {schema for schema, _ in tables}
        notes += (
            restored.grants_note(role, goal.database)
            for role in restored.default_grants(connection, schemas, owners)
        )
        for name in tables:
            goal.stop.check()
            if goal.options.analyze:
                _analyze(goal, connection, name)
            if large_objects and (columns := restored.oid_columns(connection, name)):
                notes.append(
                    f"{shown(*name)}: {', '.join(columns)} may name large objects; those of the backup are not restored"
                )
    return tuple(notes)


def _analyze(goal: Goal, connection: server.Connection, name: Name) -> None:
    goal.doing(f"analyze {shown(*name)}")
    try:
        with goal.stop.calling(lambda: sessions.cancel(connection)):
            restored.analyze(connection, name)
    except SourceError as error:
        goal.stop.check()
        goal.warn(error.message)
