"""Takes backups and restores them in tests, and tells how two databases or servers differ."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from psycopg import sql

from holdfast.jobs.backup import backup
from holdfast.jobs.reading import Opened, open_backup
from holdfast.jobs.restore import Report, Wish, restore
from holdfast.jobs.writing import Place
from holdfast.postgres.compare import compare, digest, schema_text
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.postgres import execute, query, run_tool, toolset
from support.world import World

_SETTING = re.compile(r"ALTER (DATABASE|ROLE .+ IN DATABASE) .+ SET ")


def take(world: World, **target_keys: Any) -> Opened:  # noqa: ANN401 - what a Target takes
    """Back up the world's target and open the backup in its first store; `target_keys` change the target."""
    target = replace(world.target, **target_keys)
    taken = backup(world.services, target, world.stop)
    store = world.services.store(target.stores[0])
    return open_backup(Place(store=store, target=target.name, backup_id=taken.backup.id), world.keys)


def put_back(world: World, opened: Opened, into: Cluster, **wish: Any) -> Report:  # noqa: ANN401 - what a Wish takes
    """Restore a backup into a cluster."""
    return restore(world.services, opened, Wish(into=into.conninfo, **wish), world.stop)


def create(cluster: Cluster, name: str, *statements: str, options: str = "TEMPLATE template0") -> Conninfo:
    """Create a database and run statements in it; give the way to it."""
    text = sql.SQL("CREATE DATABASE {} " + options)
    execute(cluster.conninfo, text.format(sql.Identifier(name)))
    into = cluster.conninfo.with_database(name)
    execute(into, *statements)
    return into


def drop(cluster: Cluster, *names: str) -> None:
    """Drop databases, those that exist."""
    for name in names:
        execute(
            cluster.conninfo,
            sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)),
        )


def databases(cluster: Cluster) -> set[str]:
    """Give the names of a server's databases, its own templates aside."""
    rows = query(cluster.conninfo, "SELECT datname FROM pg_database WHERE datname !~ '^template[01]$'")
    return {str(name) for (name,) in rows}


def server_dir(cluster: Cluster, name: str) -> Path:
    """Make an empty directory that the server's user may use, for a tablespace."""
    path = cluster.data_dir.parent / name
    path.mkdir(mode=0o700)
    owner = cluster.data_dir.stat()
    os.chown(path, owner.st_uid, owner.st_gid)
    return path


def schema(cluster: Cluster, conninfo: Conninfo, *options: str) -> str:
    """Give the text of a database's schema; with `--create` its own properties too, the settings sorted."""
    text = run_tool(toolset(cluster), "pg_dump", conninfo, "--schema-only", *options)
    lines = schema_text(text.decode(errors="surrogateescape").splitlines()).splitlines()
    settings = [line for line in lines if _SETTING.match(line)]
    return "\n".join([*sorted(settings), *(line for line in lines if line not in settings)])


def globals_text(cluster: Cluster) -> str:
    """Give the text of a server's roles and tablespaces."""
    text = run_tool(toolset(cluster), "pg_dumpall", cluster.conninfo, "--globals-only", "--database=postgres")
    return schema_text(text.decode().splitlines())


def differences(
    a: tuple[Cluster, str], b: tuple[Cluster, str], *options: str, skip: tuple[str, ...] = ()
) -> list[str]:
    """Tell how two databases differ, in content and in schema. None means that they are identical."""
    digests, texts = [], []
    for cluster, name in (a, b):
        where = cluster.conninfo.with_database(name)
        with connect(where, application_name="test") as connection:
            digests.append(digest(connection, skip=skip))
        texts.append(schema(cluster, where, *options).splitlines())
    return [*compare(*digests), *difflib.unified_diff(texts[0], texts[1], lineterm="", n=0)]
