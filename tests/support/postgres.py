"""Real PostgreSQL for tests: clusters, databases, dumps. A test that needs one fails without it; it never skips."""

from __future__ import annotations

import contextlib
import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql

from holdfast.postgres import tools
from holdfast.postgres.conninfo import Conninfo, child
from holdfast.postgres.scratch import Cluster, scratch_cluster


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
    with scratch_cluster(settings=usual, tcp=tcp, bin_dir=bin_dir, parent=parent) as cluster:
        yield cluster


@contextlib.contextmanager
def new_database(cluster: Cluster, name: str | None = None) -> Iterator[Conninfo]:
    """Create an empty database; drop it at the end, whoever is still connected."""
    chosen = name or f"db_{secrets.token_hex(4)}"
    execute(cluster.conninfo, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(chosen)))
    try:
        yield cluster.conninfo.with_database(chosen)
    finally:
        execute(cluster.conninfo, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(chosen)))


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


def clean_environment() -> dict[str, str]:
    """Give this process's environment without PostgreSQL's variables."""
    return {key: value for key, value in os.environ.items() if not key.startswith("PG")}
