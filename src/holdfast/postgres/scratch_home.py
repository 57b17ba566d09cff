"""The directory of a throwaway cluster: whose it is, that it is locked while we live, and what killed runs left."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import shutil
import stat
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.model.errors import ConfigError
from holdfast.system import clock

_PREFIX = "holdfast-scratch-"
_SOCKET_PREFIX = "holdfast-socket-"
_SOCKET_PATH_BYTES = 103  # sun_path holds 104 on macOS and BSD, 108 on Linux, and ends with a zero
_UNLOCKED_SECONDS = 60  # far more than passes between making a directory and locking it


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom the server runs as. `changed` is False when it is ourselves."""

    uid: int
    gid: int
    changed: bool

    @property
    def switch(self) -> tuple[int | None, int | None]:
        """The user and group to change to, for a command; None where nothing changes."""
        return (self.uid, self.gid) if self.changed else (None, None)


def account(names: Sequence[str]) -> Account:
    """Choose whom the server runs as: ourselves, or where we are root the first of `names` that exists.

    Raise ConfigError where none does: PostgreSQL refuses to run as root.
    """
    if os.geteuid() != 0:
        return Account(uid=os.geteuid(), gid=os.getegid(), changed=False)
    for name in names:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(uid=entry.pw_uid, gid=entry.pw_gid, changed=True)
    raise ConfigError(
        f"PostgreSQL cannot run as root, and there is no user {' nor '.join(names)}",
        hint="Run Holdfast as an unprivileged user, or create the user postgres.",
    )


@contextlib.contextmanager
def home(parent: Path | None, owner: Account, *, ours: bool = False) -> Iterator[Path]:
    """Make a cluster's directory, locked while we live, and remove it at the end.

    It is the server's (0700), or when `ours` our own (0711), and only what is made in it the server's.
    """
    base = parent or _default_parent(owner)
    if not reachable(base, owner):
        raise ConfigError(
            f"the server's user (uid {owner.uid}) cannot reach {base}",
            hint="Name a directory whose parents everybody may traverse, or run Holdfast as an unprivileged user.",
        )
    sweep(base)
    with _temporary(base, owner, _PREFIX) as path:
        if ours:
            os.chown(path, os.geteuid(), os.getegid())
            path.chmod(0o711)
        handle = os.open(path, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: nothing is ever swept there
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield path
        finally:
            os.close(handle)


def folder(path: Path, owner: Account) -> Path:
    """Make a directory (0700) that is the server's."""
    path.mkdir(mode=0o700)
    if owner.changed:
        os.chown(path, owner.uid, owner.gid)
    return path


@contextlib.contextmanager
def _temporary(base: Path, owner: Account, prefix: str) -> Iterator[Path]:
    try:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=base)).resolve()
    except OSError as error:
        raise ConfigError(
            f"cannot make a directory for a scratch cluster in {base}: {error.strerror}",
            hint="Name a directory that this user can write and that has room for the restored databases.",
        ) from error
    try:
        if owner.changed:
            os.chown(path, owner.uid, owner.gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _default_parent(owner: Account) -> Path:
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - mkdtemp makes it private
    return next((place for place in places if reachable(place, owner)), places[0])


def reachable(path: Path, owner: Account) -> bool:
    """Whether the server's user may traverse the directory and all its parents."""
    if not owner.changed:
        return True
    real = path.resolve()
    return all(_may_traverse(place, owner) for place in (real, *real.parents))


def _may_traverse(path: Path, owner: Account) -> bool:
    try:
        facts = path.stat()
    except OSError:
        return False
    if facts.st_uid == owner.uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    if facts.st_gid == owner.gid:
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)


def sweep(base: Path) -> None:
    """Remove what killed processes left: nobody holds its lock. A server in it ends when it misses its files."""
    young = clock.SystemClock().now().timestamp() - _UNLOCKED_SECONDS
    for path in base.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime > young:
                continue
            handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(handle)


@contextlib.contextmanager
def socket_dir(place: Path, owner: Account) -> Iterator[Path]:
    """Give `place` itself, or a short directory where the socket's path would be too long."""
    if len(os.fsencode(place / ".s.PGSQL.65535")) <= _SOCKET_PATH_BYTES:
        yield place
        return
    with _temporary(Path("/tmp"), owner, _SOCKET_PREFIX) as path:  # noqa: S108 - mkdtemp makes it private
        yield path


def usable(bin_dir: Path, place: Path, owner: Account) -> Path:
    """Copy an installation to `place`, where the server's user can run it, if it lies out of its reach."""
    if reachable(bin_dir, owner):
        return bin_dir
    installation = bin_dir.resolve().parent
    copy = place / "copy" / installation.parent.name / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    if (libraries := libraries_of(installation)).is_dir():
        shutil.copytree(libraries, copy.parent.with_name(libraries.name), symlinks=True)
    return copy / bin_dir.name


def libraries_of(installation: Path) -> Path:
    """Where a Python package keeps its programs' libraries: beside its own folder."""
    return installation.parent.with_name(f"{installation.parent.name}.libs")
