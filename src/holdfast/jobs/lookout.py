"""Looks through the stores every hour for what other hosts put there, and says what is wrong in them, once."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.jobs import catalog
from holdfast.jobs.catalog import Rebuilt
from holdfast.jobs.services import Services
from holdfast.jobs.setup import Setup

EVERY = 3600.0


@dataclass(slots=True)
class Lookout:
    """Remembers when it looked last (None: never), and what was found wrong then and was told already."""

    _looked: float | None = None
    _found: frozenset[tuple[str, str]] = frozenset()
    _told: set[tuple[str, str]] = field(default_factory=set)

    def is_due(self, setup: Setup, passed: float) -> bool:
        """Whether to look now, by a clock that only goes forward; counted as looked at then."""
        if not _others_write(setup) or (self._looked is not None and passed - self._looked < EVERY):
            return False
        self._looked = passed
        return True

    def look(self, services: Services) -> int:
        """Learn of new backups and marks; return how many backups are new.

        What a second look still finds wrong is told: until then it may be a backup under way.
        """
        known = len(services.ledger.backups())
        found = catalog.rebuild(services, quick=True, forget=False)
        problems = frozenset(found.problems)
        fresh = [each for each in found.problems if each in self._found - self._told]
        catalog.tell(services, Rebuilt(problems=fresh))
        self._told = (self._told & problems) | set(fresh)
        self._found = problems
        return len(services.ledger.backups()) - known


def _others_write(setup: Setup) -> bool:
    """Whether another host has to take backups of a target, or to make the tests that this one cannot."""
    taken_here = {target for job, target in setup.timetables if job == "backup"}
    return setup.targets.keys() != taken_here or setup.planned.keys() != setup.timetables.keys()
