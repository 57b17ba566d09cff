"""Shuts a program in that may run strangers' code: another user, no network, no sight of the host's files and processes."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.system import proc
from holdfast.system.caged import FAILED
from holdfast.system.stop import Stop

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_OF_ETC = ("ld.so.cache", "localtime", "alternatives", "perl", "python3", "ssl/openssl.cnf")
_DICTIONARIES = "/var/cache/postgresql"  # Debian's text search dictionaries are links to there


@dataclass(frozen=True, slots=True, kw_only=True)
class Cage:
    """Whom a program runs as, and what it sees: the system's programs and `readable`, but not `hidden`.

    `writable` are directories that belong to that user, and all that it can write to; the first is where it begins.
    `root` is an empty directory outside of them. Without `isolated` the user is all that is changed.
    """

    uid: int
    gid: int
    root: Path
    writable: tuple[Path, ...]
    readable: tuple[Path, ...] = ()
    hidden: tuple[Path, ...] = ()
    isolated: bool = True


def caged(command: proc.Command, cage: Cage) -> proc.Command:
    """Give the command that runs `command` in the cage. It dies with this process, and with the thread that started it.

    Its signals SIGQUIT, SIGTERM and SIGINT reach the program. Linux only.
    """
    spec = {
        "parent": os.getpid(),
        "isolated": cage.isolated,
        "uid": cage.uid,
        "gid": cage.gid,
        "root": str(cage.root),
        "readable": [
            *_SYSTEM,
            *(f"/etc/{name}" for name in _OF_ETC),
            _DICTIONARIES,
            *map(str, cage.readable),
        ],
        "writable": [str(path) for path in cage.writable],
        "hidden": [str(path.resolve()) for path in cage.hidden],
    }
    launcher = Path(__file__).with_name("caged.py")
    argv = (sys.executable, "-I", "-S", str(launcher), json.dumps(spec), *command.argv)
    return replace(command, argv=argv, user=None, group=None, cwd=None)


def refusal(command: proc.Command, cage: Cage, stop: Stop) -> str | None:
    """Try the cage with a harmless command; tell why this machine allows none, or None where it does."""
    if not is_possible():
        return "only Linux has the means"
    try:
        proc.output_of(caged(command, cage), stop, seconds=30)
    except proc.ProcessError as error:
        if error.status != FAILED:
            raise
        return error.stderr.strip().removeprefix("cage: ") or "unknown reason"
    return None


def is_possible() -> bool:
    """Whether this system has cages at all, isolated or not."""
    return sys.platform == "linux"
