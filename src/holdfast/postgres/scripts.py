"""Runs pg_restore and pg_dump for the scripts that they print, of an archive and of a database."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterable

from holdfast.model.errors import IntegrityError, SourceError
from holdfast.postgres.conninfo import Conninfo, base_environment, child
from holdfast.postgres.tools import Toolset
from holdfast.system import proc, spool
from holdfast.system.stop import Stop
from holdfast.system.through import Take, through

_NAME = "holdfast compare"
_WITH_STATISTICS = 18  # since this major, dumps may hold the planner's
# What a setting of the database or the role must not do to the dump; pg_dump sets most of what changes how values are
# written by itself. The zone is given as libpq's variable, which poolers let through.
_SETTINGS = {"statement_timeout": "0", "lock_timeout": "0", "idle_in_transaction_session_timeout": "0"}
ZONE = "UTC"


def of_archive(
    clients: Toolset, archive: Iterable[bytes] | int, flags: Iterable[str], stop: Stop, take: Take
) -> None:
    """Give `take` the script that pg_restore makes of an archive, which comes in chunks or lies in an open file.

    Raise IntegrityError where it cannot read it, SourceError where it was killed.
    """
    argv = [clients.program("pg_restore"), "--file=-", *flags]
    if clients.major >= _WITH_STATISTICS:
        argv.append("--no-statistics")
    env = base_environment()
    try:
        if isinstance(archive, int):
            argv.append(spool.path(archive))
            for chunk in proc.stdout_of(proc.Command(argv=tuple(argv), env=env, pass_fds=(archive,)), stop):
                stop.check()
                take(chunk)
        else:
            through(proc.Command(argv=tuple(argv), env=env), archive, stop, take)
    except proc.ProcessError as error:
        if (
            error.status == -signal.SIGKILL
        ):  # by the kernel, for want of memory, or by somebody: not by the archive
            raise
        raise IntegrityError(
            f"pg_restore cannot read the archive: {error.message}",
            hint="The dump is damaged: test another copy or another backup.",
        ) from error


def of_file(clients: Toolset, handle: int, flags: Iterable[str], stop: Stop) -> Generator[bytes, None, None]:
    """Give the script that pg_restore makes of the archive in the file that `handle` leads to, named last in `flags`.

    Raise IntegrityError where it cannot read it.
    """
    argv = (clients.program("pg_restore"), "--file=-", *flags)
    command = proc.Command(argv=argv, env=base_environment(), pass_fds=(handle,))
    try:
        yield from proc.stdout_of(command, stop)
    except proc.ProcessError as error:
        raise IntegrityError(
            f"pg_restore cannot read the archive: {error.message}",
            hint="The dump is damaged: restore from another copy or another backup.",
        ) from error


def of_database(
    clients: Toolset, where: Conninfo, flags: Iterable[str], stop: Stop, take: Take, *, zone: str = ZONE
) -> None:
    """Give `take` the script that pg_dump prints of a database, times in `zone`. Raise SourceError."""
    argv = [clients.program("pg_dump"), "--format=plain", "--no-password", *flags]
    if clients.major >= _WITH_STATISTICS:
        argv.append("--no-statistics")
    argv.append(f"--dbname={where.argv_dsn()}")
    with child(where, application_name=_NAME, options=_SETTINGS) as given:
        env = {**given.env, "PGTZ": zone}
        command = proc.Command(argv=tuple(argv), env=env, pass_fds=given.pass_fds)
        try:
            for chunk in proc.stdout_of(command, stop):
                stop.check()
                take(chunk)
        except proc.ProcessError as error:
            raise SourceError(f"database {where.database!r}: {error.message}") from error


def text_of_archive(clients: Toolset, chunks: Iterable[bytes], flags: Iterable[str], stop: Stop) -> bytes:
    """Give the whole script of an archive: for definitions."""
    pieces: list[bytes] = []
    of_archive(clients, chunks, flags, stop, pieces.append)
    return b"".join(pieces)


def text_of_database(clients: Toolset, where: Conninfo, flags: Iterable[str], stop: Stop) -> bytes:
    """Give the whole script of a database: for definitions."""
    pieces: list[bytes] = []
    of_database(clients, where, flags, stop, pieces.append)
    return b"".join(pieces)
