"""Settles the runs that an earlier daemon left open when it died: what can be told at once, and what the stores tell."""

from __future__ import annotations

from collections.abc import Mapping

from holdfast.jobs import runner, sweep
from holdfast.jobs.services import Services
from holdfast.model.errors import BusyError
from holdfast.model.target import Target


def settle(services: Services, targets: Mapping[str, Target]) -> list[Target]:
    """Close what no store can tell of; give the targets for which `sweep_up` has to look."""
    found: dict[str, Target] = {}
    for run in runner.left_open(services):
        target = targets.get(run.target)
        if run.job in {"backup", "import", "copy"} and target is not None:
            found[target.name] = target
        else:
            runner.close_lost(services, run)
    return list(found.values())


def sweep_up(services: Services, target: Target) -> None:
    """Adopt what a lost run has committed, remove the rest, and close it; unless somebody works on the target."""
    try:
        with runner.target_lock(services, target.name):
            sweep.sweep(services, target)
    except BusyError as busy:
        services.reporter.info("left alone", target=target.name, reason=str(busy))
