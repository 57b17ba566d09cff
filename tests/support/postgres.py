"""Real PostgreSQL for tests: clusters, databases, dumps. A test that needs one fails without it; it never skips.

What some builds lack (ICU, most extensions) is another matter: `needs_icu` and `needs_extension` skip there.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from psycopg import sql

from holdfast.postgres import tools
from holdfast.postgres.conninfo import Conninfo, child
from holdfast.postgres.dropping import drop_database
from holdfast.postgres.scratch import Cluster, scratch_cluster
from holdfast.postgres.server import connect
from support import cluster_copies


@contextlib.contextmanager
def running_cluster(
    *,
    settings: Mapping[str, str] | None = None,
    tcp: bool = True,
    bin_dir: Path | None = None,
    parent: Path | None = None,
) -> Iterator[Cluster]:
    """Run a throwaway cluster whose dumps and publications behave as on a normal server."""
    usual = {
        "wal_level": "logical",
        "max_wal_senders": "5",
        "max_prepared_transactions": "5",
        **(settings or {}),
    }
    with contextlib.ExitStack() as stack:
        with cluster_copies.copied():
            cluster = stack.enter_context(
                scratch_cluster(settings=usual, tcp=tcp, bin_dir=bin_dir, parent=parent)
            )
        yield cluster


@contextlib.contextmanager
def new_database(cluster: Cluster, name: str | None = None) -> Iterator[Conninfo]:
    """Create an empty database; drop it at the end, whoever is still connected and whatever it subscribes to."""
    chosen = name or f"db_{secrets.token_hex(4)}"
    execute(cluster.conninfo, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(chosen)))
    try:
        yield cluster.conninfo.with_database(chosen)
    finally:
        with connect(cluster.conninfo, application_name="test") as conn:
            drop_database(conn, cluster.conninfo, chosen)


def execute(conninfo: Conninfo, *statements: str | sql.Composed) -> None:
    """Run statements, each on its own, in autocommit."""
    with psycopg.connect(conninfo.dsn(), autocommit=True) as connection:
        for statement in statements:
            text = sql.SQL(statement) if isinstance(statement, str) else statement
            connection.execute(text)


def query(conninfo: Conninfo, statement: str) -> list[tuple[object, ...]]:
    """Give the rows of a query."""
    with psycopg.connect(conninfo.dsn(), autocommit=True) as connection:
        return list(connection.execute(sql.SQL(statement)))


def toolset(cluster: Cluster) -> tools.Toolset:
    """Give the client programs that fit the cluster."""
    return tools.choose(tools.find_toolsets([cluster.bin_dir]), cluster.version_num)


def run_tool(
    clients: tools.Toolset, program: str, conninfo: Conninfo, *arguments: str, stdin: bytes = b""
) -> bytes:
    """Run a client program against a database, as Holdfast would; give what it prints. Fail with its stderr."""
    argv = [clients.program(program), f"--dbname={conninfo.argv_dsn()}", *arguments]
    with child(conninfo, application_name="holdfast-test") as given:
        done = subprocess.run(
            argv, env=dict(given.env), pass_fds=given.pass_fds, input=stdin, capture_output=True, check=False
        )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


def has_icu(cluster: Cluster) -> bool:
    """Tell whether this build of PostgreSQL knows the locales of ICU."""
    with psycopg.connect(cluster.conninfo.dsn()) as connection:
        try:
            connection.execute("CREATE COLLATION of_icu (provider = icu, locale = 'de')")
        except psycopg.errors.FeatureNotSupported:
            return False
        finally:
            connection.rollback()
    return True


def needs_icu(cluster: Cluster) -> None:
    """Skip the test where this build of PostgreSQL was made without ICU."""
    if not has_icu(cluster):
        _lacks(cluster, "ICU")


def needs_extension(cluster: Cluster, *names: str) -> str:
    """Give the first of these extensions that this build of PostgreSQL brings; skip the test where it brings none."""
    brought = {name for (name,) in query(cluster.conninfo, "SELECT name FROM pg_available_extensions")}
    found = next((name for name in names if name in brought), None)
    return found or _lacks(cluster, f"the extension {' or '.join(names)}")


def needs_own_libraries(cluster: Cluster) -> None:
    """Skip the test where the libraries lie outside of the server's own directory, as a Python package has them."""
    if any(cluster.bin_dir.parents[2].glob("*.libs")):
        _lacks(cluster, "its libraries in its own directory")


def _lacks(cluster: Cluster, what: str) -> NoReturn:
    """Skip, but fail in CI when a PostgreSQL from packages is there: it has, or should have, what the test needs."""
    reason = f"this build of PostgreSQL ({cluster.bin_dir}) lacks {what}"
    packaged = [found.bin_dir for found in tools.find_servers() if "pginstall" not in str(found.bin_dir)]
    if os.environ.get("CI") and packaged:
        pytest.fail(f"{reason}, and in CI no test is skipped for that: {packaged[0]} should have it")
    pytest.skip(reason)


def clean_environment() -> dict[str, str]:
    """Give this process's environment without PostgreSQL's variables."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}
