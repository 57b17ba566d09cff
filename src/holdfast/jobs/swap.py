"""Puts a restored database in the place of the live one, which is kept under a dated name; or swaps any two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace

from holdfast.jobs import restore, runner, sameness
from holdfast.jobs.reading import Opened
from holdfast.jobs.services import Services
from holdfast.jobs.written_since import Written, written
from holdfast.model.errors import Error, NotFoundError, UsageError
from holdfast.model.run import Run
from holdfast.postgres import properties, swap_checks, swapping, unfinished
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.property_changes import PropertyChanges, property_changes
from holdfast.postgres.server import Connection, connect
from holdfast.postgres.statements import quoted_name
from holdfast.postgres.survey import Survey, size, survey
from holdfast.system.stop import Stop

_KEPT, _MAKING = "before", "restoring"
_LABEL = "holdfast compare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a swap would do. `other` is None where it is yet to be restored; sizes in bytes, None where unknown.

    `sessions` are those that would be ended: how many of each user and application.
    """

    live: str
    other: str | None
    kept: str
    into: str
    size: int | None
    other_size: int | None
    sessions: Mapping[str, int]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapReport:
    """What a swap did. `live` is another database now; the one that was it is called `kept`, of `size` bytes.

    `restored` is None where nothing was restored, `written` where nothing was compared. `notes` tell what stays
    with the old database, and what went wrong after the swap.
    """

    live: str
    kept: str
    into: str
    size: int | None
    ended_sessions: int
    blocked_seconds: float
    properties: PropertyChanges | None
    notes: tuple[str, ...]
    restored: restore.Report | None = None
    written: Written | None = None


def plan(services: Services, into: Conninfo, live: str, other: str | None) -> Plan:
    """Look at what a swap would do, and change nothing. Raise whatever would keep it from happening."""
    with _server(into, live, other) as (where, conn):
        situation = swap_checks.examine(conn, live, other)
        return Plan(
            live=live,
            other=other,
            kept=_new_name(services, conn, live, _KEPT),
            into=where.safe,
            size=situation.live.size,
            other_size=situation.other.size if situation.other is not None else None,
            sessions=swap_checks.by_application(situation.sessions),
            notes=situation.notes,
        )


def plan_restore(services: Services, opened: Opened, wish: restore.Wish) -> Plan:
    """Look at what `restore_swapped` would do, and change nothing. Raise whatever would keep it from happening."""
    live = _live(opened, wish)
    restore.require_identity(services, opened)
    return plan(services, wish.into, live, None)


def swap(
    services: Services, into: Conninfo, live: str, other: str, stop: Stop, *, target: str | None = None
) -> SwapReport:
    """Let `other` take the place of `live`, which is kept under a dated name. Either all of it happens or nothing.

    The run is recorded where the target is known that the server belongs to. Raise whatever kept it from happening.
    """
    if live == other:
        raise UsageError(f"{live!r} cannot take its own place", hint="Name two databases.")

    def work(_: runner.Meter) -> SwapReport:
        with _server(into, live, other) as (where, conn):
            return _swapped(services, where, conn, live, other, stop)

    return runner.execute(services, _run(services, target), work) if target else work(runner.Meter())


def restore_swapped(
    services: Services,
    opened: Opened,
    wish: restore.Wish,
    stop: Stop,
    *,
    compare: bool = True,
    within: runner.Meter | None = None,
) -> SwapReport:
    """Restore one database beside the live one, then let it take its place. Two runs are recorded.

    With `compare` the report names what the old database holds that the backup does not. Within a run that goes on
    already (`within` is its meter) none is recorded. Raise what went wrong: the
    live database then is in place and open; a restored one that could not take it stays, and the hint names it.
    """
    live = _live(opened, wish)
    with _server(wish.into, live, None) as (where, conn):
        if live not in swap_checks.names(conn):
            raise NotFoundError(
                f"there is no database {live!r} on {where.safe} whose place the restored one could take",
                hint="Restore it without --swap.",
            )
        swap_checks.examine(conn, live)
        name = _new_name(services, conn, live, _MAKING)
        _name_leftovers(services, conn, live)
    beside = replace(wish, into=where, rename=name)
    report = restore.restore(services, opened, beside, stop, within=within)
    services.stage("restored_beside")
    stays = (
        f"The restored database is whole and called {name!r}: `holdfast swap` can still put it in place, and"
        f" DROP DATABASE {quoted_name(name)}; removes it."
    )

    def work(meter: runner.Meter) -> SwapReport:
        backup = None
        with _hinted(stays):
            sameness.require_same(report.sameness)
            if compare:
                # What was restored has run as us already. Everybody waits for it, so it may take what pg_restore took.
                look = _Look(where=where, name=name, foreign_code=True, jobs=wish.options.jobs)
                backup = _surveyed(services, look, meter, stop)
            with _server(where, live, name) as (_, conn):
                done = replace(_swapped(services, where, conn, live, name, stop), restored=report)
        return done if backup is None else _with_comparison(services, where, done, backup, meter, stop)

    if within is not None:
        return work(within)
    return runner.execute(services, _run(services, opened.backup.target, opened.backup.id), work)


def _live(opened: Opened, wish: restore.Wish) -> str:
    """Give the database whose place is taken. Raise UsageError or NotFoundError for an impossible wish."""
    live = wish.database
    if live is None or wish.rename is not None:
        raise UsageError(
            "--swap goes with --database, and without --as",
            hint="Name the one database whose place the restored one is to take.",
        )
    if wish.options.sections or wish.options.clean:
        raise UsageError(
            "--swap goes with neither --section nor --clean",
            hint="It restores all of the database, and beside the live one.",
        )
    restore.chosen_parts(opened, wish)
    return live


def _swapped(
    services: Services, where: Conninfo, conn: Connection, live: str, other: str, stop: Stop
) -> SwapReport:
    """Swap two databases, by way of a third one that `conn` is in."""
    situation = swap_checks.examine(conn, live, other)
    assert situation.other is not None  # noqa: S101 - examine found what it was asked for
    pair = swapping.Pair(
        live=live,
        live_oid=situation.live.oid,
        other=other,
        other_oid=situation.other.oid,
        keep=_new_name(services, conn, live, _KEPT),
    )
    services.stage("swapping")
    done = swapping.swap(where, pair, stop)
    services.stage("swapped")
    notes = list(situation.notes)
    changes = None
    try:
        old, new = (properties.read_properties(conn, name) for name in (pair.keep, live))
        changes = property_changes(live, old, new)
    except Error as error:
        notes.append(f"the databases' properties could not be compared: {error.message}")
    return SwapReport(
        live=live,
        kept=pair.keep,
        into=where.safe,
        size=situation.live.size,
        ended_sessions=done.ended,
        blocked_seconds=done.blocked_seconds,
        properties=changes,
        notes=tuple(notes),
    )


def _with_comparison(
    services: Services,
    where: Conninfo,
    done: SwapReport,
    backup: Survey,
    meter: runner.Meter,
    stop: Stop,
) -> SwapReport:
    """Add what the old database holds and the backup does not. Whatever goes wrong now is a note: the swap is done."""
    # It may take long, and the report comes after it.
    services.reporter.warn("swapped; comparing what was there", database=done.live, kept=done.kept)
    try:
        old = _surveyed(services, _Look(where=where, name=done.kept, foreign_code=False), meter, stop)
    except Error as error:
        text = f"what was written since the backup is not known: {error.message}"
        return replace(done, notes=(*done.notes, text))
    return replace(done, written=written(old, backup))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Look:
    """Which database is looked at, whether code of its roles may run as us, and over how many sessions at a time."""

    where: Conninfo
    name: str
    foreign_code: bool
    jobs: int = 1


def _surveyed(services: Services, look: _Look, meter: runner.Meter, stop: Stop) -> Survey:
    stop.check()
    with ExitStack() as stack:
        conns = [
            stack.enter_context(
                closing(connect(look.where.with_database(look.name), application_name=_LABEL))
            )
            for _ in range(look.jobs)
        ]
        show = stack.enter_context(services.reporter.progress(f"compare {look.name}", size(conns[0])))

        def read(count: int) -> None:
            meter.add(count)
            show(count)

        return survey(conns, stop, foreign_code=look.foreign_code, show=read)


@contextmanager
def _server(into: Conninfo, live: str, other: str | None) -> Iterator[tuple[Conninfo, Connection]]:
    """Connect to a database of the server that is neither of the two."""
    where = swap_checks.elsewhere(into, *filter(None, (live, other)))
    with closing(connect(where, application_name=swapping.LABEL)) as conn:
        yield where, conn


def _new_name(services: Services, conn: Connection, live: str, word: str) -> str:
    longest, _ = properties.limits_of_name(conn, live)
    return swapping.new_name(live, word, services.clock.now(), longest=longest, taken=swap_checks.names(conn))


def _name_leftovers(services: Services, conn: Connection, live: str) -> None:
    """Tell of databases that an earlier run restored and did not swap. They are nobody's to remove but the operator's."""
    longest, _ = properties.limits_of_name(conn, live)
    made = [
        name
        for name in swap_checks.names(conn) - unfinished.half_restored(conn)  # those the restore names
        if swapping.has_such_name(name, live, _MAKING, longest=longest)
    ]
    for name in swap_checks.unused(conn, made):
        services.reporter.warn(
            "an earlier restore left a database behind",
            database=name,
            drop=f"DROP DATABASE {quoted_name(name)};",
        )


def _run(services: Services, target: str, backup_id: str | None = None) -> Run:
    return Run(
        job="restore",
        target=target,
        started_at=services.clock.now(),
        backup_id=backup_id,
        host=services.host,
        pid=services.pid,
    )


@contextmanager
def _hinted(hint: str) -> Iterator[None]:
    """Add to the hint of an error."""
    try:
        yield
    except Error as error:
        error.hint = f"{error.hint} {hint}" if error.hint else hint
        raise
