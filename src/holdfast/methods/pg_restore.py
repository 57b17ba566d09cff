"""Runs pg_restore: from a stream, or with several jobs from a staged archive; says what it does and why it failed."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Literal

from holdfast.methods import restore_hints
from holdfast.methods.destination import LABEL, Destination
from holdfast.model.errors import SourceError
from holdfast.postgres import conninfo, cutting, server
from holdfast.postgres.entries import Entry
from holdfast.postgres.needless_drops import needless_drops
from holdfast.postgres.row_values import Veil
from holdfast.postgres.waiting import noticing_loss, patient
from holdfast.system import proc, spool
from holdfast.system.stop import Stop

Section = Literal["pre-data", "data", "post-data"]
Tell = Callable[[str], None]

# What a setting of the database, the role or the server must not do to the restoring session itself. Without
# array_nulls a NULL in an array is read as the word.
OVERRIDES = {
    "default_transaction_read_only": "off",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "array_nulls": "on",
}

# What --verbose prints of its progress, by the message texts of pg_restore 10 to 18.
_PROGRESS = re.compile(
    r"pg_restore: (\[[\w ()]+\] )?"
    r"(connecting to|creating|dropping|processing|executing|restoring|restored|implied|entering|launching|finished"
    r"|skipping|disabling|enabling|transferring|reducing|setting|while|from TOC entry|NOTICE:)"
)
_WITH_IDLE_TIMEOUT, _WITH_TRANSACTION_TIMEOUT = 140000, 170000
PATIENCE = 60.0  # seconds
_OWN, _WARNING, _STATEMENT, _BETWEEN = "pg_restore: ", "pg_restore: warning:", "Command was: ", '"."'
_DOES = re.compile(
    r'pg_restore: (?:processing data for (?P<kind>table)|creating (?P<other>[A-Z ]+)) "?(?P<name>.+?)"?$'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How the operator wants pg_restore to work. `sections` empty means all; `role` is set as pg_restore connects."""

    jobs: int = 1
    sections: tuple[Section, ...] = ()
    clean: bool = False
    no_owner: bool = False
    no_privileges: bool = False
    role: str | None = None
    analyze: bool = True

    def restores(self, section: Section) -> bool:
        """Whether this section is among those that are restored."""
        return not self.sections or section in self.sections


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoring:
    """One restore by a program or a session: into which database, how, and who hears of it.

    `on_table` is told of what is being restored: `table public.orders`, `index public.orders_pkey`. When `hasty`, no
    commit waits for the disk, and the caller makes the one that takes all of them there.
    """

    into: Destination
    database: str
    options: Options = Options()
    tablespaces: bool = False
    hasty: bool = False
    stop: Stop
    warn: Tell
    on_table: Tell | None = None

    @property
    def where(self) -> conninfo.Conninfo:
        """The way to the database."""
        return self.into.conninfo.with_database(self.database)


def run(work: Restoring, chunks: Iterator[bytes], *, single_transaction: bool) -> None:
    """Feed an archive to pg_restore; `options.jobs` plays no part. Raise SourceError, with a hint where one is known."""
    how = "--single-transaction" if single_transaction else "--exit-on-error"
    with (
        # Others may be at work where there is something to be restored into.
        patient(work.where, waiter=LABEL, seconds=PATIENCE, stop=work.stop)
        if single_transaction
        else nullcontext(work.stop) as limited,
        _command(work, (how, *_flags(work))) as command,
    ):
        if work.options.clean and work.options.restores("pre-data"):
            chunks = cutting.without_drops(chunks, lambda entries: _needless(work.where, entries))
        _fed(work, command, chunks, limited)


def run_staged(work: Restoring, archive: int, *, only: Sequence[int] | None = None) -> None:
    """Let pg_restore work with `options.jobs` jobs on the file that the descriptor `archive` leads to. As `run`.

    `only` are the dump ids of what is restored, in the archive's order; None: all.
    """
    flags = (f"--jobs={work.options.jobs}", "--exit-on-error", *_flags(work))
    with spool.handed(b"".join(b"%d;\n" % number for number in only or ())) as listed:
        chosen = () if only is None else (f"--use-list={spool.path(listed)}",)
        with _command(work, (*flags, *chosen, spool.path(archive))) as command:
            inheriting = replace(command, pass_fds=(*command.pass_fds, archive, listed))
            _fed(work, inheriting, (), work.stop)


def _needless(where: conninfo.Conninfo, entries: Sequence[Entry]) -> Collection[int]:
    with closing(server.connect(where, application_name=LABEL)) as connection:
        return needless_drops(connection, entries)


def _settings(work: Restoring) -> dict[str, str]:
    settings = {**OVERRIDES, **noticing_loss(work.into.connection)}
    if work.into.facts.version_num >= _WITH_IDLE_TIMEOUT:  # a slow store lets the session wait
        settings["idle_session_timeout"] = "0"
    if work.into.facts.version_num >= _WITH_TRANSACTION_TIMEOUT:
        settings["transaction_timeout"] = "0"
    if work.hasty:
        settings["synchronous_commit"] = "off"
    return settings


def _flags(work: Restoring) -> tuple[str, ...]:
    options = work.options
    chosen = (
        ("--clean", options.clean),
        ("--if-exists", options.clean),
        ("--no-owner", options.no_owner),
        ("--no-privileges", options.no_privileges),
        ("--no-tablespaces", not work.tablespaces),
        (f"--role={options.role}", options.role is not None),
        *((f"--section={section}", True) for section in options.sections),
    )
    return ("--verbose", "--no-password", *(flag for flag, wanted in chosen if wanted))


@contextmanager
def _command(work: Restoring, flags: tuple[str, ...]) -> Iterator[proc.Command]:
    argv = (work.into.toolset.program("pg_restore"), f"--dbname={work.where.argv_dsn()}", *flags)
    with conninfo.child(work.where, application_name=LABEL, options=_settings(work)) as child:
        yield proc.Command(argv=argv, env=child.env, pass_fds=child.pass_fds)


def _fed(work: Restoring, command: proc.Command, chunks: Iterable[bytes], stop: Stop) -> None:
    ear = _Ear(work.warn, work.on_table)
    try:
        proc.feed(command, chunks, stop, on_line=ear.hear, edit=ear.edit)
    except proc.ProcessError as error:
        hint = restore_hints.hint(error.stderr, work.into.facts.version_num)
        raise SourceError(f"database {work.database!r}: {error.message}", hint=hint) from error


class _Ear:
    """Listens to what pg_restore says: passes on warnings and progress, keeps errors without long statements and values."""

    def __init__(self, warn: Tell, on_table: Tell | None) -> None:
        self._warn, self._on_table = warn, on_table
        self._in_statement = False
        self._veil = Veil()

    def hear(self, line: str) -> None:
        """Take one line."""
        if line.startswith(_WARNING):
            self._warn(line)
        elif self._on_table is not None and (does := _DOES.match(line)):
            self._on_table(f"{does['kind'] or does['other'].lower()} {does['name'].replace(_BETWEEN, '.')}")

    def edit(self, line: str) -> str | None:
        """Give what may say why it failed. Of a statement that failed its first line is enough, and no row's values."""
        if line.startswith(_STATEMENT):
            self._in_statement = True
        elif line.startswith(_OWN):
            progress = _PROGRESS.match(line) is not None
            self._in_statement = progress and line.count('"') % 2 == 1  # a name with a line break goes on
            if progress:
                return None
        elif self._in_statement:
            return None
        return self._veil.over(line)
