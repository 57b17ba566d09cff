"""A throwaway cluster for databases whose code nobody vouches for: shut in where that can be had, and quick.

What is restored runs functions, triggers and programs as the cluster's user. So that user is nobody's else, sees none
of this machine's files and processes, and reaches no network; only its socket leads out, and to us.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.model.errors import ConfigError, CouldNotTestError, Error, SourceError
from holdfast.postgres import scratch, scratch_home
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch_home import Account
from holdfast.system import cage, proc
from holdfast.system.cage import Cage
from holdfast.system.stop import Stop

ISOLATED = "isolated"
_ACCOUNTS = ("holdfast-scratch", "nobody", "postgres")
_SOCKET = f".s.PGSQL.{scratch.PORT}"
_SYSTEM = Path("/usr")
_MIB = 1024 * 1024
_STOPS_IN = 20.0
_LOG_TAIL = 4000
# Why a server ended; that it took no clients yet while it started says nothing.
_LAST_WORDS = re.compile("PANIC|FATAL(?!.*the database system is )")
_FULL = 32 * _MIB  # less than two files of WAL
_MORE_ROOM = "Free space there, or set restore_test.scratch_dir to a place that has more."
_FAILING = os.strerror(errno.EIO)
_ANOTHER_DISK = (
    "The disk fails: look into the kernel's log, and set restore_test.scratch_dir to a place on another disk."
)
# Nothing here survives a crash, and nothing has to; nothing starts by itself.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "jit": "off",
    "max_connections": "40",
    "max_worker_processes": "8",
    "max_logical_replication_workers": "0",
    "max_prepared_transactions": "0",
    "restore_command": "",
    "archive_mode": "off",
    "log_min_messages": "fatal",
    "log_statement": "none",
    "log_min_error_statement": "panic",
    "shared_preload_libraries": "",
    "session_preload_libraries": "",
    "local_preload_libraries": "",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Confinement:
    """`hidden` files and directories are not to be seen by restored code. When `required`, there is no test without."""

    required: bool = True
    hidden: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Confined:
    """A running cluster. `isolation` is `isolated`, or says why not; `conninfo` is its first superuser's."""

    conninfo: Conninfo
    isolation: str
    version_num: int
    bin_dir: Path
    folder: Path
    pid: int
    log_path: Path = field(repr=False)


@contextlib.contextmanager
def confined_cluster(
    *,
    bin_dir: Path,
    parent: Path | None,
    superuser: str,
    confinement: Confinement,
    settings: Mapping[str, str] | None = None,
    stop: Stop,
) -> Iterator[Confined]:
    """Run a new, empty cluster (UTF-8, C locale) for the length of the `with`; it dies with this process.

    `superuser` is the name of the first role. Raise CouldNotTestError where it cannot be shut in and that is required,
    ConfigError when `parent` cannot be used, SourceError, with the end of the log, when the server does not start.
    """
    account = scratch_home.account(_ACCOUNTS)
    with (
        scratch_home.home(parent, account, ours=True) as home,
        scratch_home.socket_dir(home / "run", account) as sockets,
    ):
        data = scratch_home.folder(home / "own", account) / "data"
        if sockets == home / "run":
            scratch_home.folder(sockets, account)
        programs = scratch_home.usable(bin_dir, home, account)
        scratch.initdb(programs, data, account, stop, name=superuser)
        scratch.configure(data, sockets, {**_sizes(), **_SETTINGS, **(settings or {})})
        confined, isolation = _shut_in(home, sockets, data, programs, account, confinement, stop)
        command = scratch.command_of(account, data, str(programs / "postgres"), "-D", str(data))
        with proc.server(_wrapped(command, confined), home / "log", stop, seconds=_STOPS_IN) as running:
            inside = scratch.superuser(str(sockets), scratch.PORT, name=superuser)
            version = scratch.wait_until_ready(inside, running, home / "log", stop)
            yield Confined(
                conninfo=_way_in(home, sockets, superuser),
                isolation=isolation,
                version_num=version,
                bin_dir=programs,
                folder=home,
                pid=running.pid,
                log_path=home / "log",
            )


def _sizes() -> dict[str, str]:
    """Settings by this machine's memory: a quarter at most, as production may run here too."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MIB
    shared = max(32, min(1024, memory // 16))
    return {
        "shared_buffers": f"{shared}MB",
        "maintenance_work_mem": f"{max(16, min(256, memory // 32))}MB",
        "work_mem": f"{max(4, min(64, memory // 128))}MB",
        "wal_buffers": "16MB",
    }


def _shut_in(
    home: Path,
    sockets: Path,
    data: Path,
    programs: Path,
    account: Account,
    confinement: Confinement,
    stop: Stop,
) -> tuple[Cage | None, str]:
    """Choose the cage: isolated where this machine lets us, else, if that is allowed, another user at most."""
    installation = programs.parent
    above = installation.parents
    shared = above[min(2, len(above) - 1)] / "share"  # beside lib/postgresql/N, as Debian has it
    root = home / "root"
    root.mkdir(mode=0o755)
    wanted = Cage(
        uid=account.uid,
        gid=account.gid,
        root=root,
        writable=(data.parent, sockets),
        readable=tuple(
            path
            for path in (installation, scratch_home.libraries_of(installation), shared)
            if path.is_dir() and not path.is_relative_to(_SYSTEM)
        ),
        hidden=confinement.hidden,
    )
    harmless = scratch.command_of(account, data, str(programs / "postgres"), "--version")
    reason = cage.refusal(harmless, wanted, stop)
    if reason is None:
        return wanted, ISOLATED
    if confinement.required:
        raise CouldNotTestError(
            f"this machine does not let the scratch server be isolated: {reason}",
            hint="Run the restore test as root, or where user namespaces are allowed (sysctl"
            " kernel.unprivileged_userns_clone or kernel.apparmor_restrict_unprivileged_userns; a container needs"
            ' CAP_SYS_ADMIN), on another host, or set restore_test.isolation = "preferred" if what is restored is trusted.',
        )
    loose = Cage(uid=account.uid, gid=account.gid, root=root, writable=wanted.writable, isolated=False)
    return (loose if cage.is_possible() else None), f"not isolated: {reason}"


def _wrapped(command: proc.Command, confined: Cage | None) -> proc.Command:
    return command if confined is None else cage.caged(command, confined)


def _way_in(home: Path, sockets: Path, superuser: str) -> Conninfo:
    """Lead to the socket by a name that the server cannot change: it could put a link to another server in its place."""
    private = home / "way"
    private.mkdir(mode=0o700)
    way = scratch.superuser(str(sockets), scratch.PORT, name=superuser)
    try:
        (private / _SOCKET).hardlink_to(sockets / _SOCKET)
    except OSError:  # another file system, where the path would be too long: the server's own it is
        private.rmdir()
    else:
        way = scratch.superuser(str(private), scratch.PORT, name=superuser)
    # A server that asks for a password gets none of the owner's.
    return Conninfo(params={**way.params, "passfile": str(private / "none")}, isolated=True)


def require_room(parent: Path, needed: int) -> None:
    """Raise CouldNotTestError, naming both numbers, unless `needed` bytes fit there."""
    try:
        free = shutil.disk_usage(parent).free
    except OSError as error:
        raise ConfigError(
            f"cannot look at {parent}: {error.strerror}", hint="Set restore_test.dir."
        ) from error
    if free < needed:
        raise CouldNotTestError(
            f"{parent} has {free:,} bytes free, and the restored databases need about {needed:,}",
            hint=_MORE_ROOM,
        )


@contextlib.contextmanager
def naming_the_disk() -> Iterator[None]:
    """Say what to do about the disk where one that fails is why no cluster could be made. Raise CouldNotTestError then."""
    try:
        yield
    except SourceError as error:
        if error.hint is not None or _FAILING not in error.message:
            raise
        raise CouldNotTestError(f"could not test: {error.message}", hint=_ANOTHER_DISK) from error


def explained(error: CouldNotTestError | SourceError, cluster: Confined) -> Error:
    """Say why the server failed or died, where it did: what its clients say is often only that it is gone."""
    trouble = _trouble(cluster.folder)
    if trouble is not None:  # then there is no log of it, either
        return CouldNotTestError(
            f"{cluster.folder.parent}: {os.strerror(trouble)}, while {error.message}",
            hint=_MORE_ROOM if trouble == errno.ENOSPC else _ANOTHER_DISK,
        )
    if _FAILING in error.message:
        return CouldNotTestError(error.message, hint=_ANOTHER_DISK)
    if not isinstance(error, CouldNotTestError):
        return error
    lines = scratch.last_words(cluster.log_path, _LOG_TAIL).splitlines()
    last = next((line for line in reversed(lines) if _LAST_WORDS.search(line)), None)
    if last is None or last in error.message:
        return error
    return CouldNotTestError(f"{error.message}; the server's last words: {last}", hint=error.hint)


def _trouble(folder: Path) -> int | None:
    """Give the error by which the disk refuses a small file, or None."""
    try:
        if shutil.disk_usage(folder).free < _FULL:
            return errno.ENOSPC
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
            file.flush()
            os.fsync(file.fileno())
    except OSError as refused:
        return refused.errno
    return None
