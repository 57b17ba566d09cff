"""Everything that people read: tables, sentences, progress bars and JSON. The only module that formats for people.

Facts go to stdout, progress and warnings to stderr. Rich is imported only where a bar is drawn.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from holdfast.model.codec import Json
from holdfast.model.errors import Error
from holdfast.render.words import duration, many, size, when
from holdfast.system import logs, stdio

if TYPE_CHECKING:  # every command prints something, and none needs all of the jobs for it
    from holdfast.jobs.backup import Taken
    from holdfast.jobs.catalog import Rebuilt
    from holdfast.jobs.checks.finding import Finding
    from holdfast.jobs.copies import CaughtUp
    from holdfast.jobs.verify import Verified
    from holdfast.ledger.ledger import BackupRow, Copy
    from holdfast.model.catalog import Coverage

_SHOWN = 10
_LABEL = 60  # so that the bar keeps its place
_CONTROLS = re.compile("[\x7f-\x9f]")


def line(text: str = "") -> None:
    """Print one line for people."""
    _print(_one_line(text))


def _print(text: str) -> None:
    """Print to stdout. Raise Error where that takes nothing any more, as on a full disk; that its reader has gone is the caller's."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as failure:
        stdio.leave()
        raise Error(
            f"cannot write the output: {failure.strerror}",
            hint="What the command was to do is done; `holdfast list` and `holdfast status` tell it.",
        ) from failure


def _one_line(text: str) -> str:
    """Keep a text on its line: a name with a line break in it must not look like two facts."""
    return logs.printable(text).replace("\n", "\\n")


def facts(value: Json) -> None:
    """Print facts as JSON."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    # A stray byte of a name is a lone surrogate, which only an escape can say; 7f to 9f steer terminals, too.
    _print(_CONTROLS.sub(_escape, text).encode("utf-8", "backslashreplace").decode())


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def error(value: Error, *, prefix: str = "") -> None:
    """Say what failed and what to do, on stderr, with secrets struck out. Where nobody can hear it, the exit code tells."""
    with suppress(OSError, ValueError):
        print(
            f"holdfast: {logs.printable(prefix + logs.redacted(value.message))}", file=sys.stderr, flush=True
        )
        if value.hint:
            print(f"  {logs.printable(logs.redacted(value.hint))}", file=sys.stderr, flush=True)


def table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, right: frozenset[str] = frozenset()
) -> None:
    """Print a table, with the columns in `right` flush right. Every cell stays whole, however narrow the terminal is."""
    lines = [columns, *([_one_line(cell) for cell in cells] for cells in rows)]
    widths = [max(map(_width, cells)) for cells in zip(*lines, strict=True)]
    for cells in lines:
        padded = []
        for title, cell, width in zip(columns, cells, widths, strict=True):
            blanks = " " * (width - _width(cell))
            padded.append(blanks + cell if title in right else cell + blanks)
        _print("  ".join(padded).rstrip())


def _width(text: str) -> int:
    """Tell how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # noqa: PLC0415 - slow to import, and needed for few names

    return cell_len(text)


def copies(row: BackupRow) -> str:
    """Say where a backup lies, and where it is not whole."""
    places = ", ".join(map(_copy, row.copies)) or "nowhere"
    return places + (f"; waiting for copies, {row.held} of {row.needed}" if row.whole and row.waiting else "")


def _copy(value: Copy) -> str:
    said: list[str] = [] if value.state == "complete" else [value.state]
    if value.covered is not None:
        said.append("covered")
    return f"{value.store} ({', '.join(said)})" if said else value.store


def backups(rows: Sequence[BackupRow]) -> None:
    """Print the list of backups, newest first."""
    if not rows:
        line(
            "no backups known; `holdfast catalog rebuild` looks through the stores, `holdfast backup` takes one"
        )
        return
    columns = ["ID", "TARGET", "STARTED", "TOOK", "SIZE", "STORED", "PROOF", "COPIES"]
    if known := any(migrations(row) for row in rows):  # most have no use for the column
        columns.append("MIGRATION")
    table(
        columns,
        (
            (
                row.backup.id,
                row.backup.target,
                when(row.backup.started_at),
                duration(row.backup.seconds),
                size(row.backup.size),
                size(row.backup.stored_size),
                row.proof,
                copies(row),
                *([migrations(row)] if known else []),
            )
            for row in rows
        ),
        right=frozenset({"TOOK", "SIZE", "STORED"}),
    )


def migrations(row: BackupRow) -> str:
    """Say which migrations were applied last, where that is known."""
    held = row.coverage.databases if row.coverage is not None else ()
    return "; ".join(f"{each.name}: {each.migration}" for each in held if each.migration)


def detail(row: BackupRow, coverage: Coverage | None) -> None:
    """Print everything that is known of one backup."""
    value = row.backup
    line(f"backup {value.id} of target {value.target}")
    line(f"  taken    {when(value.started_at)}, in {duration(value.seconds)}")
    identifier = value.server.system_identifier or "unknown"
    line(f"  server   PostgreSQL {value.server.version}, system identifier {identifier}")
    clear = "" if value.encrypted else ", NOT encrypted"
    line(f"  size     {size(value.size)}, stored as {size(value.stored_size)}{clear}")
    line(f"  proof    {row.proof}{f' at {when(row.proof_at)}' if row.proof_at else ''}")
    line(f"  copies   {copies(row)}")
    line(f"  signer   {value.signer}")
    if value.labels:
        line(f"  labels   {', '.join(value.labels)}")
    line()
    table(
        ("PART", "SIZE", "STORED", "OBJECTS"),
        (
            (
                part.database if part.database is not None else part.role,
                size(part.size),
                size(part.stored_size),
                ", ".join(segment.name for segment in part.segments),
            )
            for part in value.parts
        ),
        right=frozenset({"SIZE", "STORED"}),
    )
    line()
    covered(coverage)


def covered(coverage: Coverage | None) -> None:
    """Say how much of the server's tables the backup holds."""
    if coverage is None:
        line("coverage unknown here: the catalog is encrypted and there is no identity")
        return
    rows = f", {coverage.rows:,} rows" if coverage.rows is not None else ""
    left = coverage.left_out
    text = f"covered {coverage.tables_covered} of {coverage.tables} tables{rows}"
    if not left:
        line(f"{text}; nothing left out")
        return
    line(f"{text}; left out:")
    for item in left[:_SHOWN]:
        line(f"  {item.kind} {item.name}: {item.reason}")
    if len(left) > _SHOWN:
        line(f"  and {len(left) - _SHOWN} more (--json lists all)")


def taken(value: Taken) -> None:
    """Say what a backup run gave."""
    made = value.backup
    line(
        f"{made.target}: backup {made.id} is complete: {many(len(made.databases), 'database')}, {size(made.size)}"
        f" stored as {size(made.stored_size)}, in {duration(made.seconds)}"
    )
    covered(value.coverage)
    for store, text in value.failed_copies:
        line(f"the copy to {store} FAILED: {text}")
    if not value.good:
        line("it is not good yet: it waits for copies (require_copies)")


def caught_up(target: str, value: CaughtUp) -> None:
    """Say what a round of copying did for one target."""
    for backup_id, store in value.copied:
        line(f"{target}: {backup_id} was copied to {store}")
    for backup_id, store, failure in value.failed:
        line(f"{target}: the copy of {backup_id} to {store} FAILED: {logs.redacted(failure.message)}")
    behind = {store: count for store, count in value.left.items() if count}
    for store, count in behind.items():
        line(f"{target}: {store} still lacks {many(count, 'backup')}")
    if not behind and len(value.left) == 1:
        line(f"{target}: {next(iter(value.left))} has every backup that was asked for")
    elif not behind:
        line(f"{target}: every store has every backup")


def verified(results: Sequence[Verified]) -> None:
    """Say how each copy is."""
    for result in results:
        where = f"{result.target}/{result.backup_id} in {result.store}"
        if result.error is not None:
            line(f"FAIL  {where}: {logs.redacted(result.error.message)}")
            if result.error.hint:
                line(f"      {result.error.hint}")
        elif result.proof is not None and result.proof.method == "digests":
            line(f"ok    {where}: stored bytes and signature hold; not opened, as there is no identity here")
        else:
            line(f"ok    {where}: opened to the last byte, every digest and the signature hold")


def findings(values: Iterable[Finding], *, quiet: bool) -> int:
    """Print findings as they come; return how many failed."""
    failed = 0
    for value in values:
        failed += value.level == "fail"
        if quiet and value.level == "ok":
            continue
        line(f"{value.level:<5} {value.subject}: {logs.redacted(value.message)}")
        if value.hint:
            line(f"      {value.hint}")
    return failed


def rebuilt(value: Rebuilt) -> None:
    """Say what a rebuild of the ledger found."""
    where = ", ".join(value.stores) or "no store"
    copies = "1 copy of a backup" if value.backups == 1 else f"{value.backups:,} copies of backups"
    line(f"{copies} in {where}; {value.forgotten} forgotten")
    for where, problem in value.problems:
        line(f"warn  {where}: {problem}")


class Reporter:
    """Tells the operator what a job does: log lines always, a progress bar where stderr is a terminal."""

    def __init__(self, *, quiet: bool) -> None:
        self._bars = sys.stderr.isatty() and not quiet
        self._relabel: Callable[[str], None] = _unheard

    def info(self, event: str, **facts: object) -> None:
        """Tell of something expected; where bars show it, no line is needed."""
        if self._bars:
            return
        logs.get_logger().info(event, **facts)

    def warn(self, event: str, **facts: object) -> None:
        """Tell of something that the operator should look at."""
        logs.get_logger().warning(event, **facts)

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Show work of about `total` bytes; the callable is told how many more are done."""
        if not self._bars:
            yield lambda _: None
            return
        from rich import progress  # noqa: PLC0415 - slow to import
        from rich.console import Console  # noqa: PLC0415 - slow to import

        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
        )
        with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(_one_line(label), total=total or None)
            self._relabel = lambda what: bars.update(task, description=_one_line(f"{label}: {what}")[:_LABEL])
            try:
                yield lambda count: bars.advance(task, count)
            finally:
                self._relabel = _unheard

    def doing(self, what: str) -> None:
        """Say what is at work now, in the label of the bar that is shown."""
        self._relabel(what)


def _unheard(_: str) -> None:
    """Show nothing: there is no bar."""
