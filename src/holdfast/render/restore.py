"""What people and programs read of a restore: what it did, what it would do, and what became of some tables."""

from __future__ import annotations

from collections.abc import Iterable

from holdfast.jobs.restore import Report
from holdfast.jobs.restore_plan import Plan, Planned
from holdfast.jobs.restore_tables_report import RestoredTable, TablesReport
from holdfast.methods.logical_globals import Applied
from holdfast.model.codec import Json, time_text, to_json
from holdfast.render.printing import line
from holdfast.render.words import duration, many, size

Facts = dict[str, Json]
_SHOWN = 20
_ACTIONS = {
    "create": "would be created",
    "fill": "is there and would be filled",
    "replace": "would be replaced",
}


def facts(value: Report) -> Facts:
    """What a restore did."""
    return {
        "id": value.backup_id,
        "target": value.target,
        "taken_at": time_text(value.taken_at),
        "into": value.into,
        "globals": to_json(value.globals),
        "databases": to_json(value.databases),
        "size": value.size,
        "seconds": value.seconds,
        "warnings": to_json(value.warnings),
    }


def report(value: Report) -> None:
    """Say what was restored."""
    if value.globals is not None:
        _globals(value.globals, "created", "kept as they were here")
    for database in value.databases:
        known = database.rows
        rows = "rows not counted" if known is None else f"{many(known, 'row')}, as in the backup"
        line(f"database {database.name}: {many(database.tables, 'table')}, {rows}")
        for note in database.notes:
            line(f"  {note}")
    line(f"restored {value.backup_id} into {value.into}: {_rate(value.size, value.seconds)}")


def plan_facts(value: Plan) -> Facts:
    """What a restore would do."""
    return {
        "id": value.backup_id,
        "target": value.target,
        "taken_at": time_text(value.taken_at),
        "into": value.into,
        "server_version": value.server_version,
        "globals": to_json(value.globals),
        "databases": to_json(value.databases),
        "staging": None
        if value.staging is None
        else {
            "directory": str(value.staging.directory),
            "needed": value.staging.needed,
            "free": value.staging.free,
        },
        "problems": to_json(value.problems),
        "notes": to_json(value.notes),
    }


def plan(value: Plan) -> None:
    """Say what a restore would do, and what keeps it from it."""
    line(f"{value.backup_id} into {value.into}, PostgreSQL {value.server_version}; nothing is changed now")
    if value.globals is not None:
        _globals(value.globals, "would be created", "would be kept as they are")
    for database in value.databases:
        line(f"database {_planned(database)}")
    if value.staging is not None:
        line(
            f"staging needs {size(value.staging.needed)} in {value.staging.directory}, which has"
            f" {size(value.staging.free)} free"
        )
    for note in value.notes:
        line(f"note  {note}")
    for problem in value.problems:
        line(f"fail  {problem.message}")
        if problem.hint:
            line(f"      {problem.hint}")
    if value.problems:
        line(f"the restore would be refused: {many(len(value.problems), 'problem')}")


def _planned(value: Planned) -> str:
    rows = "rows not counted" if value.rows is None else many(value.rows, "row")
    was = f" (in the backup: {value.source})" if value.source != value.name else ""
    return (
        f"{value.name}{was} {_ACTIONS[value.action]}: {many(value.tables, 'table')}, {rows}, {size(value.size)},"
        f" owner {value.owner}, encoding {value.encoding}"
    )


def tables_facts(value: TablesReport) -> Facts:
    """What became of some tables."""
    return {
        "id": value.backup_id,
        "target": value.target,
        "taken_at": time_text(value.taken_at),
        "into": value.into,
        "database": value.database,
        "into_database": value.into_database,
        "dry_run": value.dry_run,
        "tables": to_json(value.tables),
        "also": to_json(value.also),
        "skipped": to_json(value.skipped),
        "notes": to_json(value.notes),
        "kinds": [{"kind": kind, "count": count} for kind, count in value.kinds.items()],
        "size": value.size,
        "seconds": value.seconds,
        "warnings": to_json(value.warnings),
    }


def tables(value: TablesReport) -> None:
    """Say which tables were restored, or would be, and what was not."""
    for text in _first([_table(each) for each in value.tables]):
        line(text)
    _list("also, because needed", value.also)
    _list("left out", [f"{each.what}: {each.reason}" for each in value.skipped])
    for note in value.notes:
        line(f"note: {note}")
    where = f"database {value.into_database} on {value.into}"
    entries = ", ".join(f"{count} {kind.lower()}" for kind, count in value.kinds.items())
    if not (value.dry_run or value.tables or not entries):
        line(entries)
    if value.dry_run:
        line(f"would be restored from {value.backup_id} into {where}: {entries or 'nothing'}")
        line(f"  {size(value.size)} would be read; nothing was changed")
    else:
        line(f"restored from {value.backup_id} into {where}: {_rate(value.size, value.seconds)}")


def _table(value: RestoredTable) -> str:
    rows = "" if value.rows is None else f": {many(value.rows, 'row')}"
    was = f" (in the backup: {value.was})" if value.was is not None else ""
    return f"{value.kind} {value.name}{was}{rows}"


def _list(title: str, texts: Iterable[str]) -> None:
    found = list(texts)
    if found:
        line(f"{title}:")
    for text in _first(found):
        line(f"  {text}")


def _first(texts: list[str]) -> Iterable[str]:
    yield from texts[:_SHOWN]
    if len(texts) > _SHOWN:
        yield f"and {len(texts) - _SHOWN} more (--json lists all)"


def _globals(value: Applied, made: str, kept: str) -> None:
    line(f"roles: {len(value.created)} {made}")
    if value.kept:
        line(f"  {kept}: {', '.join(value.kept)}")
    if spaces := ", ".join(value.tablespaces_created):
        line(f"  tablespaces {made}: {spaces}")
    if left := ", ".join(value.tablespaces_left_out):
        line(f"  tablespaces left out: {left} (--tablespace-map OLD=PATH)")
    if left := ", ".join(value.settings_left_out):
        line(f"  role settings left out: {left}")


def _rate(count: int, seconds: float) -> str:
    rate = count / seconds if seconds else 0
    return f"{size(count)} in {duration(seconds)} ({size(rate)}/s)"
