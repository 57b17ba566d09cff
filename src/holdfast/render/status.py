"""What people read of whether they are safe: the screen of `status`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from holdfast.render import printing
from holdfast.render.words import duration, many, size, when
from holdfast.system import logs

if TYPE_CHECKING:
    from holdfast.jobs.spread import Spread
    from holdfast.jobs.status import TargetStatus
    from holdfast.model.run import Run


def status(values: Sequence[TargetStatus]) -> None:
    """Answer "am I safe?" in one screen."""
    for value in values:
        printing.line(f"{'SAFE' if not value.problems else 'LOOK'}  {value.target}" + _why(value.problems))
        if value.last_good is not None:
            made = value.last_good.backup
            age = duration(value.age_seconds or 0)
            printing.line(f"      last good  {made.id}, {age} ago, {value.last_good.proof}")
            printing.line(
                f"      size       {size(made.size)}, stored as {size(made.stored_size)}; {many(value.backups, 'backup')}"
                + (f", {value.hidden} on their way out" if value.hidden else "")
            )
            printing.line(f"      copies     {printing.copies(value.last_good)}")
        if value.waiting is not None:
            printing.line(f"      newest     {value.waiting.backup.id}, in {printing.copies(value.waiting)}")
        if value.spread is not None:
            printing.line(f"      3-2-1      {spread(value.spread)}")
        if value.paused is not None:
            until = (
                "until it is resumed" if value.paused.until is None else f"until {when(value.paused.until)}"
            )
            printing.line(f"      PAUSED     since {when(value.paused.since)}, {until}: nothing is backed up")
        if value.last_failure is not None:
            printing.line(f"      failed     {_failure(value.last_failure)}")
        if value.last_drill is not None:
            took = duration(value.last_drill.seconds)
            printing.line(f"      drill      {when(value.last_drill.at)}, took {took}")
        if value.running is not None:
            printing.line(
                f"      running    since {when(value.running.started_at)}, {size(value.running.bytes_done)} done"
            )
    for note in dict.fromkeys(note for value in values for note in value.notes):
        printing.line(f"NOTE  {note}")


def spread(value: Spread) -> str:
    """Say on one line how the rule of 3-2-1 is met."""
    count = "1 copy" if len(value.copies) == 1 else f"{len(value.copies)} copies"
    stores = f"{count} ({', '.join(value.copies)})"
    off_site = f"off-site ({', '.join(value.off_site)})" if value.off_site else "NOT off-site"
    modes = ", ".join(f"{store}: {mode}" for store, mode in value.locked)
    locked = f"locked ({modes})" if value.locked else "not locked"
    encrypted = "encrypted" if value.encrypted else "NOT encrypted"
    proven = f"proven {when(value.proven_at)}" if value.proven_at is not None else "not proven"
    return f"{'met' if value.met else 'NOT met'}: {stores}, {off_site}, {locked}, {encrypted}, {proven}"


def _why(problems: Sequence[str]) -> str:
    return ": " + "; ".join(problems) if problems else ""


def _failure(run: Run) -> str:
    first = (logs.redacted(run.error or "no reason recorded").splitlines() or [""])[0]
    return f"{when(run.started_at)} {run.error_code or run.status}: {first}"
