"""Holds what was restored against the backup that it came from, row by row: what a restore test does, on a real server."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from holdfast.jobs.reading import Opened, plain_chunks
from holdfast.jobs.services import Services
from holdfast.methods.destination import Destination, unwatched
from holdfast.methods.identity import Subject, compare_database, compare_globals
from holdfast.methods.logical_globals import Applied
from holdfast.methods.logical_restore import Task
from holdfast.methods.proving import chunks_of
from holdfast.methods.staging import Staged
from holdfast.model.backup import Part
from holdfast.model.comparison import Comparison, GlobalsCompared
from holdfast.model.errors import CancelledError, IntegrityError, RestoreTestError, SourceError
from holdfast.postgres import sessions
from holdfast.system.stop import Stop

_NAMED = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """One database that was held against its archive in so many seconds; `reason` says why not, where it was not."""

    database: str
    seconds: float
    comparison: Comparison | None = None
    reason: str | None = None

    @property
    def differs(self) -> bool:
        """Whether it is known not to be the same."""
        return self.comparison is not None and not self.comparison.same


@dataclass(frozen=True, slots=True, kw_only=True)
class Sameness:
    """What came of the comparison: each database, and the roles; None where they were not restored, or `reason` says why."""

    databases: tuple[Held, ...]
    globals: GlobalsCompared | None = None
    reason: str | None = None

    @property
    def whole(self) -> bool:
        """Whether all that was restored could be compared."""
        return self.reason is None and all(each.comparison is not None for each in self.databases)

    @property
    def seconds(self) -> float:
        """How long comparing took."""
        return sum(each.seconds for each in self.databases)

    @property
    def differs(self) -> bool:
        """Whether something is known not to be the same."""
        return any(each.differs for each in self.databases) or not (self.globals is None or self.globals.same)


def hold_database(
    services: Services, opened: Opened, part: Part, into: Destination, task: Task, stop: Stop
) -> Held:
    """Compare every row and definition of what was just restored. What keeps it from being compared is told."""
    began = services.clock.monotonic()
    held = Held(database=task.name, seconds=0)
    if task.format != "custom":
        return replace(
            held, reason=f"it was imported as {task.format}, and only custom archives are compared"
        )

    def archive() -> Iterator[bytes]:
        if isinstance(task.archive, Staged):
            return chunks_of(task.archive)
        return plain_chunks(opened.place, part, services.keys, threads=True)

    subject = Subject(
        archive=archive,
        found=task.found,
        where=unwatched(into).conninfo.with_database(task.name),
        clients=into.toolset,
        tablespaces=task.tablespaces,
    )
    try:
        comparison = compare_database(
            subject, stop=stop, doing=lambda text: task.doing(f"comparing {text}"), with_amcheck=False
        )
    except CancelledError as error:
        error.hint = f"Database {task.name!r} was restored, and is not compared."
        raise
    except (SourceError, IntegrityError) as error:
        stop.check()
        return replace(held, reason=error.message)
    return replace(held, comparison=comparison, seconds=services.clock.monotonic() - began)


def with_globals(
    into: Destination, text: bytes, applied: Applied, held: Sequence[Held], stop: Stop
) -> Sameness:
    """Compare the roles that were made, too. Those that the server had before are its own."""
    try:
        there = sessions.names(into.connection, "SELECT rolname FROM pg_roles", what="list the roles")
        own = there - set(applied.created)
        found = compare_globals(text, into.conninfo, into.toolset, own=own, tablespaces=False, stop=stop)
    except (SourceError, IntegrityError) as error:  # pg_dumpall wants a superuser
        stop.check()
        return Sameness(databases=tuple(held), reason=error.message)
    return Sameness(databases=tuple(held), globals=found)


def require_same(found: Sameness | None) -> None:
    """Raise RestoreTestError where what was restored is known not to be what the backup holds."""
    if found is None or not found.differs:
        return
    differences = [
        f"{difference.kind} {difference.name} is {difference.how}"
        for comparison in (*(each.comparison for each in found.databases), found.globals)
        if comparison is not None
        for difference in comparison.differences
    ]
    more = f" and {len(differences) - _NAMED} more" if len(differences) > _NAMED else ""
    names = ", ".join(repr(each.database) for each in found.databases if each.differs) or "the roles"
    raise RestoreTestError(
        f"{names} came back, but not as in the backup: {'; '.join(differences[:_NAMED]) or 'constraints or indexes'}{more}",
        hint="Look at it before you use it. Triggers or extensions of this server may have changed something.",
    )
