"""Restores some tables of a backup under other names, beside those that are there.

pg_restore cannot rename, and SQL that somebody wrote is not edited here. So the tables are restored into a scratch
database, renamed there by the server, and brought over by pg_dump and pg_restore.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace

from holdfast.jobs.part_archive import in_words
from holdfast.jobs.restore_tables_report import TablesReport
from holdfast.jobs.restore_tables_work import Work, name_of, tables_of
from holdfast.methods import scratch_database, tables_restore
from holdfast.methods.destination import LABEL
from holdfast.methods.scratch_database import ScratchDatabase
from holdfast.methods.tables_restore import Goal
from holdfast.model.errors import IntegrityError, UsageError
from holdfast.postgres import cutting, presence, renaming, server
from holdfast.postgres.archive import TocReader
from holdfast.postgres.belonging import Belonging
from holdfast.postgres.entries import Entry
from holdfast.postgres.relation_names import Name, find_relations, plain_name, shown
from holdfast.postgres.selecting import Selection, relations_of, roots_named, select, with_routines


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """Where everything goes: relations by their old names, or a whole schema; `taken` are names of the database."""

    moves: Mapping[Name, Name]
    kinds: Mapping[Name, str]
    schema: tuple[str, str] | None
    taken: frozenset[Name]


def restore(work: Work) -> TablesReport:
    """Restore under new names. A failure leaves the database as it was."""
    goal, index = work.goal, work.archive.index
    plan = _plan(work)
    first = select(index, with_routines(index, work.roots), frozenset(), alone=True)
    for error in tables_restore.refusals(goal, index, first):
        raise error
    if work.wish.dry_run:
        selection = tables_restore.chosen(goal, index, work.roots, alone=True)
        rows = _renamed(work.rows(selection.relations), plan.moves)
        moved = [_moved(entry, plan.moves) for entry in selection.relations]
        return work.report(selection, tables_of(moved, rows, plan.moves))
    with scratch_database.scratch_database(goal.into, work.found.properties, goal.warn) as scratch:
        work.services.stage("scratch_made")
        there = replace(goal, database=scratch.name)
        with work.reading(first.entries) as chunks:
            tables_restore.feed(there, chunks, whole=False)
        work.services.stage("scratch_filled")
        notes = _rename(scratch, plan)
        second, titles = _bring_over(goal, scratch, plan, work.found.properties.encoding)
        work.services.stage("fed")
    arrived = set(map(name_of, second.relations))
    known = _renamed(work.rows(first.relations), plan.moves)
    expected = {name: count for name, count in known.items() if name in arrived}
    rows = tables_restore.counted(goal, expected.keys(), expected)
    notes += work.settled(second)
    return work.report(
        second,
        tables_of(second.relations, rows, plan.moves),
        skipped=first.skipped,
        notes=notes,
        title=titles.title,
    )


def _plan(work: Work) -> _Plan:
    """Find every relation's new name. Raise UsageError, NotFoundError or SourceError before anything is done."""
    wish = work.wish
    relations = relations_of(work.archive.index, work.roots)
    schema = _new_name(wish.into_schema, "--into-schema") if wish.into_schema is not None else None
    spaces = {entry.namespace or "" for entry in relations} if schema is None else {schema}
    where = work.goal.into.conninfo.with_database(work.goal.database)
    with closing(server.connect(where, application_name=LABEL)) as connection:
        taken = renaming.taken_names(connection, spaces)
        if schema is not None and wish.schemas:
            return _plan_of_schema(work, connection, relations, schema)
    moves = dict(_moves(work, relations, schema, taken))
    kinds = {name_of(entry): entry.desc for entry in relations}
    for old, new in moves.items():
        if new in taken:
            raise UsageError(
                f"database {work.goal.database!r} already has {shown(*new)}, as {shown(*old)} would be called",
                hint="Choose another name, with --rename-table OLD=NEW or --into-schema.",
            )
    if doubles := [new for new, count in Counter(moves.values()).items() if count > 1]:
        raise UsageError(
            f"two tables would be called {shown(*doubles[0])}", hint="Use --rename-table OLD=NEW."
        )
    return _Plan(moves=moves, kinds=kinds, schema=None, taken=taken)


def _plan_of_schema(
    work: Work, connection: server.Connection, relations: Collection[Entry], new: str
) -> _Plan:
    if len(work.roots.schemas) > 1:
        raise UsageError("--into-schema takes one schema", hint=f"{work.wish.schemas[0]} means several.")
    (old,) = work.roots.schemas
    moved = [replace(entry, namespace=new) for entry in work.roots.entries if entry.namespace == old]
    if there := presence.present(connection, work.archive.index, moved):
        titles = [work.archive.index.title(entry) for entry in moved if entry.dump_id in there]
        raise UsageError(
            f"database {work.goal.database!r} already has {', '.join(titles[:10])}",
            hint="Choose a schema that is not there yet.",
        )
    moves = {name_of(entry): (new, entry.tag or "") for entry in relations if entry.namespace == old}
    return _Plan(moves=moves, kinds={}, schema=(old, new), taken=frozenset())


def _moves(
    work: Work, relations: Collection[Entry], schema: str | None, taken: Collection[Name]
) -> Iterator[tuple[Name, Name]]:
    wish, index = work.wish, work.archive.index
    names = {name_of(entry): entry for entry in relations}
    explicit: dict[Name, str] = {}
    for text, new in wish.rename.items():
        found = find_relations(text, names.keys(), option="--rename-table")
        if len(found) > 1:
            raise UsageError(f"--rename-table {text}={new}: {text} means several tables")
        explicit[next(iter(found))] = _new_name(new, "--rename-table")
    given: dict[str, set[str]] = defaultdict(set)
    for space, name in taken:
        given[space].add(name)

    chosen: dict[Name, str] = {}

    def new_name(entry: Entry) -> str:
        old = name_of(entry)
        if old not in chosen:
            chosen[old] = explicit.get(old) or as_partition(entry)
            given[schema or old[0]].add(chosen[old])
        return chosen[old]

    def as_partition(entry: Entry) -> str:
        space, name = name_of(entry)
        _, parent = index.attached.get(entry.dump_id, (None, None))
        if parent is None or name_of(parent) not in names or new_name(parent) == parent.tag:
            return name
        return renaming.derived(name, parent.tag or "", new_name(parent), given[schema or space])

    for entry in relations:
        yield name_of(entry), (schema or entry.namespace or "", new_name(entry))


def _new_name(text: str, option: str) -> str:
    name = plain_name(text, option)
    if len(name.encode("utf-8", "surrogateescape")) > renaming.LONGEST:
        raise UsageError(
            f"{option}: {name!r} is longer than the {renaming.LONGEST} bytes that a server keeps"
        )
    return name


def _moved(entry: Entry, moves: Mapping[Name, Name]) -> Entry:
    schema, name = moves.get(name_of(entry), name_of(entry))
    return replace(entry, namespace=schema, tag=name)


def _renamed(rows: Mapping[Name, int], moves: Mapping[Name, Name]) -> dict[Name, int]:
    return {moves.get(name, name): count for name, count in rows.items()}


def _rename(scratch: ScratchDatabase, plan: _Plan) -> tuple[str, ...]:
    if plan.schema is not None:
        return renaming.rename_schema(scratch.connection, *plan.schema)
    return renaming.rename(scratch.connection, plan.moves, plan.kinds, plan.taken)


def _bring_over(
    goal: Goal, scratch: ScratchDatabase, plan: _Plan, encoding: str
) -> tuple[Selection, Belonging]:
    """Dump the scratch database, and restore of it what was wished for, in one transaction."""
    with closing(scratch_database.dumped(goal.into, scratch.name, goal.stop)) as chunks:
        reader, begun = TocReader("the dump of the scratch database", relations=True), []
        for chunk in chunks:
            reader.feed(chunk)
            begun.append(chunk)
            if reader.done:
                break
        toc = reader.finish()
        index = Belonging(in_words(toc.entries, encoding))
        names, schemas = (
            (frozenset(plan.moves.values()), ()) if plan.schema is None else ((), plan.schema[1:])
        )
        roots = roots_named(index, names, schemas)
        if lost := frozenset(plan.moves.values()).difference(map(name_of, roots.entries)):
            raise IntegrityError(
                f"what was restored into {scratch.name!r} lacks {', '.join(shown(*name) for name in sorted(lost))}"
            )
        selection = tables_restore.chosen(goal, index, roots, alone=True)
        for error in tables_restore.refusals(goal, index, selection):
            raise error
        whole = itertools.chain(begun, chunks)
        tables_restore.prepare(goal, selection.entries)
        tables_restore.feed(goal, cutting.held_back(cutting.cut(whole, toc, selection.entries)))
    return selection, index
