"""Sample values of swaps, with nothing missing in them."""

from __future__ import annotations

from holdfast.jobs.swap import Plan, SwapReport
from holdfast.jobs.written_since import DefinitionChange, SequenceChange, TableChange, Unread, Written
from holdfast.postgres.property_changes import PropertyChanges


def planned_swap() -> Plan:
    """Give a swap that would end a session."""
    return Plan(
        live="app", other=None, kept="old", into="here", size=1, other_size=None, sessions={"me": 1}, notes=()
    )


def swapped() -> SwapReport:
    """Give a swap after which everything differs."""
    written = Written(
        tables_compared=1,
        tables=(TableChange(name="t", rows_old=1, rows_backup=2),),
        sequences=(SequenceChange(name="s", old=1, backup=2),),
        large_objects=(),
        definitions=(DefinitionChange(name="i", where="both"),),
        unread=(Unread(name="u", error="broken"),),
    )
    return SwapReport(
        live="app",
        kept="old",
        into="here",
        size=1,
        ended_sessions=1,
        blocked_seconds=0.1,
        properties=PropertyChanges(only_old=(), only_new=()),
        notes=(),
        written=written,
    )
