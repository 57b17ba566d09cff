"""What people and programs read of a recovery: what the store holds, what is brought back, and how long it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from holdfast.jobs.recover import Found
from holdfast.jobs.restore import Report
from holdfast.jobs.restore_plan import Plan
from holdfast.ledger.ledger import BackupRow
from holdfast.render import facts, printing, restore, sameness
from holdfast.render.facts import Facts
from holdfast.render.printing import line
from holdfast.render.words import duration, many, size, when


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Tells each step to people as it comes, or everything to a program at the end."""

    as_json: bool
    quiet: bool

    @property
    def _speaks(self) -> bool:
        return not (self.as_json or self.quiet)

    def found(self, values: Sequence[Found], now: datetime) -> None:
        """Say what there is."""
        if not self.as_json:  # also where it should be quiet: it was asked for
            _table(values, now)

    def chosen(self, row: BackupRow, now: datetime) -> None:
        """Say what is brought back, and what is not in it."""
        if not self.as_json:
            age = duration((now - row.backup.started_at).total_seconds())
            line()
            line(
                f"backup {row.backup.id} of {row.backup.target}; what was written in the {age} since is not in it"
            )

    def planned(self, value: Plan) -> None:
        """Say what would happen to the server."""
        if self._speaks or (value.problems and not self.as_json):
            restore.plan(value)
            lacking = [each.name for each in value.databases if each.action == "create"]
            if value.problems and 0 < len(lacking) < len(value.databases):
                line(f"not there yet: {', '.join(lacking)}; --database NAME brings back one alone")

    def restored(self, value: Report) -> None:
        """Say what was restored."""
        if self._speaks:
            restore.report(value)
        found = value.sameness
        if found is not None and not self.as_json and (self._speaks or found.differs or not found.whole):
            for text in sameness.lines(found):
                line(text)

    def end(
        self,
        values: Sequence[Found],
        *,
        planned: Plan | None = None,
        report: Report | None = None,
        seconds: float = 0,
    ) -> None:
        """Say how long it all took; a program is told everything."""
        if self.as_json:
            printing.facts(all_facts(values, planned=planned, report=report, seconds=seconds))
        elif report is not None and not self.quiet:
            differs = report.sameness is not None and report.sameness.differs
            but = ", but NOT all is as in the backup: look before you use it" if differs else ""
            line(f"recovered {report.target} in {duration(seconds)}{but}")


def all_facts(
    values: Sequence[Found], *, planned: Plan | None = None, report: Report | None = None, seconds: float = 0
) -> Facts:
    """What the store holds, what would happen or was done with it, and how long it took."""
    return {
        "targets": [
            {
                "target": each.target,
                "broken": each.broken,
                "hidden": each.hidden,
                "backups": [facts.row(row) for row in each.whole],
            }
            for each in values
        ],
        "plan": None if planned is None else restore.plan_facts(planned),
        "restored": None if report is None else restore.facts(report),
        "compared": None if report is None or report.sameness is None else sameness.facts(report.sameness),
        "seconds": seconds,
    }


def _table(values: Sequence[Found], now: datetime) -> None:
    printing.table(
        ("TARGET", "BACKUPS", "NEWEST", "AGE", "SIZE", "PROOF", "DATABASES"),
        (_cells(each, now) for each in values),
        right=frozenset({"BACKUPS", "AGE", "SIZE"}),
    )
    for each in values:
        best = each.best_known
        if best is not None and best is not each.whole[0]:
            line(
                f"the newest of {each.target} that is {best.proof}: {best.backup.id}, {when(best.backup.started_at)}"
            )
        if each.hidden:
            line(f"{each.target}: {many(each.hidden, 'backup')} on the way out, hidden by a tombstone")
        if each.broken:
            line(
                f"{each.target}: {many(each.broken, 'backup')} that {'is' if each.broken == 1 else 'are'} not whole"
            )


def _cells(value: Found, now: datetime) -> tuple[str, ...]:
    if not value.whole:
        return (value.target, "0", "", "", "", "", "")
    newest = value.whole[0]
    return (
        value.target,
        str(len(value.whole)),
        newest.backup.id,
        duration((now - newest.backup.started_at).total_seconds()),
        size(newest.backup.size),
        newest.proof,
        ", ".join(newest.backup.databases),
    )
