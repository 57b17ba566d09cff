"""Throwaway PostgreSQL clusters: started for one `with`, reachable by us alone, stopped and removed at its end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pwd
import secrets
import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from holdfast.model.errors import ConfigError, SourceError
from holdfast.postgres import tools
from holdfast.postgres.conninfo import Conninfo, base_environment
from holdfast.system import clock, proc
from holdfast.system.stop import Stop

SUPERUSER = "postgres"
_PREFIX = "holdfast-scratch-"
_SOCKET_PREFIX = "holdfast-socket-"
_PORT = 5432  # of the socket's name only
_SOCKET_PATH_BYTES = 103  # sun_path holds 104 on macOS and BSD, 108 on Linux, and ends with a zero
_START_SECONDS = 60
_LOG_TAIL = 2000
_UNLOCKED_SECONDS = 60  # far more than passes between making a directory and locking it
# Nothing here survives a crash, and nothing has to.
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "1GB",
}
_HBA = "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """A running throwaway cluster. `conninfo` is its superuser's, over a private socket; `tcp` with a password."""

    conninfo: Conninfo
    tcp: Conninfo | None
    bin_dir: Path
    data_dir: Path
    log_path: Path
    version_num: int
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """Whom the server runs as. `changed` is None when it is ourselves."""

    uid: int
    gid: int
    changed: bool


@contextlib.contextmanager
def scratch_cluster(
    *,
    bin_dir: Path | None = None,
    parent: Path | None = None,
    settings: Mapping[str, str] | None = None,
    tcp: bool = False,
    stop: Stop | None = None,
) -> Iterator[Cluster]:
    """Run a new, empty cluster (UTF-8, C locale) for the length of the `with`.

    `bin_dir` holds initdb and postgres (default: the first that `tools.find_servers` finds); `parent` is where its
    directory is made (default: the system's temporary directory); `settings` are added to postgresql.conf. With
    `tcp` it also listens on 127.0.0.1, with a password. PostgreSQL refuses to run as root: then it runs as
    `postgres`, or else `nobody`. Raise NoToolsError without server programs, ConfigError when `parent` cannot be
    used, SourceError, with the end of the log, when the server does not start.
    """
    stop = stop or Stop()
    account = _account()
    with _home(parent, account) as home, _socket_dir(home, account) as sockets:
        programs = _usable(_programs(bin_dir), home, account)
        _initdb(programs, home, account, stop)
        port = _free_port() if tcp else None
        _configure(home / "data", _all_settings(sockets, port, settings or {}))
        command = _command(account, home, str(programs / "postgres"), "-D", str(home / "data"))
        with proc.server(command, home / "log", stop) as running:
            local = _superuser(str(sockets), port or _PORT)
            version = _wait_until_ready(local, running, home / "log", stop)
            yield Cluster(
                conninfo=local,
                tcp=_with_password(local) if port else None,
                bin_dir=programs,
                data_dir=home / "data",
                log_path=home / "log",
                version_num=version,
                pid=running.pid,
            )


def _account() -> _Account:
    if os.geteuid() != 0:
        return _Account(uid=os.geteuid(), gid=os.getegid(), changed=False)
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(uid=entry.pw_uid, gid=entry.pw_gid, changed=True)
    raise ConfigError(
        "PostgreSQL cannot run as root, and there is neither a user postgres nor nobody",
        hint="Run Holdfast as an unprivileged user, or create the user postgres.",
    )


def _programs(bin_dir: Path | None) -> Path:
    if bin_dir is not None:
        return bin_dir
    found = tools.find_servers()
    if not found:
        raise tools.NoToolsError(
            "a scratch cluster needs the server programs of PostgreSQL (initdb, postgres), and none was found",
            hint="Install postgresql-NN (apt), postgresqlNN-server (dnf) or postgresql@NN (brew).",
        )
    return found[0].bin_dir


@contextlib.contextmanager
def _home(parent: Path | None, account: _Account) -> Iterator[Path]:
    """Make the cluster's own directory (0700, the server's), locked while we live, and remove it at the end."""
    base = parent or _default_parent(account)
    if not _reachable(base, account):
        raise ConfigError(
            f"the server's user (uid {account.uid}) cannot reach {base}",
            hint="Name a directory whose parents everybody may traverse, or run Holdfast as an unprivileged user.",
        )
    _sweep(base)
    with _temporary(base, account, _PREFIX) as home:
        handle = os.open(home, os.O_RDONLY)
        try:
            with contextlib.suppress(OSError):  # a file system without locks: nothing is ever swept there
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield home
        finally:
            os.close(handle)


@contextlib.contextmanager
def _temporary(base: Path, account: _Account, prefix: str) -> Iterator[Path]:
    try:
        path = Path(tempfile.mkdtemp(prefix=prefix, dir=base)).resolve()
    except OSError as error:
        raise ConfigError(
            f"cannot make a directory for a scratch cluster in {base}: {error.strerror}",
            hint="Name a directory that this user can write and that has room for the restored databases.",
        ) from error
    try:
        if account.changed:
            os.chown(path, account.uid, account.gid)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _default_parent(account: _Account) -> Path:
    places = [Path(tempfile.gettempdir()), Path("/tmp"), Path("/var/tmp")]  # noqa: S108 - mkdtemp makes it private
    return next((place for place in places if _reachable(place, account)), places[0])


def _reachable(path: Path, account: _Account) -> bool:
    """Whether the server's user may traverse the directory and all its parents."""
    if not account.changed:
        return True
    real = path.resolve()
    return all(_may_traverse(place, account) for place in (real, *real.parents))


def _may_traverse(path: Path, account: _Account) -> bool:
    try:
        facts = path.stat()
    except OSError:
        return False
    if facts.st_uid == account.uid:
        return bool(facts.st_mode & stat.S_IXUSR)
    if facts.st_gid == account.gid:
        return bool(facts.st_mode & stat.S_IXGRP)
    return bool(facts.st_mode & stat.S_IXOTH)


def _sweep(base: Path) -> None:
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
def _socket_dir(home: Path, account: _Account) -> Iterator[Path]:
    """Give the cluster's directory itself, or a short one where the socket's path would be too long."""
    if len(os.fsencode(home / ".s.PGSQL.65535")) <= _SOCKET_PATH_BYTES:
        yield home
        return
    with _temporary(Path("/tmp"), account, _SOCKET_PREFIX) as path:  # noqa: S108 - mkdtemp makes it private
        yield path


def _usable(bin_dir: Path, home: Path, account: _Account) -> Path:
    """Copy the installation to where the server's user can run it, if it lies out of its reach."""
    if _reachable(bin_dir, account):
        return bin_dir
    installation = bin_dir.resolve().parent
    copy = home / "copy" / installation.parent.name / installation.name
    shutil.copytree(installation, copy, symlinks=True)
    libraries = installation.parent.with_name(f"{installation.parent.name}.libs")
    if libraries.is_dir():  # a Python package keeps its programs' libraries beside its own folder
        shutil.copytree(libraries, copy.parent.with_name(libraries.name), symlinks=True)
    return copy / bin_dir.name


def _command(account: _Account, home: Path, *argv: str) -> proc.Command:
    user, group = (account.uid, account.gid) if account.changed else (None, None)
    env = {**base_environment(), "HOME": str(home), "LC_ALL": "C"}
    return proc.Command(argv=argv, env=env, user=user, group=group, cwd=str(home))


def _initdb(programs: Path, home: Path, account: _Account, stop: Stop) -> None:
    """Make the data directory, in C.UTF-8 or, where the machine lacks it, in C."""
    argv = [
        str(programs / "initdb"),
        "--no-sync",
        f"--username={SUPERUSER}",
        "--auth=trust",
        "--encoding=UTF8",
    ]
    for locale in ("C.UTF-8", "C"):
        command = _command(account, home, *argv, f"--locale={locale}", f"--pgdata={home / 'data'}")
        try:
            proc.output_of(command, stop, seconds=120)
        except proc.ProcessError as error:
            if locale == "C" or "locale" not in error.stderr:
                raise
            shutil.rmtree(home / "data", ignore_errors=True)
        else:
            return


def _all_settings(sockets: Path, port: int | None, settings: Mapping[str, str]) -> dict[str, str]:
    return {
        **_SETTINGS,
        "listen_addresses": "127.0.0.1" if port else "",
        "port": str(port or _PORT),
        "unix_socket_directories": f'"{sockets}"',
        "unix_socket_permissions": "0700",
        **settings,
    }


def _configure(data: Path, settings: Mapping[str, str]) -> None:
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in settings.items()]
    try:
        with (data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.writelines(lines)
        (data / "pg_hba.conf").write_text(_HBA)
    except OSError as error:
        raise SourceError(f"cannot set up the scratch cluster in {data}: {error.strerror}") from error


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(conninfo: Conninfo, running: proc.Running, log: Path, stop: Stop) -> int:
    """Connect until it works; give the server's version number."""
    refusal = "it ended"
    for _ in range(_START_SECONDS * 20):
        stop.check()
        if running.exited() is not None:
            break
        try:
            with psycopg.connect(conninfo.dsn()) as connection:
                return connection.info.server_version
        except psycopg.OperationalError as error:
            refusal = str(error)
        stop.wait(0.05)
    stop.check()
    tail = log.read_bytes()[-_LOG_TAIL:].decode("utf-8", "replace").strip()
    raise SourceError(f"the scratch cluster did not start: {refusal}\n{tail}")


def _superuser(host: str, port: int, password: str | None = None) -> Conninfo:
    params = {"host": host, "port": str(port), "user": SUPERUSER, "dbname": "postgres"}
    return Conninfo(params=params, password=password, isolated=True)


def _with_password(local: Conninfo) -> Conninfo:
    """Set a random password for the superuser, and give the way in over TCP."""
    password = secrets.token_urlsafe(16)
    with psycopg.connect(local.dsn(), autocommit=True) as connection:
        hashed = connection.pgconn.encrypt_password(password.encode(), SUPERUSER.encode(), b"scram-sha-256")
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(SUPERUSER), sql.Literal(hashed.decode())))
    return _superuser("127.0.0.1", int(local.params["port"]), password)
