"""Writes tables of a backup as CSV, a file for each, without any server."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from holdfast.jobs import export_files
from holdfast.jobs.part_archive import PartArchive
from holdfast.model.errors import IntegrityError, NotFoundError, UsageError
from holdfast.postgres import copy_text
from holdfast.postgres.copy_data import table_data
from holdfast.postgres.entries import Entry
from holdfast.postgres.relation_names import shown
from holdfast.postgres.selecting import Roots
from holdfast.streams import compress
from holdfast.system.stop import Stop

OnBytes = Callable[[int], None]

_ROWS = "TABLE DATA"
_ENCODING = re.compile(rb"SET client_encoding = '(\w+)'")
_NAMED = 5
_LARGEST_PIECE = 1024 * 1024
_AS_SQL = "`export --format sql` lets pg_restore read it."


@dataclass(frozen=True, slots=True, kw_only=True)
class TableFile:
    """A table that was written: into which file (None: none of its own), how many rows, and how many bytes."""

    schema: str
    table: str
    file: str | None
    rows: int
    size: int


def encoding_of(archive: PartArchive, stop: Stop) -> str:
    """Tell the encoding of the rows in an archive: that of the database, unless pg_dump was told another one."""
    entries = tuple(entry for entry in archive.toc.entries if entry.desc == "ENCODING")
    found = _ENCODING.search(archive.head(entries, stop))
    if found is None:
        raise IntegrityError(f"{archive.part.name}: the archive does not tell its encoding")
    return found[1].decode()


def tables_of(archive: PartArchive, roots: Roots | None) -> tuple[Entry, ...]:
    """Give the entries whose rows are to be written: all, or those of the chosen tables and their partitions.

    What was chosen by its name and has no rows in the backup is warned of. Raise NotFoundError where that is all.
    """
    index = archive.index
    rows = tuple(entry for entry in index.entries if entry.desc == _ROWS)
    if roots is None:
        return rows
    owners = {entry.dump_id: owner.dump_id for entry in rows if (owner := index.owner(entry)) is not None}
    chosen: set[int] = set()
    without: list[str] = []
    for root in roots.entries:
        family = _family(archive, root)
        chosen |= family
        if (
            family.isdisjoint(owners.values())
            and root.namespace not in roots.schemas
            and root.desc != "SCHEMA"
        ):
            without.append(index.title(root))
    found = tuple(entry for entry in rows if owners.get(entry.dump_id) in chosen)
    if not found:
        names = ", ".join(without[:_NAMED] or sorted(roots.schemas)[:_NAMED])
        raise NotFoundError(
            f"no rows in the backup: {names}",
            hint="Views and foreign tables have none of their own; `holdfast show` tells what was left out.",
        )
    for name in without:
        archive.services.reporter.warn(f"no rows in the backup: {name}", backup=archive.opened.backup.id)
    return found


def _family(archive: PartArchive, root: Entry) -> set[int]:
    """Give the dump ids of a relation and of its partitions, and theirs."""
    found: set[int] = set()
    left = [root]
    while left:
        entry = left.pop()
        if entry.dump_id not in found:
            found.add(entry.dump_id)
            left += archive.index.partitions.get(entry.dump_id, ())
    return found


def write_directory(
    archive: PartArchive, tables: Sequence[Entry], path: Path, stop: Stop, on_bytes: OnBytes
) -> tuple[TableFile, ...]:
    """Write a file for each table into a directory that appears when all of them are whole."""
    written = []
    with export_files.new_directory(path) as folder:
        for entry, names, chunks in _tables(archive, tables, stop, on_bytes):
            name = export_files.file_name(entry.namespace or "", entry.tag or "", entry.oid)
            with export_files.file_in(folder, name) as handle:
                written.append(_write(entry, names, chunks, handle, stop, file=name))
        _require_all(tables, written)
    return tuple(written)


def write_one(
    archive: PartArchive, tables: Sequence[Entry], descriptor: int, stop: Stop, on_bytes: OnBytes
) -> tuple[TableFile, ...]:
    """Write the one table to a descriptor. Raise UsageError where there are several."""
    if len(tables) > 1:
        some = ", ".join(shown(entry.namespace, entry.tag or "") for entry in tables[:_NAMED])
        more = ", …" if len(tables) > _NAMED else ""
        raise UsageError(
            f"{len(tables)} tables do not go into one CSV file: {some}{more}",
            hint="Give a new directory with -o DIR, or one --table.",
        )
    written = tuple(
        _write(entry, names, chunks, descriptor, stop)
        for entry, names, chunks in _tables(archive, tables, stop, on_bytes)
    )
    _require_all(tables, written)
    return written


def _tables(
    archive: PartArchive, tables: Sequence[Entry], stop: Stop, on_bytes: OnBytes
) -> Iterator[tuple[Entry, Sequence[bytes], Iterator[bytes]]]:
    """Give each table with the names of its columns and its rows as COPY printed them, in the archive's order."""
    by_id = {entry.dump_id: entry for entry in tables}
    with closing(archive.cut(tuple(tables), stop, on_bytes)) as chunks:
        for data in table_data(chunks):
            if entry := by_id.get(data.dump_id):
                archive.services.reporter.doing(shown(entry.namespace, entry.tag or ""))
                rows = _DECOMPRESS[_known(data.compression)](data.chunks)
                yield entry, copy_text.columns(data.copy), rows


def require_copy(tables: Sequence[Entry]) -> None:
    """Raise UsageError, naming one, where rows were not dumped by COPY."""
    for entry in tables:
        if not entry.copy:
            raise UsageError(
                f"the rows of {shown(entry.namespace, entry.tag or '')} were dumped as INSERT commands, not as COPY",
                hint=_AS_SQL,
            )


def _write(
    entry: Entry,
    names: Sequence[bytes],
    chunks: Iterator[bytes],
    descriptor: int,
    stop: Stop,
    *,
    file: str | None = None,
) -> TableFile:
    rows = copy_text.Rows()
    size = export_files.write_all(descriptor, copy_text.to_csv(chunks, names, rows), stop)
    return TableFile(
        schema=entry.namespace or "", table=entry.tag or "", file=file, rows=rows.count, size=size
    )


def _require_all(tables: Sequence[Entry], written: Sequence[TableFile]) -> None:
    if len(written) != len(tables):
        raise IntegrityError(
            f"the archive holds the rows of {len(written)} of {len(tables)} tables",
            hint="The dump is damaged: export from another copy or another backup.",
        )


def _known(compression: str) -> str:
    if compression not in _DECOMPRESS:
        raise UsageError(f"pg_dump compressed the rows itself, with {compression}", hint=_AS_SQL)
    return compression


def _inflated(chunks: Iterator[bytes]) -> Iterator[bytes]:
    inflate = zlib.decompressobj()
    try:
        for chunk in chunks:
            left = chunk
            while left:
                yield inflate.decompress(left, _LARGEST_PIECE)
                left = inflate.unconsumed_tail
        yield inflate.flush()
    except zlib.error as error:
        raise IntegrityError(f"the rows in the archive are damaged: {error}") from error


_DECOMPRESS: Mapping[str, Callable[[Iterator[bytes]], Iterator[bytes]]] = {
    "none": iter,
    "gzip": _inflated,
    "zstd": compress.decompress,
}
