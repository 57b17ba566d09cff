"""Writes one database of a backup out as a plain pg_dump archive or as SQL."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Literal

from holdfast.jobs.reading import Opened, can_open, plain_chunks
from holdfast.jobs.services import Services
from holdfast.model.backup import Part
from holdfast.model.errors import Error, KeyFileError, NotFoundError, StoreError, UsageError
from holdfast.postgres import conninfo, tools
from holdfast.system import proc
from holdfast.system.stop import Stop

Form = Literal["archive", "sql"]
_GONE = "the reader of the output went away"


def export(
    services: Services,
    opened: Opened,
    stop: Stop,
    *,
    database: str | None,
    form: Form,
    output: Path | None,
    descriptor: int = 1,
) -> int:
    """Write one database into the new file `output`, or to the file descriptor. Return its size as it was dumped.

    The file appears under its name only when it is complete. Raise UsageError where it exists already.
    """
    part = _part(opened, database)
    if not can_open(opened.backup, services.keys):
        raise KeyFileError(
            f"backup {opened.backup.id} is encrypted and this host has no identity",
            hint="Set encryption.identity_file (or HOLDFAST_ENCRYPTION__IDENTITY_FILE) to the file that keygen wrote.",
        )
    if output is None:
        _write(services, opened, part, form, descriptor, stop)
    else:
        with _new_file(output) as handle:
            _write(services, opened, part, form, handle, stop)
    return part.size


def _part(opened: Opened, database: str | None) -> Part:
    parts = [part for part in opened.backup.parts if part.role == "database"]
    names = ", ".join(part.database or "" for part in parts)
    if database is None and len(parts) > 1:
        raise UsageError("which database?", hint=f"Add --database NAME; the backup holds {names}.")
    chosen = [part for part in parts if database in (None, part.database)]
    if not chosen:
        raise NotFoundError(
            f"backup {opened.backup.id} holds no database {database!r}", hint=f"It holds {names}."
        )
    return chosen[0]


def _write(services: Services, opened: Opened, part: Part, form: Form, descriptor: int, stop: Stop) -> None:
    if form == "sql":
        toolset = tools.choose(tools.find_toolsets(), opened.backup.server.version_num)
        command = proc.Command(
            argv=(toolset.program("pg_restore"), "--file=-"), env=conninfo.base_environment()
        )
        try:
            with closing(_chunks(services, opened, part, stop)) as chunks:
                proc.feed(command, chunks, stop, stdout=descriptor)
        except proc.ProcessError as error:
            if error.status == -signal.SIGPIPE:
                raise Error(_GONE) from error
            raise
        return
    for chunk in _chunks(services, opened, part, stop):
        view = memoryview(chunk)
        while view:
            try:
                view = view[os.write(descriptor, view) :]
            except BrokenPipeError as error:
                raise Error(_GONE) from error
            except OSError as error:
                raise StoreError(f"cannot write the export: {error.strerror}") from error


def _chunks(services: Services, opened: Opened, part: Part, stop: Stop) -> Generator[bytes, None, None]:
    with services.reporter.progress(f"export {part.database}", part.size) as show:
        for chunk in plain_chunks(opened.place, part, services.keys):
            stop.check()
            yield chunk
            show(len(chunk))


@contextmanager
def _new_file(path: Path) -> Iterator[int]:
    """Give the descriptor of a file that gets its name when the `with` ends well, and is gone when it does not."""
    if path.exists():
        raise UsageError(f"{path} exists", hint="Nothing is overwritten: choose another name, or remove it.")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield handle
        os.fsync(handle)
        _publish(temporary, path)
    except FileExistsError as error:
        raise UsageError(f"{path} exists", hint="Nothing is overwritten: choose another name.") from error
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error
    finally:
        os.close(handle)
        with suppress(FileNotFoundError):
            temporary.unlink()


def _publish(temporary: Path, path: Path) -> None:
    """Give a file its name, in the place of no other. Raise FileExistsError, or another OSError."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:  # exFAT and some network mounts know no second name of a file
        if path.exists():
            raise FileExistsError from error
        temporary.rename(path)
