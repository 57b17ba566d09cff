"""Pairs of databases to swap, who gets in the way of it, and a process that dies on its way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import psycopg
from psycopg import sql

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.postgres import query
from support.restoring import create, databases, drop
from support.world import environment, world

ME = "CREATE TABLE me AS SELECT '{}'::text AS name"


@contextmanager
def pair(cluster: Cluster, live: str = "shop", other: str = "new") -> Iterator[tuple[Conninfo, Conninfo]]:
    """Make two databases, each with its first name in a table `me`; drop all databases but `postgres` at the end."""
    made = [create(cluster, name, ME.format(which)) for name, which in ((live, "live"), (other, "other"))]
    try:
        yield made[0], made[1]
    finally:
        drop(cluster, *(databases(cluster) - {"postgres"}))


def who_is(cluster: Cluster, name: str) -> str:
    """Tell which of the two a database is."""
    ((me,),) = query(cluster.conninfo.with_database(name), "SELECT name FROM me")
    return str(me)


def who_is_soon(cluster: Cluster, name: str, seconds: float = 15) -> str:
    """Tell which of the two a database is, as soon as it can be connected to."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(psycopg.OperationalError):
            return who_is(cluster, name)
        assert time.monotonic() < deadline, f"{name} cannot be connected to"
        time.sleep(0.1)


@contextmanager
def stopped_session(database: Conninfo) -> Iterator[int]:
    """Keep a session whose process does not react to anything, as if it hung in the kernel."""
    with closing(psycopg.connect(database.dsn(), application_name="hung", autocommit=True)) as connection:
        pid = connection.info.backend_pid
        os.kill(pid, signal.SIGSTOP)
        try:
            yield pid
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@contextmanager
def locked(cluster: Cluster, name: str) -> Iterator[int]:
    """Hold a lock on a database from outside of it."""
    with closing(psycopg.connect(cluster.conninfo.dsn(), application_name="careless")) as connection:
        connection.execute(sql.SQL("COMMENT ON DATABASE {} IS 'x'").format(sql.Identifier(name)))
        yield connection.info.backend_pid


def wait_for(cluster: Cluster, condition: str, seconds: float = 20) -> None:
    """Wait until a condition on pg_stat_activity holds for some session."""
    deadline = time.monotonic() + seconds
    while not query(cluster.conninfo, f"SELECT FROM pg_stat_activity WHERE {condition}"):
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


@contextmanager
def swapping_process(cluster: Cluster, folder: Path, point: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """Run a process that swaps `shop` for `new`, and kills itself at the stage `point`."""
    folder.mkdir(exist_ok=True)
    with subprocess.Popen(
        [sys.executable, "-m", "support.swapping", str(folder), cluster.conninfo.argv_dsn(), point],
        env=environment(PYTHONPATH=os.pathsep.join(filter(None, sys.path))),
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def dying_at(point: str) -> Callable[[str], None]:
    """Give a listener to stages that ends this process at one of them, as the kernel does when out of memory."""

    def stage(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    return stage


def main(folder: str, dsn: str, point: str) -> None:
    """Swap, and die at the point."""
    from holdfast.jobs.swap import swap  # noqa: PLC0415 - for the process alone
    from holdfast.postgres.conninfo import parse  # noqa: PLC0415 - for the process alone

    with world(Path(folder), dsn) as made:
        swap(made.staged(dying_at(point)), parse(dsn), "shop", "new", made.stop, target="shop")


if __name__ == "__main__":
    main(*sys.argv[1:])
