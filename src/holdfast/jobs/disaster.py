"""The steps of a disaster plan that a program can take: assess, choose, restore beside and swap, and keep a protocol."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import TextIO

from holdfast.jobs import restore, runner, sameness, swap
from holdfast.jobs.reading import Opened
from holdfast.jobs.services import Services
from holdfast.ledger.ledger import BackupRow
from holdfast.model.errors import LedgerError, NotFoundError
from holdfast.model.proof import LEVELS, CheckResult
from holdfast.model.testing import RestoreTesting
from holdfast.postgres import owner_checks, server
from holdfast.postgres.conninfo import Conninfo
from holdfast.system import logs
from holdfast.system.stop import Stop

_LABEL = "holdfast disaster"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The backup to go back to. `newer` are whole ones of that time that are known less well."""

    row: BackupRow
    newer: tuple[BackupRow, ...]

    def lost_seconds(self, damaged_at: datetime) -> float:
        """How much time is lost: from when the backup was begun to when all was still well. Below 0: it was begun later."""
        return lost_seconds(self.row, damaged_at)


def lost_seconds(row: BackupRow, damaged_at: datetime) -> float:
    """How much time would be lost by going back to a backup, as in `Choice`."""
    return (damaged_at - row.backup.started_at).total_seconds()


def choose(services: Services, target: str, before: datetime) -> Choice:
    """The newest proven backup from before that time; where none is proven, the newest of those that are known best.

    Raise NotFoundError where there is no whole one.
    """
    rows = [
        row
        for row in services.ledger.backups(target)
        if row.backup.started_at < before
        and any(copy.state == "complete" and copy.store in services.stores for copy in row.copies)
    ]
    if not rows:
        raise NotFoundError(
            f"no whole backup of {target} from before {before:%Y-%m-%d %H:%M:%SZ}",
            hint="`holdfast list` shows what there is; `holdfast catalog rebuild` reads the stores again.",
        )
    best = max(rows, key=lambda row: (LEVELS.index(row.proof), row.backup.started_at))
    return Choice(row=best, newer=tuple(rows[: rows.index(best)]))


def present(into: Conninfo) -> frozenset[str]:
    """The databases of the server. Raise SourceError where it cannot be reached."""
    with closing(server.connect(into.at_server(), application_name=_LABEL)) as connection:
        return frozenset(each.name for each in server.databases(connection))


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtBack:
    """What became of one database: it took the place of the damaged one (`swapped`), or there was none."""

    database: str
    seconds: float
    restored: restore.Report
    swapped: swap.SwapReport | None


def bring_back(
    services: Services,
    opened: Opened,
    wish: restore.Wish,
    stop: Stop,
    *,
    live: bool,
    within: runner.Meter | None = None,
) -> BroughtBack:
    """Restore one database: beside the damaged one, which it then replaces, or where there is none any more.

    When the wish is a thorough one, it is held against the backup, and before it replaces anything; and what the damaged one
    holds besides is told. `within` is the meter of a run that goes on already. Raise RestoreTestError where it is not
    the same.
    """
    began = services.clock.monotonic()
    swapped = None
    if live:
        swapped = swap.restore_swapped(services, opened, wish, stop, compare=wish.thorough, within=within)
        assert swapped.restored is not None  # noqa: S101 - it was asked for
        report = swapped.restored
    else:
        report = restore.restore(services, opened, replace(wish, roles=True), stop, within=within)
        sameness.require_same(report.sameness)
    return BroughtBack(
        database=wish.database or "",
        seconds=services.clock.monotonic() - began,
        restored=report,
        swapped=swapped,
    )


def ask_checks(
    into: Conninfo, opened: Opened, databases: Sequence[str], plan: RestoreTesting, stop: Stop
) -> tuple[CheckResult, ...]:
    """Ask the owner's checks of restore tests, in what bears the databases' names now. Raise SourceError."""
    return tuple(
        answer
        for name in databases
        for answer in owner_checks.ask(
            into.with_database(name),
            plan.checks,
            database=name,
            taken_at=opened.backup.started_at,
            seconds=plan.check_timeout,
            stop=stop,
        )
    )


@dataclass(slots=True, kw_only=True)
class Protocol:
    """What was done and said, each line with its time, on disk at once. `path` is where it lies."""

    path: Path
    services: Services
    file: TextIO

    def note(self, text: str) -> None:
        """Add a line. Raise LedgerError when the disk refuses."""
        for line in logs.redacted(text).splitlines():
            try:
                self.file.write(f"{self.services.clock.now():%Y-%m-%dT%H:%M:%SZ} {logs.printable(line)}\n")
                self.file.flush()
                os.fsync(self.file.fileno())
            except OSError as error:
                raise LedgerError(f"cannot write {self.path}: {error.strerror}") from error


@contextmanager
def protocol(services: Services, name: str) -> Iterator[Protocol]:
    """Begin a protocol in the state directory, readable for its owner only."""
    folder = services.state_dir / "disasters"
    path = folder / f"{name}-{services.clock.now():%Y%m%dT%H%M%SZ}.log"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError as error:
        raise LedgerError(f"cannot write {path}: {error.strerror}") from error
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        yield Protocol(path=path, services=services, file=file)
