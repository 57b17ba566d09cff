"""Restores one database of a logical backup: creates it as it was, runs pg_restore, and counts what arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial

from holdfast.methods import event_triggers, pg_restore, plain_restore, restore_checks, restore_hints
from holdfast.methods.destination import LABEL, Destination, unwatched
from holdfast.methods.pg_restore import Options
from holdfast.methods.restored_properties import adapted, give, told_once
from holdfast.methods.staging import Staged
from holdfast.model import catalog as model
from holdfast.model.backup import PartFormat
from holdfast.model.errors import Error, IntegrityError, SourceError
from holdfast.model.target import Selection
from holdfast.postgres import (
    analyze,
    catalog,
    dropping,
    partitions,
    properties,
    restored,
    server,
    sessions,
    snapshot,
    stand_ins,
    unfinished,
)
from holdfast.postgres.public_schema import PUBLIC, make_public
from holdfast.postgres.stand_ins import NOTHING, StoodIn
from holdfast.postgres.statements import quoted_name
from holdfast.system.stop import Stop

Warn = Callable[[str], None]
_DEADLOCK = "deadlock detected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One database to restore: what the backup's catalog says of it, its new name, the archive, and how.

    `tablespaces` False leaves everything where the server puts it; `doing` is told what is being restored. Unless
    `counting`, somebody else compares what arrived. When `strict`, a setting that the server refuses is a failure. What is `stood_in` for is made first, and of a staged archive `only`
    these dump ids are restored then.
    """

    backup_id: str
    found: model.Database
    name: str
    archive: Iterator[bytes] | Staged = field(repr=False)
    format: PartFormat = "custom"
    options: Options
    tablespaces: bool
    doing: Callable[[str], None]
    counting: bool = True
    strict: bool = False
    stood_in: StoodIn = NOTHING
    only: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What became of one database. `rows` is None where the backup knows no counts to compare with, or none came."""

    name: str
    created: bool
    tables: int
    rows: int | None
    notes: tuple[str, ...]


def restore_database(into: Destination, task: Task, *, stop: Stop, warn: Warn) -> Restored:
    """Restore one database, which is absent or empty unless the options say otherwise. Raise what refuses or fails.

    On any failure a database that was made here is dropped again, and the error goes through. With `clean`, or a
    section alone in one job, or of a plain dump, it is one transaction, and the database is as it was before.
    """
    into = unwatched(into)
    for refusal in restore_checks.refusals(into, task.found, task.name, task.options):
        raise refusal
    there = server.has_database(into.connection, task.name)
    try:
        return _restore_database(into, task, stop=stop, warn=warn)
    except SourceError as error:
        if there or task.options.jobs == 1 or _DEADLOCK not in error.message:
            raise
    # pg_restore orders its jobs by table, and indexes of partitions need locks on several.
    warn(
        f"database {task.name!r}: the jobs stood in each other's way (a deadlock); it is restored anew, in one"
    )
    return _restore_database(into, replace(task, options=replace(task.options, jobs=1)), stop=stop, warn=warn)


def _restore_database(into: Destination, task: Task, *, stop: Stop, warn: Warn) -> Restored:
    created = not server.has_database(into.connection, task.name)
    wanted = adapted(task.found.properties, task.options, into.facts.user)
    whole = not created and (
        task.format == "plain"
        or (task.options.jobs == 1 and (task.options.clean or bool(task.options.sections)))
    )
    left = "as it was" if whole else "as the failed restore left it"
    leave_out = None if task.strict else told_once(task.name, warn)
    if created:
        _create(into, task, wanted)
    try:
        _prepare(into, task, wanted, created=created, warn=warn, leave_out=leave_out)
        _run(into, task, created=created, whole=whole, stop=stop, warn=warn)
        left = "with what was restored into it"
        with _analyzing(into, task, stop, warn):
            done = replace(compared(into, task, stop=stop), created=created)
        _finish(into, task, wanted, leave_out)
    except BaseException:
        if created:
            _drop(into, task.name, warn)
        else:
            warn(f"database {task.name!r} was there before and is left {left}")
        raise
    return done


def _create(into: Destination, task: Task, wanted: model.Properties) -> None:
    statement = properties.create_database_sql(
        task.name, wanted, into.facts.version_num, tablespaces=task.tablespaces
    )
    with restore_hints.hinted(into.facts.version_num):
        sessions.execute(into.connection, statement, what=f"create database {task.name!r}")


def _prepare(
    into: Destination,
    task: Task,
    wanted: model.Properties,
    *,
    created: bool,
    warn: Warn,
    leave_out: Warn | None,
) -> None:
    if not task.options.restores("pre-data"):
        return
    with closing(
        server.connect(into.conninfo.with_database(task.name), application_name=LABEL)
    ) as connection:
        if created:
            with suppress(SourceError):  # a help, and who may create a database may not always comment on it
                unfinished.mark(into.connection, task.name, task.backup_id)
            drop_what_was_dropped(connection, task.found)
            stand_ins.make(connection, task.stood_in)
        else:
            if PUBLIC in task.found.schemas:
                make_public(connection)
            there = properties.read_properties(connection, task.name)
            for what in ("encoding", "collate", "ctype"):
                before, now = getattr(wanted, what), getattr(there, what)
                if before != now:
                    unchecked = "; the server lets any bytes in then, and may refuse to give them back"
                    more = unchecked if before == "SQL_ASCII" else ""
                    warn(f"database {task.name!r}: {what} is {now} here; it was {before}{more}")
    if not created and task.options.clean:  # nothing is changed before the one transaction
        return
    give(into, task.name, wanted, properties.setting_statements, what="settings", leave_out=leave_out)


def drop_what_was_dropped(connection: server.Connection, found: model.Database) -> None:
    """A new database has a schema and an extension that the one backed up may have lost."""
    if "public" not in found.schemas:
        sessions.execute(connection, "DROP SCHEMA IF EXISTS public", what="drop schema public")
    if all(extension.name != "plpgsql" for extension in found.extensions):
        sessions.execute(connection, "DROP EXTENSION IF EXISTS plpgsql", what="drop extension plpgsql")


def _finish(into: Destination, task: Task, wanted: model.Properties, leave_out: Warn | None) -> None:
    """Take the mark away, and give the database what would have stood in the way before."""
    if not task.options.restores("pre-data"):
        return
    unfinished.clear(into.connection, task.name)
    give(into, task.name, wanted, properties.property_statements, what="properties", leave_out=leave_out)


def _run(into: Destination, task: Task, *, created: bool, whole: bool, stop: Stop, warn: Warn) -> None:
    work = pg_restore.Restoring(
        into=into,
        database=task.name,
        options=task.options,
        tablespaces=task.tablespaces,
        hasty=created,  # the last statements, which take the mark away, are not
        stop=stop,
        warn=warn,
        on_table=task.doing,
    )
    if isinstance(task.archive, Staged):
        first, then = event_triggers.apart(task.archive, task.only) if _fills(task) else (task.only, ())
        for only, jobs in ((first, task.options.jobs), (then, 1)):
            if only != ():
                at_once = replace(work, options=replace(task.options, jobs=jobs))
                pg_restore.run_staged(at_once, task.archive.handle, only=only)
    elif task.format == "plain":
        plain_restore.run(work, task.archive, single_transaction=not created)
    else:
        chunks = event_triggers.made_last(task.archive) if _fills(task) else task.archive
        pg_restore.run(work, chunks, single_transaction=whole)


def _fills(task: Task) -> bool:
    """Whether materialised views are filled, which event triggers must not be made before."""
    return task.options.restores("post-data") and any(table.kind == "m" for table in task.found.tables)


@contextmanager
def _analyzing(into: Destination, task: Task, stop: Stop, warn: Warn) -> Iterator[None]:
    """Gather statistics: after what is done in the `with`, where there are several jobs beside it too."""
    if not task.options.analyze:
        yield
        return
    where = into.conninfo.with_database(task.name)
    gather = partial(analyze.analyze, where, application_name=LABEL, warn=warn)
    if task.options.jobs == 1:
        yield
        task.doing("gathering statistics")
        gather(analyze.tables(where, application_name=LABEL), jobs=1, stop=stop)
        return
    left = analyze.tables(where, application_name=LABEL)
    with stop.derived() as limited, ThreadPoolExecutor(1, thread_name_prefix="analyze") as pool:
        running = pool.submit(gather, left, jobs=task.options.jobs - 1, stop=limited)
        try:
            yield
            task.doing("gathering statistics")
            gather(left, jobs=1, stop=limited)  # the session that was busy beside helps
        except BaseException:
            limited.request()
            raise
        running.result()


def compared(into: Destination, task: Task, *, stop: Stop) -> Restored:
    """Count the rows of every table and hold them against the backup's counts. Raise IntegrityError on a difference."""
    found, name = task.found, task.name
    # Materialised views are filled after the data.
    kinds = "rm" if task.options.restores("post-data") else "r"
    expected = {
        (t.schema, t.name): t
        for t in found.tables
        if t.rows is not None and t.kind in kinds and task.options.restores("data") and task.counting
    }
    task.doing("counting rows")
    notes: list[str] = []
    with snapshot.exported_snapshot(
        into.conninfo.with_database(name), application_name=LABEL, lock_wait_timeout=60
    ) as snap:
        there = catalog.read_database(
            snap.connection, Selection(), name=name, version_num=into.facts.version_num
        )
        if expected:
            # What was restored has run as us already.
            there = catalog.count_rows(snap.connection, there, stop=stop, foreign_code=True)
        roots = partitions.read_roots(snap.connection)
        # What was there before the backup's tables were made anew gave its own grants to them.
        givers = restored.default_grants(snap.connection, found.schemas, ()) if task.options.clean else ()
    counted = {(t.schema, t.name): t.rows for t in there.tables}
    lacking = partitions.lacking({key: table.rows or 0 for key, table in expected.items()}, counted, roots)
    wrong: list[str] = []
    for key, table in expected.items():
        rows = counted.get(key)
        if rows != table.rows and lacking.get(roots.get(key, key)) != 0:
            text = f"{table.schema}.{table.name}: {table.rows} rows in the backup, {_rows(rows)} restored"
            (notes if table.kind == "m" else wrong).append(text)
    if wrong:
        raise IntegrityError(
            f"database {name!r} was restored, but differs: " + "; ".join(wrong[:10]),
            hint="Triggers, rules or extensions of the new server may have changed rows; look before you use it.",
        )
    notes += (
        f"subscription {each.name} is not connected; when its publisher should send here, create its slot there"
        f" and run: ALTER SUBSCRIPTION {quoted_name(each.name)} ENABLE;"
        for each in found.subscriptions
    )
    notes += (restored.grants_note(giver, name) for giver in givers)
    return Restored(
        name=name,
        created=False,
        tables=sum(1 for t in there.tables if t.kind in "rpm" and t.extension is None),
        rows=sum(t.rows or 0 for t in expected.values()) if expected or not found.tables else None,
        notes=tuple(notes),
    )


def _rows(count: int | None) -> str:
    return "none" if count is None else str(count)


def _drop(into: Destination, name: str, warn: Warn) -> None:
    try:
        dropping.drop_half_restored(into.connection, into.conninfo, name)
    except Error as trouble:
        warn(f"could not drop the half-restored database {name!r}: {trouble.message}")
