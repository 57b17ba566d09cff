"""What people and programs read of the history of a schema."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.jobs.schema import SchemaVersion
from holdfast.model.codec import Json, time_text, to_json
from holdfast.model.schema import summary
from holdfast.render.printing import line
from holdfast.render.words import when

_SHOWN = 20


def facts(values: Sequence[SchemaVersion]) -> list[Json]:
    """Each version, and what it changed."""
    return [
        {
            "id": each.backup_id,
            "at": time_text(each.at),
            "database": each.database,
            "fingerprint": each.fingerprint,
            "migration": each.migration,
            "summary": None if each.changes is None else summary(each.changes),
            "changes": None if each.changes is None else to_json(each.changes),
        }
        for each in values
    ]


def log(values: Sequence[SchemaVersion]) -> None:
    """Say when a schema changed, and how; the newest last."""
    for each in values:
        said = "first known" if each.changes is None else summary(each.changes) or "the order of its parts"
        migration = f"  [{each.migration}]" if each.migration else ""
        line(f"{when(each.at)}  {each.backup_id}  {each.database}: {said}{migration}")
        lines = [
            text
            for change in each.changes or ()
            for text in (
                f"{change.action:<8} {change.title}",
                *(f"         {detail}" for detail in change.details),
            )
        ]
        for text in lines[:_SHOWN]:
            line(f"    {text}")
        if len(lines) > _SHOWN:
            line(f"    and {len(lines) - _SHOWN} more lines (--json lists all)")


def lines(text: str) -> None:
    """Print a text of several lines."""
    for each in text.splitlines():
        line(each)
