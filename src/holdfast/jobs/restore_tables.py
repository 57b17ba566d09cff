"""Restores some tables or schemas of a backup into a database that exists."""

from __future__ import annotations

from dataclasses import replace

from holdfast.jobs import restore_beside, runner
from holdfast.jobs.part_archive import open_archive
from holdfast.jobs.reading import Opened, read_catalog
from holdfast.jobs.restore import described, require_identity, told
from holdfast.jobs.restore_tables_report import RestoredTable, TablesReport, TablesWish
from holdfast.jobs.restore_tables_work import Work, tables_of
from holdfast.jobs.services import Services
from holdfast.methods import restore_checks, tables_restore
from holdfast.methods.destination import destination
from holdfast.methods.tables_restore import Goal
from holdfast.model.backup import Part
from holdfast.model.errors import NotFoundError, UsageError
from holdfast.model.run import MANUAL
from holdfast.postgres.selecting import find_roots
from holdfast.system.stop import Stop

__all__ = ["RestoredTable", "TablesReport", "TablesWish", "restore_tables"]


def restore_tables(services: Services, opened: Opened, wish: TablesWish, stop: Stop) -> TablesReport:
    """Restore as wished, recording the run unless it is a dry one.

    What is restored appears all at once. A failure before leaves the database as it was; afterwards only keys to
    other tables, counting and gathering statistics are left, and an error says so.
    """
    wish.check()
    part = _part(opened, wish.database)
    for error in restore_checks.impossible(wish.options, database=part.database):
        raise error
    require_identity(services, opened)
    if wish.dry_run:
        return _restore(services, opened, wish, part, runner.Meter(), stop)
    backup = opened.backup
    runner.close_lost_runs(services, "restore", backup.target)
    run = runner.new_run(services, "restore", backup.target, MANUAL, backup_id=backup.id)
    return runner.execute(services, run, lambda meter: _restore(services, opened, wish, part, meter, stop))


def _part(opened: Opened, database: str | None) -> Part:
    parts = [part for part in opened.backup.parts if part.role == "database"]
    names = ", ".join(part.database or "" for part in parts)
    chosen = [part for part in parts if database in (None, part.database)]
    if not chosen:
        raise NotFoundError(
            f"backup {opened.backup.id} holds no database {database!r}", hint=f"It holds {names}."
        )
    if len(chosen) > 1:
        raise UsageError("which database are the tables in?", hint=f"Add --database NAME; it holds {names}.")
    return chosen[0]


def _restore(
    services: Services, opened: Opened, wish: TablesWish, part: Part, meter: runner.Meter, stop: Stop
) -> TablesReport:
    began = services.clock.monotonic()
    warnings: list[str] = []

    def warn(text: str) -> None:
        warnings.append(text)
        services.reporter.warn(text, backup=opened.backup.id)

    found = described(read_catalog(opened, services.keys), part)
    archive = open_archive(services, opened, part, stop, encoding=found.properties.encoding, copies=True)
    roots = find_roots(archive.index, wish.tables, wish.schemas, renamed=wish.rename)
    if wish.options.jobs > 1:
        warn("tables are restored by one job: it is one transaction")
    with destination(wish.into, dump_version=opened.backup.tools.get("pg_dump")) as into:
        for text in told(opened, into):
            warn(text)
        goal = Goal(
            into=into,
            database=wish.into_database or part.database or "",
            options=wish.options,
            stop=stop,
            warn=warn,
            doing=services.reporter.doing,
        )
        tables_restore.require_database(into, goal.database)
        work = Work(
            services=services,
            opened=opened,
            wish=wish,
            found=found,
            archive=archive,
            roots=roots,
            goal=goal,
            meter=meter,
        )
        return replace(
            restore_beside.restore(work) if wish.beside else _in_place(work),
            seconds=services.clock.monotonic() - began,
            warnings=tuple(warnings),
        )


def _in_place(work: Work) -> TablesReport:
    """Restore under the names of old."""
    goal, archive = work.goal, work.archive
    selection = tables_restore.chosen(goal, archive.index, work.roots)
    for error in tables_restore.refusals(goal, archive.index, selection):
        raise error
    expected = work.rows(selection.relations)
    if work.wish.dry_run:
        later = (f"{late.what} is tried at the end" for late in selection.late)
        return work.report(selection, tables_of(selection.relations, expected), notes=later)
    tables_restore.prepare(goal, selection.entries)
    with work.reading(selection.entries) as chunks:
        tables_restore.feed(goal, chunks)
    work.services.stage("fed")
    heads = ((late, archive.head(late.entries, goal.stop)) for late in selection.late)
    skipped = tables_restore.feed_late(goal, heads)
    rows = tables_restore.counted(goal, expected.keys(), expected)
    notes = work.settled(selection)
    return work.report(selection, tables_of(selection.relations, rows), skipped=skipped, notes=notes)
