"""The ground of a drill: a throwaway cluster, shut in, with stand-ins for the databases that are to be brought back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace

from holdfast.jobs import own_cluster, restore, runner
from holdfast.jobs.disaster import BroughtBack
from holdfast.jobs.reading import Opened, read_catalog, read_plain
from holdfast.jobs.restore_test import one_at_a_time
from holdfast.jobs.services import Services
from holdfast.ledger import drills
from holdfast.methods import logical_globals
from holdfast.methods.proving import Stopwatch
from holdfast.model.catalog import Database
from holdfast.model.drill import Drill
from holdfast.model.errors import RestoreTestError
from holdfast.model.run import Run
from holdfast.model.testing import RestoreTesting
from holdfast.postgres import bootstrap, properties, server, sessions
from holdfast.postgres.conninfo import Conninfo
from holdfast.system.stop import Stop

MAKING = "cluster"  # the phase that is none on the day
_LABEL = "holdfast drill"
_STAND_IN = "public.holdfast_stand_in"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """A throwaway server that has the roles of the backup, and damaged databases of the names that it holds."""

    into: Conninfo = field(repr=False)
    isolation: str


@contextmanager
def ground(
    services: Services,
    opened: Opened,
    plan: RestoreTesting,
    databases: Sequence[str],
    watch: Stopwatch,
    stop: Stop,
) -> Iterator[Ground]:
    """Make the server for the length of the `with`. Raise CouldNotTestError where this host cannot have it."""
    restore.require_identity(services, opened)
    with one_at_a_time(services):
        catalog = read_catalog(opened, services.keys)
        parts = [part for part in opened.backup.parts if part.database in databases]
        found = [restore.described(catalog, part) for part in parts]
        part = opened.backup.part("globals")
        text = b"" if part is None else read_plain(opened.place, part, services.keys)
        wanted = own_cluster.Wanted(
            programs=own_cluster.programs(plan, opened.backup),
            place=own_cluster.place(
                services, plan, restored=sum(map(own_cluster.size, found, parts)), staged=0
            ),
            first=bootstrap.superuser(text),
            catalog=catalog,
        )
        with own_cluster.own_cluster(services, plan, wanted, watch, stop) as cluster:
            services.stage("cluster")
            with watch.phase(MAKING):
                _furnish(cluster.conninfo, text, found)
            yield Ground(into=cluster.conninfo, isolation=cluster.isolation)


def _furnish(into: Conninfo, text: bytes, found: Sequence[Database]) -> None:
    """Make what a damaged server would have: the roles, and a database of each name, with something in it."""
    with closing(server.connect(into, application_name=_LABEL)) as connection:
        if text:
            # What a machine refuses is no more on a damaged server than on this one.
            logical_globals.apply(connection, text, tablespace_map={}, leave_out=lambda _: None)
        for each in found:
            if not server.has_database(connection, each.name):
                like = replace(each.properties, owner=str(into.params["user"]))
                made = properties.create_database_sql(
                    each.name, like, connection.info.server_version, tablespaces=False
                )
                sessions.execute(connection, made, what=f"create a stand-in for database {each.name!r}")
    for each in found:
        with closing(server.connect(into.with_database(each.name), application_name=_LABEL)) as connection:
            statement = f"CREATE TABLE {_STAND_IN} (damaged boolean)"
            sessions.execute(connection, statement, what=f"fill the stand-in for database {each.name!r}")


def run(services: Services, opened: Opened) -> Run:
    """Give the run that a drill is; those that died are closed first."""
    target = opened.backup.target
    runner.close_lost_runs(services, "drill", target)
    return Run(
        job="drill",
        target=target,
        started_at=services.clock.now(),
        backup_id=opened.backup.id,
        host=services.host,
        pid=services.pid,
    )


def keep(
    services: Services,
    opened: Opened,
    ground: Ground,
    watch: Stopwatch,
    *,
    seconds: float,
    names: Sequence[str],
) -> Drill:
    """Keep in the ledger that a drill came to its end after so many seconds, the throwaway server's making included."""
    sizes = (part.size for part in opened.backup.parts if part.database in names)
    done = Drill(
        target=opened.backup.target,
        backup_id=opened.backup.id,
        at=services.clock.now(),
        seconds=round(seconds - watch.done.get(MAKING, 0.0), 3),
        phases=watch.phases,
        databases=len(names),
        size=sum(sizes),
        isolation=ground.isolation,
    )
    drills.record(services.ledger, done)
    return done


def require_swapped(into: Conninfo, done: BroughtBack) -> None:
    """Raise RestoreTestError unless the stand-in left its place, and what was restored has it."""
    kept = done.swapped.kept if done.swapped is not None else None
    if kept is None or _has_stand_in(into, done.database) or not _has_stand_in(into, kept):
        raise RestoreTestError(
            f"database {done.database!r} did not change places with its stand-in",
            hint="This is a bug in Holdfast; please report it.",
        )


def _has_stand_in(into: Conninfo, database: str) -> bool:
    with closing(server.connect(into.with_database(database), application_name=_LABEL)) as connection:
        return bool(
            sessions.names(
                connection,
                "SELECT 1 WHERE to_regclass('public.holdfast_stand_in') IS NOT NULL",
                what="look for the stand-in",
            )
        )
