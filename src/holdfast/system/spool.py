"""The one place where plaintext may lie on a disk: an unnamed file, which is gone when the process is."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from holdfast.model.errors import ConfigError

_WITHOUT = "Set daemon.spool_dir to another place, or restore with --jobs 1, which needs none."
# What a kernel or a file system says that cannot make a file without a name.
_NO_UNNAMED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.ENOENT, errno.EINVAL})


def free_bytes(directory: Path) -> int:
    """How much may be written there. Raise ConfigError where there is no such directory."""
    try:
        found = os.statvfs(directory)
    except OSError as error:
        raise _trouble(directory, error) from error
    return found.f_bavail * found.f_frsize


def require_space(directory: Path, size: int) -> None:
    """Raise ConfigError, naming both numbers, unless `size` bytes fit into the directory."""
    free = free_bytes(directory)
    if free < size:
        raise ConfigError(
            f"{directory} has {free:,} bytes free, and the staged archive needs {size:,}",
            hint=f"Free space there. {_WITHOUT}",
        )


@contextmanager
def unnamed_file(directory: Path) -> Iterator[int]:
    """Give the descriptor of a file that only its owner may open, and that nobody can find. Raise ConfigError."""
    if not Path("/proc/self/fd").is_dir():
        raise ConfigError(
            "this system has no /proc, by which pg_restore would open the staged archive", hint=_WITHOUT
        )
    try:
        handle = _open(directory)
    except OSError as error:
        raise _trouble(directory, error) from error
    try:
        yield handle
    finally:
        os.close(handle)


def _open(directory: Path) -> int:
    with suppress(AttributeError):  # Linux has it
        try:
            return os.open(directory, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno not in _NO_UNNAMED or not directory.is_dir():
                raise
    handle, name = tempfile.mkstemp(prefix=".holdfast-", dir=directory)  # 0600
    Path(name).unlink()
    return handle


def path(handle: int) -> str:
    """The path by which a child that inherits the descriptor opens the file, each time with a position of its own."""
    return f"/proc/self/fd/{handle}"


@contextmanager
def handed(content: bytes) -> Iterator[int]:
    """Give a descriptor of a file without a name for a child to read; for what is no secret."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.flush()
        yield file.fileno()


def write(handle: int, chunk: bytes | memoryview, directory: Path, *, at: int | None = None) -> None:
    """Write all of the chunk, at its end or at a position. Raise ConfigError, naming `directory`, when it is full."""
    view = memoryview(chunk)
    try:
        while view:
            if at is None:
                count = os.write(handle, view)
            else:
                count = os.pwrite(handle, view, at)
                at += count
            view = view[count:]
    except OSError as error:
        raise _trouble(directory, error) from error


def _trouble(directory: Path, error: OSError) -> ConfigError:
    return ConfigError(f"cannot stage the archive in {directory}: {error.strerror}", hint=_WITHOUT)
