"""The program that stands between us and a server that runs strangers' code: it shuts itself in, then becomes the server.

Run as `python caged.py SPEC PROGRAM ARGUMENT…`, where SPEC is the JSON that `cage` writes. It imports the standard
library only. What it cannot do it says on stderr, and ends with `FAILED`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any, NoReturn

FAILED = 97

_NEWNS, _NEWUTS, _NEWIPC, _NEWUSER, _NEWPID, _NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_KEPT_FLAGS = {
    os.ST_NOSUID: _NOSUID,
    os.ST_NODEV: _NODEV,
    os.ST_NOEXEC: _NOEXEC,
    os.ST_NOATIME: 1024,
    4096: 1 << 21,
}
_MNT_DETACH = 2
_PDEATHSIG, _DUMPABLE, _NO_NEW_PRIVS = 1, 4, 38
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_PROCESSES, _FILES, _NICE, _DIES_FIRST = 1024, 8192, 10, b"800"
_SHARED_MEMORY = "mode=1777,size=1g"
_DEVICES = ("null", "zero", "full", "random", "urandom")

_libc = ctypes.CDLL(None, use_errno=True)


class _Refused(OSError):  # noqa: N818 - an OSError that says at what
    """The system does not allow a step."""


def _call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise _Refused(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: Path, kind: str | None, flags: int, data: str | None = None) -> None:
    encoded = [None if text is None else os.fsencode(text) for text in (kind, data)]
    done = _libc.mount(
        os.fsencode(source), os.fsencode(target), encoded[0], ctypes.c_ulong(flags), encoded[1]
    )
    _call(f"mount {target.name or '/'}", done)


def _unshare(flags: int) -> None:
    _call("unshare", _libc.unshare(flags))


def _prctl(option: int, value: int) -> None:
    _call("prctl", _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0))


def _become(uid: int, gid: int) -> None:
    """Be another user. Where we are that one already, the groups are not ours to change."""
    if os.geteuid() != uid:
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)


def _enter_namespaces(uid: int, gid: int) -> None:
    """Leave the host's mounts, network, processes and names: as root, or else by way of a user namespace."""
    alone = _NEWNS | _NEWUTS | _NEWIPC | _NEWPID | _NEWNET
    if os.geteuid() == 0:
        try:
            _unshare(alone)
        except _Refused as error:
            if error.errno != errno.EPERM:
                raise
        else:
            return
        _become(uid, gid)
        _prctl(_DUMPABLE, 1)  # or the maps below belong to root
    _unshare(alone | _NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
    Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")


def _bind(source: Path, root: Path, *, writable: bool) -> None:
    """Show something of the host at its own place under `root`."""
    if not source.exists():
        return
    place = root / source.relative_to("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_symlink():
        with contextlib.suppress(FileExistsError):
            place.symlink_to(source.readlink())
        return
    if source.is_dir():
        place.mkdir(exist_ok=True)
    else:
        place.touch()
    _mount(str(source), place, None, _BIND | (0 if writable else _REC))
    if not writable:
        held = os.statvfs(place).f_flag
        kept = sum(flag for seen, flag in _KEPT_FLAGS.items() if held & seen)
        _mount("none", place, None, _REMOUNT | _BIND | _RDONLY | kept)


def _build_root(spec: dict[str, Any], root: Path) -> None:
    """Make a root of what is named alone: everything else of the host is not there."""
    _mount("none", Path("/"), None, _REC | _PRIVATE)
    _mount("tmpfs", root, "tmpfs", _NOSUID | _NODEV, "mode=0755,size=16m")
    (root / "dev").mkdir()
    for name, options in (("dev/shm", _SHARED_MEMORY), ("tmp", "mode=1777,size=64m")):
        (root / name).mkdir()
        _mount("tmpfs", root / name, "tmpfs", _NOSUID | _NODEV, options)
    for text in spec["readable"]:
        _bind(Path(text), root, writable=False)
    for text in spec["writable"]:
        _bind(Path(text), root, writable=True)
    for name in _DEVICES:
        (root / "dev" / name).touch()
        _mount(f"/dev/{name}", root / "dev" / name, None, _BIND)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc/passwd").write_text(f"scratch:x:{spec['uid']}:{spec['gid']}::/:/bin/false\n")
    (root / "etc/group").write_text(f"scratch:x:{spec['gid']}:\n")
    (root / "proc").mkdir()
    with contextlib.suppress(_Refused):  # a container may not mount it; PostgreSQL needs none
        _mount("proc", root / "proc", "proc", _NOSUID | _NODEV | _NOEXEC)
    for text in spec["hidden"]:
        _hide(root / Path(text).relative_to("/"), root)
    _mount("none", root, None, _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)


def _hide(path: Path, root: Path) -> None:
    """Cover what lies in something that is shown and is nobody's business."""
    if path.is_dir():
        _mount("tmpfs", path, "tmpfs", _RDONLY | _NOSUID | _NODEV, "mode=0700,size=4k")
    elif path.exists():
        _mount(str(root / "dev/null"), path, None, _BIND)


def _enter_root(root: Path) -> None:
    os.chdir(root)
    _call("pivot_root", _libc.pivot_root(b".", b"."))
    _call("umount", _libc.umount2(b".", _MNT_DETACH))
    os.chdir("/")


def _raise_loopback() -> None:
    """PostgreSQL before 15 sends its statistics to itself that way."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        request = struct.pack("16sh14x", b"lo", 0)
        _, flags = struct.unpack("16sh14x", fcntl.ioctl(one, _SIOCGIFFLAGS, request))
        fcntl.ioctl(one, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | _IFF_UP))


def _limit() -> None:
    """Be the first to give way: to others' work, and when memory runs out."""
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NPROC, _PROCESSES),
        (resource.RLIMIT_NOFILE, _FILES),
    ):
        _, hard = resource.getrlimit(what)
        ceiling = most if hard == resource.RLIM_INFINITY else min(most, hard)
        with contextlib.suppress(OSError):  # a system call filter: whoever set it, set limits too
            resource.setrlimit(what, (ceiling, ceiling))
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_bytes(_DIES_FIRST)


def _become_program(spec: dict[str, Any], argv: list[str], alive: int, dies_by: int) -> NoReturn:
    _become(spec["uid"], spec["gid"])
    _prctl(_NO_NEW_PRIVS, 1)
    _prctl(_PDEATHSIG, dies_by)  # after the change of user, which takes it back
    if select.select([alive], [], [], 0)[0]:  # whoever was to outlive us has died meanwhile
        os._exit(FAILED)
    os.chdir(spec["writable"][0])
    os.umask(0o077)
    os.execv(argv[0], argv)  # noqa: S606 - it takes our place


def _shut_in(spec: dict[str, Any], argv: list[str], alive: int) -> NoReturn:
    root = Path(spec["root"])
    _build_root(spec, root)
    _raise_loopback()
    _enter_root(root)
    _become_program(spec, argv, alive, signal.SIGKILL)


def _die_with(parent: int, by: int) -> None:
    _prctl(_PDEATHSIG, by)
    if os.getppid() != parent:  # it has died already
        os._exit(FAILED)


def _wait_for(child: int) -> int:
    """Pass signals on, and end as the child ends."""
    for number in (signal.SIGQUIT, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def main(text: str, argv: list[str]) -> int:
    """Run `argv` as the spec says; give its exit status."""
    spec: dict[str, Any] = json.loads(text)
    try:
        os.umask(0o022)  # what is built here is for another user to see
        _limit()
        alive, held = os.pipe()
        if not spec["isolated"]:
            _die_with(spec["parent"], signal.SIGQUIT)
            _become_program(spec, argv, alive, signal.SIGQUIT)
        _enter_namespaces(spec["uid"], spec["gid"])
        _die_with(spec["parent"], signal.SIGKILL)  # a change of user takes it back
        child = os.fork()
        if child == 0:
            os.close(held)
            _shut_in(spec, argv, alive)
        return _wait_for(child)
    except OSError as error:
        print(f"cage: {error.strerror or error}", file=sys.stderr, flush=True)  # noqa: T201 - a program of its own
        os._exit(FAILED)  # also the child's end: nothing of the parent's is to run in it


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
