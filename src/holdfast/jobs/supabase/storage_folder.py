"""A directory as the place that files are brought to: a folder for each bucket."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from holdfast.model.errors import StoreError, UsageError
from holdfast.model.storage import File, Properties


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{path}: {error.strerror or error}", hint="Choose another directory, or make room."
        ) from error


class Folder:
    """Files below `root`, which nobody else changes meanwhile. What is kept of them besides their bytes is not written."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def files(self, bucket: str) -> Iterator[File]:
        """The files that are there. They have no ETag: whether they are the same is not known."""
        top = self._path(bucket)
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder) / name
                with _translated(path):
                    told = path.lstat()
                yield File(
                    bucket=bucket,
                    name=path.relative_to(top).as_posix(),
                    size=told.st_size,
                    etag="",
                    modified_at=datetime.fromtimestamp(told.st_mtime, UTC),
                )

    def make_bucket(self, bucket: str) -> bool:
        """Make the folder of a bucket."""
        path = self._path(bucket)
        there = path.is_dir()
        with _translated(path):
            path.mkdir(parents=True, exist_ok=True)
        return not there

    def put(self, bucket: str, name: str, properties: Properties, chunks: Iterable[bytes]) -> None:  # noqa: ARG002 - a directory has no room for them
        """Write a file under another name, and rename it."""
        path = self._path(bucket, *name.split("/"))
        with _translated(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, written = tempfile.mkstemp(prefix=".holdfast-", dir=path.parent)
            try:
                with os.fdopen(handle, "wb") as file:
                    file.writelines(chunks)
                Path(written).replace(path)
            except BaseException:  # also Ctrl-C: half a file is no file
                Path(written).unlink(missing_ok=True)
                raise

    def _path(self, *pieces: str) -> Path:
        """The path of a name. Raise UsageError for one that would lead elsewhere, or that no file can have."""
        if any(piece in ("", ".", "..") or "\0" in piece for piece in pieces):
            raise UsageError(
                f"{'/'.join(pieces)!r} cannot be the name of a file in a directory",
                hint="Bring it back into a bucket, or leave it out with --prefix.",
            )
        return self._root.joinpath(*pieces)
