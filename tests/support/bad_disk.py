"""A disk that fails when it is told to: a filesystem in user space before a directory.

    with bad_disk(folder) as disk:          what is written to disk.path lies in a directory beside it
        disk.fail("write", errno.EIO, skip=3)

Needs root, /dev/fuse, mfusepy and libfuse2: script/bootstrap --extended installs the last two.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Disk:
    """The disk is at `path`; what lies on it is in `behind`, too, where nothing fails."""

    path: Path
    behind: Path
    control: Path

    def fail(self, operation: str, number: int, *, skip: int = 0) -> None:
        """From the next call but `skip` on let every call of an operation (`write`, `fsync`, `read`, `create`, …) fail."""
        draft = self.control.with_suffix(".new")
        draft.write_text(f"{operation} {number} {skip}")
        draft.replace(self.control)

    def heal(self) -> None:
        """Let nothing fail any more."""
        self.control.unlink(missing_ok=True)


@contextmanager
def bad_disk(folder: Path, name: str = "disk") -> Iterator[Disk]:
    """Mount the disk for the length of the `with`."""
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("only root may mount, and there has to be a /dev/fuse")
    disk = Disk(path=folder / name, behind=folder / f"{name}.behind", control=folder / f"{name}.control")
    for each in (disk.path, disk.behind):
        each.mkdir()
    argv = [sys.executable, "-m", "support.bad_disk", *map(str, (disk.behind, disk.path, disk.control))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while not disk.path.is_mount():
                if process.poll() is not None:
                    pytest.fail(f"no disk to be had: {process.communicate()[1]}")
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield disk
        finally:
            disk.heal()
            subprocess.run(["/usr/bin/umount", "--lazy", str(disk.path)], check=False)
            with suppress(subprocess.TimeoutExpired):
                process.wait(SECONDS)
            process.kill()


class _Counter:
    """Says which calls fail, by the control file."""

    def __init__(self, control: Path) -> None:
        self.control = control
        self.text = ""
        self.seen = 0

    def check(self, operation: str) -> None:
        """Raise the error that is wished for."""
        try:
            text = self.control.read_text()
        except FileNotFoundError:
            text = ""
        if text != self.text:
            self.text, self.seen = text, 0
        if text and text.split()[0] == operation:
            _, number, skip = text.split()
            self.seen += 1
            if self.seen > int(skip):
                raise OSError(int(number), os.strerror(int(number)))


def serve(behind: Path, mount: Path, control: Path) -> None:
    """Be the filesystem until it is unmounted."""
    import mfusepy  # type: ignore[import-not-found, import-untyped, unused-ignore] # noqa: PLC0415 - not every venv has it

    counter = _Counter(control)

    def operation(name: str) -> Callable[..., object]:
        """An operation as FUSE calls it: our own of the name, below `behind`, unless it is to fail."""

        def call(_: object, path: str, *arguments: Any) -> Any:  # noqa: ANN401 - what FUSE gives
            counter.check(name)
            found = getattr(_Operations, name)(f"{behind}{path}", *arguments)
            if name in {"create", "mkdir", "mknod"}:
                os.chown(f"{behind}{path}", *mfusepy.fuse_get_context()[:2])
            return found

        return call

    _Operations.behind = str(behind)
    made = {
        name: operation(name) for name in vars(_Operations) if not name.startswith("_") and name != "behind"
    }
    disk = type("BadDisk", (mfusepy.Operations,), made)()
    mfusepy.FUSE(
        disk, str(mount), foreground=True, nothreads=True, allow_other=True, default_permissions=True
    )


class _Operations:
    """What each operation does, in FUSE's own words."""

    behind = ""

    @staticmethod
    def getattr(path: str, _: int | None = None) -> dict[str, Any]:
        return _fields(os.lstat(path), "st_")

    @staticmethod
    def readdir(path: str, _: int) -> list[str]:
        return [".", "..", *os.listdir(path)]  # noqa: PTH208 - names

    @staticmethod
    def statfs(path: str) -> dict[str, Any]:
        return _fields(os.statvfs(path), "f_")

    @staticmethod
    def open(path: str, flags: int) -> int:
        return os.open(path, flags & ~(os.O_NOFOLLOW | os.O_EXCL))

    @staticmethod
    def create(path: str, mode: int, _: object = None) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)

    @staticmethod
    def mknod(path: str, mode: int, device: int) -> None:
        os.mknod(path, mode, device)

    @staticmethod
    def read(_: str, size: int, offset: int, handle: int) -> bytes:
        return os.pread(handle, size, offset)

    @staticmethod
    def write(_: str, data: bytes, offset: int, handle: int) -> int:
        return os.pwrite(handle, data, offset)

    @staticmethod
    def truncate(path: str, length: int, _: int | None = None) -> None:
        os.truncate(path, length)

    @staticmethod
    def fsync(_: str, __: int, handle: int) -> None:
        os.fsync(handle)

    @staticmethod
    def release(_: str, handle: int) -> None:
        os.close(handle)

    @staticmethod
    def unlink(path: str) -> None:
        os.unlink(path)  # noqa: PTH108 - as FUSE says it

    @staticmethod
    def rmdir(path: str) -> None:
        os.rmdir(path)  # noqa: PTH106 - as FUSE says it

    @staticmethod
    def mkdir(path: str, mode: int) -> None:
        os.mkdir(path, mode)  # noqa: PTH102 - as FUSE says it

    @staticmethod
    def rename(old: str, new: str) -> None:
        os.rename(old, f"{_Operations.behind}{new}")  # noqa: PTH104 - as FUSE says it

    @staticmethod
    def link(target: str, source: str) -> None:
        os.link(f"{_Operations.behind}{source}", target)

    @staticmethod
    def chmod(path: str, mode: int) -> None:
        os.chmod(path, mode)  # noqa: PTH101 - as FUSE says it

    @staticmethod
    def chown(path: str, user: int, group: int) -> None:
        os.chown(path, user, group)

    @staticmethod
    def utimens(path: str, times: tuple[float, float] | None = None) -> None:
        os.utime(path, times)


def _fields(found: object, prefix: str) -> dict[str, Any]:
    return {name: getattr(found, name) for name in dir(found) if name.startswith(prefix)}


if __name__ == "__main__":
    serve(*map(Path, sys.argv[1:4]))
