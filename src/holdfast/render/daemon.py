"""What people read of the daemon's plans."""

from __future__ import annotations

from collections.abc import Sequence

from holdfast.jobs.upcoming import Upcoming
from holdfast.render import printing
from holdfast.render.words import when


def upcoming(values: Sequence[Upcoming]) -> None:
    """Print the runs to come, the next first."""
    if not values:
        printing.line("nothing is scheduled: set `schedule` or `every` of a target")
        return
    printing.table(
        ("UTC", "LOCAL", "ZONE", "JOB", "TARGET", "RULE", ""),
        (
            (
                when(value.at),
                f"{value.local:%a %Y-%m-%d %H:%M:%S}",
                value.timezone,
                value.job,
                value.target,
                value.rule,
                "paused" if value.paused else "",
            )
            for value in values
        ),
    )
