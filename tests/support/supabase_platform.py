"""A stand-in for a Supabase project: a real cluster with the platform's roles, schemas and rights.

`postgres` is no superuser there; `supabase_admin` is. What the platform's own extension (supautils) lets `postgres` do
beyond its rights, such as making policies on the platform's tables, it cannot do here.
"""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from holdfast.postgres import scratch, scratch_home, tools
from holdfast.postgres.conninfo import Conninfo
from holdfast.system import proc
from holdfast.system.stop import Stop

ADMIN = "supabase_admin"
PASSWORD = "stand-in"
REF = "abcdefghijklmnopqrst"
_FOLDER = Path(__file__).parent / "supabase"
_SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "logical",
    "max_wal_senders": "5",
    "listen_addresses": "127.0.0.1",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """A running stand-in. `admin` is its superuser's way in, `owner` that of `postgres`, over TCP with a password."""

    admin: Conninfo
    owner: Conninfo
    port: int
    bin_dir: Path
    version_num: int

    @property
    def url(self) -> str:
        """The URL of `postgres`, with its password."""
        return f"postgresql://postgres:{PASSWORD}@127.0.0.1:{self.port}/postgres"


@contextmanager
def supabase_platform(*, project: bool = False, bin_dir: Path | None = None) -> Iterator[Platform]:
    """Run one; with `project` somebody has built a shop on it."""
    programs = bin_dir or tools.find_servers()[0].bin_dir
    account = scratch_home.account(("postgres", "nobody"))
    stop = Stop()
    with (
        scratch_home.home(Path(tempfile.gettempdir()), account) as home,
        scratch_home.socket_dir(home, account) as sockets,
    ):
        usable = scratch_home.usable(programs, home, account)
        data, port = home / "data", _free_port()
        scratch.initdb(usable, data, account, stop, name=ADMIN)
        scratch.configure(data, sockets, {**_SETTINGS, "port": str(port)})
        command = scratch.command_of(account, data, str(usable / "postgres"), "-D", str(data))
        with proc.server(command, home / "log", stop) as running:
            admin = scratch.superuser(str(sockets), port, name=ADMIN)
            version = scratch.wait_until_ready(admin, running, home / "log", stop)
            owner = scratch.superuser("127.0.0.1", port, PASSWORD, name="postgres")
            run_script(admin, "platform.sql")
            with psycopg.connect(admin.dsn(), autocommit=True) as connection:
                connection.execute(sql.SQL("ALTER ROLE postgres PASSWORD {}").format(sql.Literal(PASSWORD)))
            if project:
                run_script(owner, "project.sql")
                run_script(admin, "privileged.sql")
            yield Platform(admin=admin, owner=owner, port=port, bin_dir=usable, version_num=version)


def run_script(where: Conninfo, name: str) -> None:
    """Run one of the SQL files beside this module."""
    with psycopg.connect(where.dsn(), autocommit=True) as connection:
        connection.execute((_FOLDER / name).read_bytes())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
