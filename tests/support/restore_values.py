"""Sample values of restores, with nothing missing in them."""

from __future__ import annotations

from pathlib import Path

from holdfast.jobs.restore import Report
from holdfast.jobs.restore_plan import Plan, Planned, Problem, Staging
from holdfast.jobs.restore_tables_report import RestoredTable, TablesReport
from holdfast.methods.logical_globals import Applied
from holdfast.methods.logical_restore import Restored
from holdfast.postgres.selecting import Skipped
from support.model_values import NOW

ID = "20261122T020000Z-7f3a"
APPLIED = Applied(created=("new",), kept=("old",), tablespaces_created=(), tablespaces_left_out=("fast",))


def restored() -> Report:
    """Give a restore of one database."""
    return Report(
        backup_id=ID,
        target="shop",
        taken_at=NOW,
        into="here",
        globals=APPLIED,
        databases=(Restored(name="app", created=True, tables=1, rows=7, notes=("look",)),),
        size=1,
        seconds=1.0,
        warnings=("warm",),
    )


def planned_restore() -> Plan:
    """Give a restore of one database that would be refused."""
    database = Planned(
        name="new",
        source="app",
        action="create",
        size=10_000_000,
        tables=1,
        rows=7,
        owner="me",
        encoding="UTF8",
    )
    return Plan(
        backup_id=ID,
        target="shop",
        taken_at=NOW,
        into="here",
        server_version="15.1",
        globals=APPLIED,
        databases=(database,),
        staging=Staging(directory=Path("/spool"), needed=10_000_000, free=2_000_000),
        problems=(Problem(message="the disk is small", hint="Buy another."),),
        notes=("it is older",),
    )


def restored_tables(*, dry_run: bool = False) -> TablesReport:
    """Give a restore of one table."""
    return TablesReport(
        backup_id=ID,
        target="shop",
        taken_at=NOW,
        into="here",
        database="app",
        into_database="live",
        dry_run=dry_run,
        tables=(RestoredTable(kind="table", name="public.new", was="public.t", rows=7),),
        also=("type public.mood",),
        skipped=(Skipped(what="foreign key f", reason="its table is not there"),),
        notes=("look",),
        kinds={"TABLE": 1, "INDEX": 2},
        size=1,
        seconds=1.0,
        warnings=(),
    )
