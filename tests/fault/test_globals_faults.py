"""Globals that pg_dumpall did not print to their end are no globals, whatever its exit status says."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.backup import backup
from holdfast.model.errors import IntegrityError
from holdfast.postgres import tools
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.faults import assert_failed
from support.oracle import Oracle
from support.postgres import toolset
from support.world import World, world


@pytest.fixture
def home(tmp_path: Path, cluster: Cluster, database: Conninfo) -> Iterator[World]:
    """Give a host with a good backup."""
    with world(tmp_path, cluster.conninfo.argv_dsn(), databases=(str(database.database),)) as made:
        backup(made.services, made.target, made.stop)
        yield made


def pretend(folder: Path, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a pg_dumpall before the real one; `$REAL` is the real one."""
    real = toolset(cluster)
    fake = folder / "fake"
    fake.mkdir()
    for name in ("pg_dump", "pg_restore", "psql"):
        write(fake / name, f'exec {real.program(name)} "$@"')
    write(fake / "pg_dumpall", f"REAL={real.program('pg_dumpall')}\n{script}")
    found = tools.find_toolsets([fake])
    assert found[0].bin_dir == fake
    monkeypatch.setattr(tools, "find_toolsets", lambda: found)


def write(program: Path, script: str) -> None:
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


@pytest.mark.fault("child")
@pytest.mark.parametrize(
    "script",
    ["exit 0", pytest.param("echo CREATE ROLE x;", marks=pytest.mark.extended), '$REAL "$@" | head -c -60'],
)
def test_globals_that_are_not_whole_fail_the_run(
    home: World,
    cluster: Cluster,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
) -> None:
    with Oracle(services=home.services, targets=(home.target,), folder=tmp_path, cluster=cluster) as oracle:
        pretend(tmp_path, cluster, monkeypatch, script)
        with pytest.raises(IntegrityError, match="pg_dumpall ended normally, but"):
            backup(home.services, home.target, home.stop)
        monkeypatch.undo()
        assert_failed(home, "integrity")
        assert oracle.visible("backup", "failed") == "integrity"


def test_whole_globals_pass(
    home: World, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(tmp_path, cluster, monkeypatch, 'exec $REAL "$@"')
    assert backup(home.services, home.target, home.stop).backup.part("globals") is not None
