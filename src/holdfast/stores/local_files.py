"""Files below a root by handles: every folder is opened from the one above it, and no symbolic link is followed.

So neither a planted link nor a folder that is exchanged meanwhile leads out of the root. Errors are OSErrors.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.stores.base import check_key
from holdfast.system import owner

TEMPORARY = ".holdfast-tmp-"
_ROOT_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FOLDER_FLAGS = _ROOT_FLAGS | os.O_NOFOLLOW
# Non-blocking, because opening a named pipe would wait for its writer.
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})
_NO_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
_FOREIGN = frozenset({"lost+found/"})
_ATTEMPTS = 100
_LONGEST = 1024  # of a key, as in S3
_FLUSH_BYTES = 8 * 1024**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A file that is being written: the handles of its folders from the root down, its own, its temporary name."""

    chain: Sequence[int]
    handle: int
    name: str


@contextmanager
def opened(root: Path, folders: Sequence[str], *, make: bool = False) -> Iterator[Sequence[int]]:
    """Open the root and each folder below the one before; give the handles, the root's first."""
    if make:
        _make_root(root)
    with ExitStack() as stack:
        chain, made = [_kept(stack, os.open(root, _ROOT_FLAGS))], False
        for folder in folders:
            if make:
                made = _make(folder, chain[-1])
            chain.append(_kept(stack, os.open(folder, _FOLDER_FLAGS, dir_fd=chain[-1])))
            if made:
                owner.inherit(chain[-1], chain[-2])
        yield chain


def _make(folder: str, parent: int) -> bool:
    try:
        os.mkdir(folder, 0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


@contextmanager
def draft(root: Path, folders: Sequence[str]) -> Iterator[Draft]:
    """Make a temporary file (0600), and its folders (0700) where missing; it and empty folders are gone afterwards."""
    name = TEMPORARY + secrets.token_hex(8)
    with ExitStack() as stack:
        chain, handle = _create(root, folders, name, stack)
        try:
            yield Draft(chain=chain, handle=handle, name=name)
        finally:
            # A broken disk must not hide the first error; what stays is swept as a stale file later.
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=chain[-1])
            prune(chain, folders)


def _create(root: Path, folders: Sequence[str], name: str, stack: ExitStack) -> tuple[Sequence[int], int]:
    """Create the file; again when a delete pruned its folder meanwhile. A folder with a file in it stays."""
    for left in reversed(range(_ATTEMPTS)):
        with ExitStack() as inner:
            try:
                chain = inner.enter_context(opened(root, folders, make=True))
                handle = _kept(inner, os.open(name, _WRITE_FLAGS, 0o600, dir_fd=chain[-1]))
                owner.inherit(handle, chain[-1])
            except FileNotFoundError:
                if not left:
                    raise
            else:
                stack.push(inner.pop_all())
                return chain, handle
    raise AssertionError  # the loop returns or raises


def publish(made: Draft, name: str, *, absent: bool) -> None:
    """Give a draft its name, on the disk when this returns. Raise FileExistsError when `absent` and it is taken."""
    os.fsync(made.handle)
    folder = made.chain[-1]
    if absent:
        _publish_new(made.name, name, folder)
    else:
        os.rename(made.name, name, src_dir_fd=folder, dst_dir_fd=folder)
    # Another put may have made the folders and not yet flushed them: flush the whole chain.
    for handle in reversed(made.chain):
        sync(handle)


def _publish_new(temporary: str, name: str, folder: int) -> None:
    try:
        os.link(temporary, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A filesystem without hard links (exFAT, some network mounts): one at a time looks, then renames.
        fcntl.flock(folder, fcntl.LOCK_EX)
        try:
            if status(name, folder) is not None:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from error
            os.rename(temporary, name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            fcntl.flock(folder, fcntl.LOCK_UN)


def write(handle: int, chunk: bytes) -> None:
    """Write all of the chunk: a write to a disk that is nearly full may take only some of it."""
    view = memoryview(chunk)
    while view:
        view = view[os.write(handle, view) :]


def begin_flush(handle: int, start: int) -> int:
    """Let the kernel begin to write to the disk what was written from `start` on, if that is much; give up to where.

    Else it may wait for the flush, which then takes as long as the disk needs for all of it.
    """
    end = os.lseek(handle, 0, os.SEEK_CUR)
    if end - start < _FLUSH_BYTES or not hasattr(os, "posix_fadvise"):  # macOS has none
        return start
    with contextlib.suppress(OSError):  # it is a hint, which some filesystems do not take
        os.posix_fadvise(handle, start, end - start, os.POSIX_FADV_DONTNEED)
    return end


def sync(folder: int) -> None:
    """Flush a folder's names to the disk, where its filesystem knows how to."""
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise


def prune(chain: Sequence[int], folders: Sequence[str]) -> None:
    """Remove the folders that are empty, from the deepest up; the root stays."""
    with contextlib.suppress(OSError):  # not empty, or already gone
        for parent, folder in reversed(list(zip(chain, folders, strict=False))):
            os.rmdir(folder, dir_fd=parent)


def status(name: str, folder: int) -> os.stat_result | None:
    """Tell of what has this name, also of a link itself; None when there is nothing."""
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def open_file(root: Path, folders: Sequence[str], name: str) -> tuple[int, int]:
    """Open a regular file to read: its handle, which the caller closes, and its size."""
    with opened(root, folders) as chain:
        handle = os.open(name, _READ_FLAGS, dir_fd=chain[-1])
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    return handle, found.st_size


def walk(root: Path, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    """Give the regular files, drafts too, whose key begins with `prefix`, in order of keys."""
    base = prefix[: prefix.rfind("/") + 1]
    with opened(root, base.split("/")[:-1]) as chain:
        yield from _walk(chain[-1], base, prefix)


def _walk(folder: int, base: str, prefix: str) -> Iterator[tuple[str, os.stat_result]]:
    for name in _names(folder):
        key = base + name
        if key.startswith(prefix) and not name.endswith("/"):
            found = status(name, folder)
            if found is not None and stat.S_ISREG(found.st_mode):
                yield key, found
        elif len(key) > _LONGEST:
            continue  # nothing of ours lies so deep, and somebody may have laid a thousand folders into each other
        elif key.startswith(prefix) or prefix.startswith(key):
            with contextlib.ExitStack() as stack:
                try:
                    below = _kept(stack, os.open(name[:-1], _FOLDER_FLAGS, dir_fd=folder))
                except FileNotFoundError:
                    continue  # pruned since
                yield from _walk(below, key, prefix)


def _names(folder: int) -> Sequence[str]:
    """Give the names in a folder that can be keys, in the order of keys: a folder sorts as `name/`."""
    with os.scandir(folder) as entries:
        names = [
            entry.name + "/" * entry.is_dir(follow_symlinks=False) for entry in entries if _is_key(entry.name)
        ]
    return sorted(name for name in names if name not in _FOREIGN)


def _is_key(name: str) -> bool:
    try:
        check_key(name)
    except ValueError:
        return False
    return True


def _make_root(root: Path) -> None:
    for folder in reversed([path for path in (root, *root.absolute().parents) if not path.exists()]):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        with ExitStack() as stack:
            sync(_kept(stack, os.open(folder.parent, _ROOT_FLAGS)))


def _kept(stack: ExitStack, handle: int) -> int:
    stack.callback(os.close, handle)
    return handle
