"""What the families of a scrape are made from: the ledger's snapshot, the config, and the time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from holdfast.model.overview import Configured, Overview, RunFacts

_NO_ATTEMPT = frozenset({"missed", "skipped"})


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One scrape. `now` is in seconds since 1970."""

    overview: Overview
    configured: Configured
    now: float

    @cached_property
    def targets(self) -> tuple[str, ...]:
        """The targets that are told of: those of the config, or, where it has none, those with backups."""
        known = self.configured.targets.keys() | self.overview.configured_at.keys()
        return tuple(sorted(known or self.overview.newest))

    @cached_property
    def jobs(self) -> tuple[tuple[str, str], ...]:
        """The jobs that are done, were done or will be done, each with its target."""
        targets = set(self.targets)
        known = {("backup", target) for target in self.configured.targets}
        known |= {("copy", target) for target, stores in self.configured.targets.items() if len(stores) > 1}
        known |= {(planned.job, planned.target) for planned in self.overview.planned}
        known |= {(tally.job, tally.target) for tally in self.overview.tallies}
        known |= {(run.job, run.target) for run in self.overview.running}
        return tuple(sorted(pair for pair in known if pair[1] in targets))

    @cached_property
    def places(self) -> tuple[tuple[str, str], ...]:
        """The targets with the stores that their backups go to, or lie in."""
        targets = set(self.targets)
        known = {(target, store) for target, stores in self.configured.targets.items() for store in stores}
        known |= {
            pair for pair, held in self.overview.holdings.items() if held.backups and pair[0] in targets
        }
        return tuple(sorted(known))

    @cached_property
    def _runs(self) -> dict[tuple[str, str], list[RunFacts]]:
        found: dict[tuple[str, str], list[RunFacts]] = {}
        for run in (*self.overview.last_runs, *self.overview.running):
            found.setdefault((run.job, run.target), []).append(run)
        return found

    def last_runs(self, job: str, target: str, *statuses: str) -> Iterator[RunFacts]:
        """The last run of each status that is asked for (default: all), the last begun last."""
        for run in self._runs.get((job, target), ()):
            if not statuses or run.status in statuses:
                yield run

    def last_success(self, job: str, target: str) -> float:
        """When a run last ended well, 0 where none ever did."""
        return max((run.finished_at or 0.0 for run in self.last_runs(job, target, "succeeded")), default=0.0)

    def last_attempt(self, job: str, target: str) -> float:
        """When a run last began, 0 where none ever did."""
        tried = (run for run in self.last_runs(job, target) if run.status not in _NO_ATTEMPT)
        return max((run.started_at for run in tried), default=0.0)
