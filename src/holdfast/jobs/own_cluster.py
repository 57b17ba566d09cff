"""Makes the scratch cluster that a backup is restored into: of the backup's major, where there is room, shut in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.jobs.services import Services
from holdfast.methods.proving import Stopwatch
from holdfast.model.backup import Backup, Part
from holdfast.model.catalog import Catalog, Database
from holdfast.model.errors import CouldNotTestError, SourceError
from holdfast.model.testing import RestoreTesting
from holdfast.postgres import bootstrap, confined, tools
from holdfast.postgres.confined import Confined, Confinement
from holdfast.system.stop import Stop

_RESERVE = 512 * 1024 * 1024  # WAL, catalogs, sorting


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The cluster that is wanted: by which programs, in which directory, and the name of its first superuser.

    `catalog` tells what the server has to load for the backup's extensions.
    """

    programs: tools.Toolset
    place: Path
    first: str
    catalog: Catalog


def programs(plan: RestoreTesting, backup: Backup) -> tools.Toolset:
    """Find server programs of the backup's own major: another one would write definitions in other words."""
    wanted = tools.major(backup.server.version_num)
    found = tools.find_servers(plan.server_bin_dirs)
    for each in found:
        if each.major == wanted:
            return each
    there = ", ".join(sorted({each.text for each in found})) or "none"
    raise CouldNotTestError(
        f"the backup is of PostgreSQL {wanted}, and the server programs here are: {there}",
        hint=f"Install them where the restore test runs: postgresql-{wanted} (apt), postgresql{wanted}-server (dnf);"
        " or name their directory in restore_test.server_bin_dirs.",
    )


def place(services: Services, plan: RestoreTesting, *, restored: int, staged: int) -> Path:
    """Choose where the cluster lies, and make sure that there is room for so many bytes there, and staged.

    Raise CouldNotTestError where there is not.
    """
    chosen = plan.scratch_dir or services.spool_dir
    together = chosen.stat().st_dev == services.spool_dir.stat().st_dev if chosen.is_dir() else False
    confined.require_room(chosen, restored + _RESERVE + (staged if together else 0))
    if not together:
        confined.require_room(services.spool_dir, staged)
    return chosen


def size(found: Database, part: Part) -> int:
    """How much a database takes at most, by the server's figures when it was backed up, or by its dump."""
    return max(sum(table.bytes for table in found.tables), 2 * part.size)


@contextmanager
def own_cluster(
    services: Services, plan: RestoreTesting, wanted: Wanted, watch: Stopwatch, stop: Stop
) -> Iterator[Confined]:
    """Run the cluster for the length of the `with`; making and removing it are timed. Raise CouldNotTestError."""
    services.reporter.doing("making a scratch cluster")
    making = confined.confined_cluster(
        bin_dir=wanted.programs.bin_dir,
        parent=wanted.place,
        superuser=wanted.first,
        confinement=Confinement(
            required=plan.isolation == "required", hidden=(*services.keys.files, services.state_dir)
        ),
        settings={
            **_workers(plan.jobs),
            **bootstrap.preloads(wanted.catalog, wanted.programs),
            **plan.settings,
        },
        stop=stop,
    )
    with ExitStack() as stack:
        with watch.phase("cluster"), confined.naming_the_disk():
            cluster = stack.enter_context(making)
        try:
            yield cluster
        except (CouldNotTestError, SourceError) as error:
            found = confined.explained(error, cluster)
            if found is error:
                raise
            raise found from error
        with watch.phase("removal"):
            stack.close()


def _workers(jobs: int) -> dict[str, str]:
    """Leave to a query's helpers the processors that no job of the restore is busy with."""
    spare = max(0, (os.cpu_count() or 1) - jobs)
    few = str(min(2, spare))  # the server's own default is 2
    return {
        "max_parallel_workers": str(spare),
        "max_parallel_workers_per_gather": few,
        "max_parallel_maintenance_workers": few,
    }
