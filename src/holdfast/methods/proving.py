"""Restores one database into a scratch server and proves that it is what was archived: restore, compare, check, drop."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from holdfast.methods import borrowed_server, logical_restore
from holdfast.methods.destination import Destination
from holdfast.methods.identity import Archived, Subject, compare_database, read_archive
from holdfast.methods.pg_restore import Options
from holdfast.methods.staging import Staged
from holdfast.model.catalog import Database, LeftOut
from holdfast.model.comparison import Comparison, Phase
from holdfast.model.errors import CouldNotTestError, Error, IntegrityError, SourceError
from holdfast.model.proof import CheckResult, DatabaseTested
from holdfast.model.testing import RestoreTesting
from holdfast.postgres import dropping, owner_checks, server
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.stand_ins import NOTHING, StoodIn
from holdfast.system.clock import Clock
from holdfast.system.proc import READ_BYTES
from holdfast.system.stop import Stop

Tell = Callable[[str], None]

# What PostgreSQL says when the machine, and not the backup, is at fault.
_OF_THE_MACHINE = re.compile(
    r"No space left on device|Input/output error|Read-only file system|could not extend file|could not write (to )?file|Disk quota exceeded"
    r"|invalid value for parameter|unrecognized configuration parameter|could not create locale|could not open collator|invalid (LC_\w+ )?locale name|ICU is not supported"
    r"|could not (access|load) (file|library) \"|requires the server to be built with"
    r"|extension \"[^\"]+\" is not available|shared_preload_libraries"
    r"|was killed by SIGKILL|out of memory|Cannot allocate memory|out of shared memory|too many clients"
    r"|no connection to the server|server closed the connection|the database system is|could not connect"
)
# The same, where the server is one of the owner's: the backup's roles are not made there, nor its settings.
_OF_A_BORROWED = re.compile(
    r"(role|user) \"[^\"]*\" does not exist|can only create extension in database|must be loaded via"
    r"|security label provider \"[^\"]*\" is not loaded|terminating connection|connection to server|invalid connection option"
)
_ROLES = (
    "Make the roles that policies, user mappings or functions name on that server (NOLOGIN will do), or remove"
    " restore_test.scratch_url: in a throwaway cluster all roles are made."
)


@dataclass(slots=True)
class Stopwatch:
    """Times the parts of a test, in seconds of wall time; those of a name are added up."""

    clock: Clock
    done: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time what is done in the `with`, however it ends."""
        begun = self.clock.monotonic()
        try:
            yield
        finally:
            self.add(name, self.clock.monotonic() - begun)

    def add(self, name: str, seconds: float) -> None:
        """Add what somebody else timed."""
        self.done[name] = self.done.get(name, 0.0) + seconds

    @property
    def phases(self) -> tuple[Phase, ...]:
        """What was timed, in order."""
        return tuple(Phase(name=name, seconds=round(seconds, 3)) for name, seconds in self.done.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Subjected:
    """One database to be proven: what the catalog says, the archive with what was kept out of it, and the plan.

    When `borrowed`, it is restored on a server of the owner's: under a name of ours, without owners and privileges. The
    `last` one goes with the cluster, if that is ours. What is `stood_in` for is made first, and `only` the rest (dump ids)
    restored then.
    """

    backup_id: str
    taken_at: datetime
    found: Database
    staged: Staged = field(repr=False)
    archive_bytes: int
    left_out: tuple[LeftOut, ...]
    borrowed: bool
    last: bool
    plan: RestoreTesting = field(repr=False)
    doing: Tell = field(repr=False)
    stood_in: StoodIn = NOTHING
    only: tuple[int, ...] | None = None

    @property
    def restored(self) -> Database:
        """What the catalog says of the database, less what was kept out of the archive."""
        out = {(item.kind, item.name) for item in self.left_out}
        tables = (
            replace(table, rows=None, data_left_out="left out of the test")
            if ("table data", f"{table.schema}.{table.name}") in out
            else table
            for table in self.found.tables
            if ("table", f"{table.schema}.{table.name}") not in out
        )
        extensions = (each for each in self.found.extensions if ("extension", each.name) not in out)
        return replace(self.found, tables=tuple(tables), extensions=tuple(extensions), subscriptions=())


def prove_database(
    into: Destination, one: Subjected, watch: Stopwatch, *, stop: Stop, warn: Tell
) -> DatabaseTested:
    """Restore, compare and check one database, and drop it. What differs or fails is in the result.

    Raise CouldNotTestError where the machine is at fault, IntegrityError where the archive cannot be read.
    """
    own = Stopwatch(watch.clock)
    warnings: list[str] = []
    failure: str | None = None
    comparison: Comparison | None = None
    checks: tuple[CheckResult, ...] = ()
    unproven = tuple(borrowed_server.left_out(one.found)) if one.borrowed else ()
    with _place(into, one, watch, warn) as name:
        where = into.conninfo.with_database(name)
        subject = _subject(into, one, where)
        with _archive_read(subject, stop) as archived:
            with watch.phase("restore"), own.phase("restore"):
                failure = _restored(into, one, name, stop=stop, warn=warnings.append)
            if failure is None:
                comparison = _compared(subject, archived, one, watch, own, stop=stop)
        if failure is None:
            with watch.phase("checks"), own.phase("checks"):
                checks = _checked(where, one, stop)
    return DatabaseTested(
        name=one.found.name,
        archive_bytes=one.archive_bytes,
        phases=own.phases,
        comparison=comparison,
        checks=checks,
        failure=failure,
        warnings=tuple(dict.fromkeys(warnings)),
        left_out=(*one.left_out, *unproven),
    )


@contextmanager
def _place(into: Destination, one: Subjected, watch: Stopwatch, warn: Tell) -> Iterator[str]:
    """Give the name to restore under, and take away at the end what is there then."""
    if one.borrowed:
        with ExitStack() as stack:
            yield stack.enter_context(borrowed_server.borrowed_database(into, one.found, warn))
            with watch.phase("removal"):
                stack.close()
        return
    name = one.found.name
    if server.has_database(into.connection, name):  # the scratch server's own of that name is nothing like it
        dropping.drop_database(into.connection, into.conninfo, name)
    try:
        yield name
    finally:
        if not one.last:
            with watch.phase("removal"):
                _drop(into, name, warn)


def _expected(into: Destination, one: Subjected) -> Database:
    return borrowed_server.as_restored(one.restored, into.facts.user) if one.borrowed else one.restored


def _restored(into: Destination, one: Subjected, name: str, *, stop: Stop, warn: Tell) -> str | None:
    """Restore as `restore` does; give why it failed, where that is the backup's own fault."""
    how = borrowed_server.OPTIONS if one.borrowed else Options(analyze=False)
    task = logical_restore.Task(
        backup_id=one.backup_id,
        found=_expected(into, one),
        name=name,
        archive=one.staged,
        options=replace(how, jobs=one.plan.jobs),
        tablespaces=False,
        doing=one.doing,
        counting=False,
        strict=True,
        stood_in=one.stood_in,
        only=one.only,
    )
    try:
        logical_restore.restore_database(into, task, stop=stop, warn=warn)
    except (SourceError, IntegrityError) as error:
        stop.check()
        if isinstance(error, SourceError) and _OF_THE_MACHINE.search(error.message):
            raise CouldNotTestError(
                f"database {one.found.name!r} could not be restored here: {error.message}", hint=error.hint
            ) from error
        if one.borrowed and _OF_A_BORROWED.search(error.message):
            raise CouldNotTestError(
                f"database {one.found.name!r} could not be restored on that server: {error.message}",
                hint=_ROLES if "does not exist" in error.message else error.hint,
            ) from error
        return error.message
    return None


@contextmanager
def _archive_read(subject: Subject, stop: Stop) -> Iterator[Callable[[], Archived]]:
    """Read the archive beside what is done in the `with`; what is given waits for its end, and raises what it raised."""
    with stop.derived() as limited, ThreadPoolExecutor(1, thread_name_prefix="archive") as pool:
        reading = pool.submit(read_archive, subject, limited)
        try:
            yield reading.result
        finally:
            if not reading.done():  # nobody wants it any more
                limited.request()


def _subject(into: Destination, one: Subjected, where: Conninfo) -> Subject:
    return Subject(
        archive=partial(chunks_of, one.staged),
        file=one.staged.handle,
        found=_expected(into, one),
        where=where,
        clients=into.toolset,
        left_out=one.left_out,
        tablespaces=False,
        owners=not one.borrowed,
        stood_in=one.stood_in,
    )


def _compared(
    subject: Subject,
    archived: Callable[[], Archived],
    one: Subjected,
    watch: Stopwatch,
    own: Stopwatch,
    *,
    stop: Stop,
) -> Comparison:
    try:
        with watch.phase("comparison"), own.phase("comparison"):
            return compare_database(
                subject,
                archived=archived(),
                stop=stop,
                doing=one.doing,
                with_amcheck=one.plan.amcheck,
            )
    except SourceError as error:
        stop.check()
        raise CouldNotTestError(
            f"database {one.found.name!r} could not be compared: {error.message}", hint=error.hint
        ) from error


def _checked(where: Conninfo, one: Subjected, stop: Stop) -> tuple[CheckResult, ...]:
    one.doing("asking the owner's checks")
    return tuple(
        owner_checks.ask(
            where,
            one.plan.checks,
            database=one.found.name,
            taken_at=one.taken_at,
            seconds=one.plan.check_timeout,
            stop=stop,
        )
    )


def chunks_of(staged: Staged) -> Iterator[bytes]:
    """Give the archive as pg_restore reads it, from its beginning."""
    at = 0
    while chunk := os.pread(staged.handle, READ_BYTES, at):
        yield chunk
        at += len(chunk)


def _drop(into: Destination, name: str, warn: Tell) -> None:
    try:
        dropping.drop_database(into.connection, into.conninfo, name)
    except Error as trouble:
        warn(f"could not drop {name!r} from the scratch server: {trouble.message}")
