"""Throwaway PostgreSQL clusters: started for one `with`, reachable by us alone, stopped and removed at its end."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from holdfast.model.errors import SourceError
from holdfast.postgres import scratch_home, tools
from holdfast.postgres.conninfo import Conninfo, base_environment
from holdfast.postgres.scratch_home import Account
from holdfast.system import proc
from holdfast.system.stop import Stop

SUPERUSER = "postgres"
PORT = 5432  # of the socket's name only
_ACCOUNTS = ("postgres", "nobody")
_START_SECONDS = 60
_LOG_TAIL = 2000
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
    account = scratch_home.account(_ACCOUNTS)
    with (
        scratch_home.home(parent, account) as home,
        scratch_home.socket_dir(home, account) as sockets,
    ):
        programs = scratch_home.usable(_programs(bin_dir), home, account)
        data = home / "data"
        initdb(programs, data, account, stop)
        port = _free_port() if tcp else None
        network = {"listen_addresses": "127.0.0.1", "port": str(port)} if port else {}
        configure(data, sockets, {**_SETTINGS, **network, **(settings or {})})
        command = command_of(account, data, str(programs / "postgres"), "-D", str(data))
        with proc.server(command, home / "log", stop) as running:
            local = superuser(str(sockets), port or PORT)
            version = wait_until_ready(local, running, home / "log", stop)
            yield Cluster(
                conninfo=local,
                tcp=_with_password(local) if port else None,
                bin_dir=programs,
                data_dir=data,
                log_path=home / "log",
                version_num=version,
                pid=running.pid,
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


def command_of(account: Account, data: Path, *argv: str) -> proc.Command:
    """Give the command that runs a server program as the account."""
    user, group = account.switch
    at = data.parent
    env = {**base_environment(), "HOME": str(at), "LC_ALL": "C"}
    return proc.Command(argv=argv, env=env, user=user, group=group, cwd=str(at))


def initdb(programs: Path, data: Path, account: Account, stop: Stop, *, name: str = SUPERUSER) -> None:
    """Make the data directory, in C.UTF-8 or, where the machine lacks it, in C. `name` is the first superuser's."""
    argv = [
        str(programs / "initdb"),
        "--no-sync",
        f"--username={name}",
        "--auth=trust",
        "--encoding=UTF8",
    ]
    for locale in ("C.UTF-8", "C"):
        command = command_of(account, data, *argv, f"--locale={locale}", f"--pgdata={data}")
        try:
            proc.output_of(command, stop, seconds=120)
        except proc.ProcessError as error:
            if locale == "C" or "locale" not in error.stderr:
                raise
            shutil.rmtree(data, ignore_errors=True)
        else:
            return


def configure(data: Path, sockets: Path, settings: Mapping[str, str]) -> None:
    """Let the server listen at a socket in `sockets` alone, unless the settings say otherwise. Raise SourceError."""
    every = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": f'"{sockets}"',
        "unix_socket_permissions": "0700",
        **settings,
    }
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'\n" for name, value in every.items()]
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


def wait_until_ready(conninfo: Conninfo, running: proc.Running, log: Path, stop: Stop) -> int:
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
    raise SourceError(f"the scratch cluster did not start: {refusal}\n{last_words(log, _LOG_TAIL).strip()}")


def last_words(log: Path, size: int) -> str:
    """Give the end of a server's log, or nothing where its disk does not give it."""
    try:
        return log.read_bytes()[-size:].decode("utf-8", "replace")
    except OSError:
        return ""


def superuser(host: str, port: int, password: str | None = None, *, name: str = SUPERUSER) -> Conninfo:
    """Give the way in for a cluster's first superuser."""
    params = {"host": host, "port": str(port), "user": name, "dbname": "postgres"}
    return Conninfo(params=params, password=password, isolated=True)


def _with_password(local: Conninfo) -> Conninfo:
    """Set a random password for the superuser, and give the way in over TCP."""
    password = secrets.token_urlsafe(16)
    with psycopg.connect(local.dsn(), autocommit=True) as connection:
        hashed = connection.pgconn.encrypt_password(password.encode(), SUPERUSER.encode(), b"scram-sha-256")
        statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
        connection.execute(statement.format(sql.Identifier(SUPERUSER), sql.Literal(hashed.decode())))
    return superuser("127.0.0.1", int(local.params["port"]), password)
