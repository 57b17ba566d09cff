"""Stages an archive in an unnamed file, so that several jobs of pg_restore can read it at once."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.model.errors import IntegrityError
from holdfast.postgres.archive import TocReader
from holdfast.postgres.blocks import BlockFinder
from holdfast.postgres.entries import Toc
from holdfast.system import spool
from holdfast.system.proc import READ_BYTES

_POSITION_SET = b"\x02"  # K_OFFSET_POS_SET of pg_backup_archiver.h


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A whole archive in the file that `handle` leads to."""

    handle: int


def contents(archive: Staged) -> Toc | None:
    """Read the table of contents; None where it is not understood: pg_restore may know more than we do."""
    reader, at = TocReader(), 0
    try:
        while not reader.done and (chunk := os.pread(archive.handle, READ_BYTES, at)):
            reader.feed(chunk)
            at += len(chunk)
        return reader.finish()
    except IntegrityError:
        return None


@contextmanager
def staged(
    chunks: Iterator[bytes], directory: Path, *, size: int, blocks: Mapping[int, int] | None = None
) -> Iterator[Staged]:
    """Write an archive of `size` bytes into a file that nobody can find, until the `with` ends.

    `blocks` tells where the data of each entry begins; they are looked for where it is not known. The end of the
    chunks is their promise of being whole and authentic. Raise ConfigError where they do not fit.
    """
    spool.require_space(directory, size)
    with spool.unnamed_file(directory) as handle:
        reader = TocReader(keep=lambda entry: entry.has_data)
        finder = BlockFinder(reader) if not blocks else None
        readable = True
        for chunk in chunks:
            spool.write(handle, chunk, directory)
            if readable:
                readable = _watch(reader, finder, chunk)
        if readable:
            found = finder.found if finder is not None else blocks or {}
            _tell_positions(handle, reader, found, directory)
        yield Staged(handle=handle)


def _watch(reader: TocReader, finder: BlockFinder | None, chunk: bytes) -> bool:
    """Look for the blocks of data; whether the archive is understood. pg_restore may know more than we do."""
    try:
        reader.feed(chunk)
    except IntegrityError:
        return False
    if finder is not None:
        finder.feed(chunk)
    return True


def _tell_positions(handle: int, reader: TocReader, found: Mapping[int, int], directory: Path) -> None:
    """Write into the table of contents where each block begins.

    pg_dump cannot when it writes to a pipe, and every job would look for its blocks by reading all those before them.
    """
    if reader.header is None:
        return
    width = reader.header.offset_size
    for entry in reader.entries:
        start = found.get(entry.dump_id)
        if start is not None:
            field = _POSITION_SET + start.to_bytes(width, "little")
            spool.write(handle, field, directory, at=entry.end - len(field))
