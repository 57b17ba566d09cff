"""Whom new files belong to, when a command is run by root where the daemon runs as somebody else."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path


def inherit(handle: int, folder: Path | int) -> None:
    """Give an open file that root has just made to the owner of its folder, who could not open it else."""
    if os.geteuid() != 0:
        return
    found = os.stat(folder)  # noqa: PTH116 - it may be a handle
    with suppress(OSError):  # a network filesystem that does not take root for root
        os.fchown(handle, found.st_uid, found.st_gid)


def make_folder(path: Path) -> None:
    """Make a folder (0700), and those above it, where missing; each belongs to the owner of the one above."""
    for folder in reversed([each for each in (path, *path.absolute().parents) if not each.exists()]):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700 if folder == path else 0o777)
            handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                inherit(handle, folder.absolute().parent)
            finally:
                os.close(handle)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
