"""Locks of this machine: a file that one process holds at a time; the kernel lets go when the holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.model.errors import BusyError, LedgerError
from holdfast.system import owner

_POLL_SECONDS = 0.05
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def exclusive(
    path: Path, *, what: str, holder: str, wait: float = 0, hint: str = "Wait for it to end, then try again."
) -> Iterator[None]:
    """Hold the lock file `path`, writing `holder` into it.

    Raise BusyError, naming the holder, when it is still taken after `wait` seconds; LedgerError when the file
    cannot be made or locked.
    """
    handle = _open(path)
    try:
        _acquire(handle, path, what, wait, hint)
        _write(handle, path, holder)
        try:
            yield
        finally:
            os.ftruncate(handle, 0)  # so that nobody is told the name of a former holder
            fcntl.flock(handle, fcntl.LOCK_UN)  # closing is not enough while a child is between fork and exec
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    try:
        owner.make_folder(path.parent)
        with suppress(FileExistsError):
            made = os.open(path, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600)
            owner.inherit(made, path.parent)
            return made
        return os.open(path, _FLAGS)
    except OSError as error:
        raise _unusable(path, error) from error


def _acquire(handle: int, path: Path, what: str, wait: float, hint: str) -> None:
    deadline = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= deadline:
                other = os.pread(handle, 4096, 0).decode("utf-8", "replace").strip() or "another process"
                raise BusyError(f"{what} is locked by {other}", hint=hint) from error
        except OSError as error:
            raise _unusable(path, error) from error
        else:
            return
        time.sleep(_POLL_SECONDS)


def _write(handle: int, path: Path, holder: str) -> None:
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, holder.encode("utf-8", "backslashreplace"), 0)
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> LedgerError:
    return LedgerError(
        f"cannot use the lock file {path}: {error.strerror}",
        hint="Point daemon.state_dir at a directory that this user can write, with some space left.",
    )
