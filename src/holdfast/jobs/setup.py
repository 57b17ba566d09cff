"""What the config asks the daemon to do: targets, timetables, and the kinds of jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.jobs import scheduled
from holdfast.jobs.scheduled import Kind
from holdfast.jobs.services import Services
from holdfast.ledger.scheduling import Key
from holdfast.model.planning import Timetable
from holdfast.model.run import Job
from holdfast.model.target import Target

_SHOWN = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the config asks for: replaced as a whole by a reload. Runs under way keep what they began with.

    `planned` are the jobs that are to be done by somebody, `timetables` those that this host can do.
    """

    services: Services
    targets: Mapping[str, Target]
    planned: Mapping[Key, Timetable]
    timetables: Mapping[Key, Timetable]
    kinds: Mapping[Job, Kind]
    max_dumps: int

    @classmethod
    def of(
        cls,
        services: Services,
        targets: tuple[Target, ...],
        max_dumps: int,
        kinds: tuple[Kind, ...] = scheduled.KINDS,
    ) -> Setup:
        """Make the setup of these targets, and say what this host cannot do, or was not told to."""
        planned = scheduled.timetables(targets, kinds)
        refusals = scheduled.refusals(services, kinds)
        for job in {job for job, _ in planned} & refusals.keys():
            services.reporter.warn("a job is off", job=job, reason=refusals[job])
        _tell_unscheduled(services, targets)
        return cls(
            services=services,
            targets={target.name: target for target in targets},
            planned=planned,
            timetables={key: timetable for key, timetable in planned.items() if key[0] not in refusals},
            kinds={kind.job: kind for kind in kinds},
            max_dumps=max_dumps,
        )


def _tell_unscheduled(services: Services, targets: tuple[Target, ...]) -> None:
    """Say that a daemon which looks well takes no backup of a target. That is right where another host does."""
    names = [target.name for target in targets if target.backup is None]
    if not targets:
        services.reporter.warn(
            "without a target this daemon does nothing: is HOLDFAST_URL set, and not empty?"
        )
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        services.reporter.warn(
            "without a schedule this daemon never takes a backup", targets=", ".join(names[:_SHOWN]) + more
        )
