"""Writes a database of a backup, or some of its tables, as a plain pg_dump archive, as SQL or as CSV."""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from holdfast.jobs import export_csv, export_files
from holdfast.jobs.export_csv import TableFile
from holdfast.jobs.part_archive import OnBytes, PartArchive, open_archive
from holdfast.jobs.reading import Opened, can_open, plain_chunks, read_catalog
from holdfast.jobs.services import Services
from holdfast.model.backup import Part
from holdfast.model.errors import Error, KeyFileError, NotFoundError, UsageError
from holdfast.postgres import conninfo, copy_text, tools
from holdfast.postgres.selecting import Roots, find_roots, select
from holdfast.streams.chunks import Tally, tally
from holdfast.system import proc
from holdfast.system.stop import Stop

Form = Literal["archive", "sql", "csv"]
FILE_SUFFIX = ".csv"  # an output so named is a file, any other a directory


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What to export: a database (None: the only one), or `tables` and `schemas` of it, and into what.

    `output` is a new file, and for CSV a new or empty directory unless it ends in `.csv`; None is the descriptor that
    is given with it.
    """

    database: str | None
    form: Form
    output: Path | None
    tables: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()

    @property
    def narrowed(self) -> bool:
        """Whether some tables or schemas are meant, and not the whole database."""
        return bool(self.tables or self.schemas)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written. `encoding` and `tables` are told of CSV; `skipped` are ties to what was not chosen."""

    backup_id: str
    target: str
    database: str
    form: Form
    output: str | None
    encoding: str | None
    size: int
    tables: tuple[TableFile, ...] = ()
    skipped: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One export: from where, what, and whither."""

    services: Services
    opened: Opened
    part: Part
    wish: Wish
    descriptor: int
    stop: Stop

    def progress(self, total: int) -> AbstractContextManager[OnBytes]:
        return self.services.reporter.progress(f"export {self.part.database}", total)

    def output(self) -> AbstractContextManager[int]:
        """Give the descriptor to write to."""
        path = self.wish.output
        return nullcontext(self.descriptor) if path is None else export_files.new_file(path)

    def archive(self, *, copies: bool) -> PartArchive:
        found = None
        if self.opened.backup.part("catalog") is not None:
            found = read_catalog(self.opened, self.services.keys).database(self.part.database or "")
        encoding = "UTF8" if found is None else found.properties.encoding
        return open_archive(
            self.services, self.opened, self.part, self.stop, encoding=encoding, copies=copies
        )

    def roots(self, archive: PartArchive) -> Roots | None:
        wish = self.wish
        return find_roots(archive.index, wish.tables, wish.schemas) if wish.narrowed else None


def export(services: Services, opened: Opened, wish: Wish, stop: Stop, *, descriptor: int = 1) -> Exported:
    """Write what is wished for into new files, or to the file descriptor.

    Files appear under their names only when all is complete. Raise UsageError where they exist already.
    """
    part = _part(opened, wish.database)
    if not can_open(opened.backup, services.keys):
        raise KeyFileError(
            f"backup {opened.backup.id} is encrypted and this host has no identity",
            hint="Set encryption.identity_file (or HOLDFAST_ENCRYPTION__IDENTITY_FILE) to the file that keygen wrote.",
        )
    job = _Job(services=services, opened=opened, part=part, wish=wish, descriptor=descriptor, stop=stop)
    done = Exported(
        backup_id=opened.backup.id,
        target=opened.backup.target,
        database=part.database or "",
        form=wish.form,
        output=None if wish.output is None else str(wish.output),
        encoding=None,
        size=part.size,
    )
    if wish.form == "csv":
        return _csv(job, done)
    return _selected(job, done) if wish.narrowed else _whole(job, done)


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


def _whole(job: _Job, done: Exported) -> Exported:
    with (
        job.progress(job.part.size) as show,
        job.output() as handle,
        closing(_chunks(job, show)) as chunks,
    ):
        _write_dump(job, chunks, handle)
    return done


def _chunks(job: _Job, show: OnBytes) -> Generator[bytes, None, None]:
    for chunk in plain_chunks(job.opened.place, job.part, job.services.keys):
        job.stop.check()
        yield chunk
        show(len(chunk))


def _selected(job: _Job, done: Exported) -> Exported:
    """Write an archive, or the SQL, of some tables or schemas and what they need."""
    archive = job.archive(copies=False)
    roots = job.roots(archive)
    assert roots is not None  # noqa: S101 - the wish is narrowed
    selection = select(archive.index, roots, frozenset(), alone=True)
    skipped = tuple(f"{each.what}: {each.reason}" for each in selection.skipped)
    for text in skipped:
        job.services.reporter.warn(f"not exported: {text}", backup=done.backup_id)
    size = Tally()
    with (
        job.progress(archive.size(selection.entries)) as show,
        job.output() as handle,
        closing(archive.cut(selection.entries, job.stop, show)) as chunks,
    ):
        _write_dump(job, tally(chunks, size), handle)
    return replace(done, size=size.size, skipped=skipped)


def _write_dump(job: _Job, chunks: Iterator[bytes], handle: int) -> None:
    if job.wish.form == "archive" or job.part.format == "plain":
        export_files.write_all(handle, chunks, job.stop)
        return
    toolset = tools.choose(tools.find_toolsets(), job.opened.backup.server.version_num)
    argv = (toolset.program("pg_restore"), "--file=-")
    command = proc.Command(argv=argv, env=conninfo.base_environment())
    try:
        proc.feed(command, chunks, job.stop, stdout=handle)
    except proc.ProcessError as error:
        if error.status == -signal.SIGPIPE:
            raise Error(export_files.GONE) from error
        raise


def _csv(job: _Job, done: Exported) -> Exported:
    archive = job.archive(copies=True)
    encoding = export_csv.encoding_of(archive, job.stop)
    if encoding in copy_text.UNSAFE_ENCODINGS:
        raise UsageError(
            f"the dump was made with --encoding={encoding}, which does not go into CSV safely",
            hint="Use --format sql.",
        )
    tables = export_csv.tables_of(archive, job.roots(archive))
    export_csv.require_copy(tables)
    path = job.wish.output
    with job.progress(archive.size(tables)) as show:
        if path is None or path.suffix == FILE_SUFFIX:
            with job.output() as handle:
                written = export_csv.write_one(archive, tables, handle, job.stop, show)
        else:
            written = export_csv.write_directory(archive, tables, path, job.stop, show)
    job.services.reporter.info("wrote CSV", tables=len(written), encoding=encoding)
    return replace(done, encoding=encoding, size=sum(each.size for each in written), tables=written)
