"""A store in a directory of a local or mounted filesystem.

An object is written under a temporary name beside its own, flushed to the disk, and then renamed or linked into
place; the folders' names are flushed too.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path

from holdfast.model.errors import NotFoundError, StoreError
from holdfast.stores import local_files as files
from holdfast.stores.base import ExistsError, RefusedError, Stored, check_key, check_prefix, check_range

READ_BYTES = 1024 * 1024
_MISSING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_RIGHTS = "Give the user that Holdfast runs as the rights to read, write and enter this directory."
_HINTS = {
    errno.ENOSPC: "The filesystem is full: free some room, keep fewer backups, or use a larger one.",
    errno.EDQUOT: "The disk quota is used up: free some room, or ask for a larger quota.",
    errno.EFBIG: "The file is larger than the filesystem or `ulimit -f` allows: raise the limit.",
    errno.EACCES: _RIGHTS,
    errno.EPERM: _RIGHTS,
    errno.EROFS: "The filesystem is mounted read-only: look for disk errors in the kernel's log, then remount it.",
    errno.EIO: "The disk reports an error: look into the kernel's log, and do not trust this disk.",
    errno.ESTALE: "The network filesystem lost touch with its server: mount it again.",
    errno.ENOTDIR: "Something that is not a directory is in the way: move it, or set another path.",
    errno.ELOOP: "A symbolic link is in the way: none is followed below the path of a store.",
    errno.ENAMETOOLONG: "The filesystem does not take names of this length: use another one.",
}
_REFUSALS = frozenset(
    {errno.EFBIG, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
)


class LocalStore:
    """Keeps each object as a file of mode 0600 below `path`; folders (0700) are made and removed as needed."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    @property
    def location(self) -> str:
        """The directory."""
        return str(self.path)

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        """Store the object; see Store. Always False: what a disk took is known only by reading it back."""
        *folders, name = _split(key)
        if absent and self.stat(key) is not None:
            raise self._taken(key)
        with ExitStack() as stack:
            with self._translated("write", key):
                draft = stack.enter_context(files.draft(self.path, folders))
            flushed = 0
            for chunk in chunks:
                with self._translated("write", key):
                    files.write(draft.handle, chunk)
                    flushed = files.begin_flush(draft.handle, flushed)
            with self._translated("write", key):
                try:
                    files.publish(draft, name, absent=absent)
                except FileExistsError as error:
                    raise self._taken(key) from error
        return False

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the object's bytes in chunks of at most 1 MiB; see Store."""
        check_range(start, length)
        _split(key)
        return self._read(key, start, length)

    def _read(self, key: str, start: int, length: int | None) -> Iterator[bytes]:
        *folders, name = _split(key)
        done = 0
        with ExitStack() as stack:
            with self._translated("read", key):
                handle, size = self._open(key, folders, name)
                stack.callback(os.close, handle)
                os.lseek(handle, start, os.SEEK_SET)
            expected = max(0, size - start) if length is None else min(length, max(0, size - start))
            # Of a whole rest one byte more is asked for: a file that grew is as wrong as one that shrank.
            limit = expected + 1 if length is None else expected
            while chunk := self._read_some(key, handle, limit - done):
                done += len(chunk)
                yield chunk
        if done != expected:
            raise StoreError(
                f"{self.location}: {key} gave {done} of its {expected} bytes{f' from {start} on' if start else ''}",
                hint="Something changed the file while it was read: nothing but Holdfast may write here.",
            )

    def _open(self, key: str, folders: Iterable[str], name: str) -> tuple[int, int]:
        try:
            return files.open_file(self.path, tuple(folders), name)
        except OSError as error:
            if not self._is_missing(error):
                raise
            raise NotFoundError(f"{self.location}: there is no {key}") from error

    def _read_some(self, key: str, handle: int, most: int) -> bytes:
        with self._translated("read", key):
            return os.read(handle, min(READ_BYTES, most))

    def stat(self, key: str) -> Stored | None:
        """Tell of the object; see Store."""
        *folders, name = _split(key)
        with self._translated("look at", key):
            try:
                with files.opened(self.path, folders) as chain:
                    found = files.status(name, chain[-1])
            except OSError as error:
                if not self._is_missing(error):
                    raise
                return None
        return _stored(key, found) if found is not None and stat.S_ISREG(found.st_mode) else None

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Tell of the objects in order; see Store. Holds the names of one folder per level in memory."""
        check_prefix(prefix)
        return (_stored(key, found) for key, found in self._walk(prefix) if not _is_draft(key))

    def delete(self, key: str) -> None:
        """Remove the object, and the folders that this leaves empty; see Store."""
        self._remove(key, *_split(key))

    def _remove(self, key: str, *pieces: str) -> None:
        *folders, name = pieces
        with self._translated("delete", key):
            try:
                with files.opened(self.path, folders) as chain:
                    os.unlink(name, dir_fd=chain[-1])
                    files.sync(chain[-1])
                    files.prune(chain, folders)
            except OSError as error:
                if not self._is_missing(error):
                    raise

    def abort_stale(self, prefix: str, before: datetime) -> int:
        """Remove temporary files last written before `before`, in folders under `prefix`; see Housekeeping."""
        check_prefix(prefix)
        stale = [k for k, found in self._walk(prefix) if _is_draft(k) and found.st_mtime < before.timestamp()]
        for key in stale:
            self._remove(key, *key.split("/"))
        return len(stale)

    def free_bytes(self) -> int:
        """How many bytes this user may still write to the filesystem; see Space."""
        with self._translated("look at", "its filesystem"):
            place = next(path for path in (self.path, *self.path.absolute().parents) if path.exists())
            found = os.statvfs(place)
        return found.f_bavail * found.f_frsize

    def _walk(self, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
        with self._translated("list", prefix):
            try:
                yield from files.walk(self.path, prefix)
            except OSError as error:
                if not self._is_missing(error):
                    raise

    def _is_missing(self, error: OSError) -> bool:
        """Whether there is just no such object, rather than a root that is no directory."""
        if error.errno not in _MISSING:
            return False
        try:
            return stat.S_ISDIR(self.path.stat().st_mode)
        except FileNotFoundError:
            return True

    def _taken(self, key: str) -> ExistsError:
        return ExistsError(f"{self.location}: {key} exists already")

    @contextmanager
    def _translated(self, verb: str, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            number = error.errno or 0
            kind = RefusedError if number in _REFUSALS else StoreError
            reason = (error.strerror or str(error)).lower()
            message = f"{self.location}: cannot {verb} {what or 'the directory'}: {reason}"
            raise kind(message, hint=_HINTS.get(number)) from error


def _split(key: str) -> tuple[str, ...]:
    pieces = tuple(check_key(key).split("/"))
    if pieces[-1].startswith(files.TEMPORARY):
        raise ValueError(f"{key!r} is not a key: {files.TEMPORARY} marks what is half written")
    return pieces


def _is_draft(key: str) -> bool:
    return key.rpartition("/")[2].startswith(files.TEMPORARY)


def _stored(key: str, found: os.stat_result) -> Stored:
    return Stored(key=key, size=found.st_size, modified_at=datetime.fromtimestamp(found.st_mtime, UTC))
