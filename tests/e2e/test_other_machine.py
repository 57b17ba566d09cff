"""Restoring where no backup was ever taken: a config of a store and an identity, and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.home import Home, called
from support.postgres import query
from support.world import argv, environment


def _other(stocked: Home, folder: Path) -> Path:
    """Write the config of another machine."""
    keys = (stocked.folder / "identity.txt").absolute()
    config = folder / "restore.toml"
    config.write_text(
        f'daemon.state_dir = "state"\nencryption.identity_file = "{keys}"\nstores.disk.url = "{stocked.store}"\n'
    )
    return config


def test_a_store_and_an_identity_restore(stocked: Home, second_cluster: Cluster, tmp_path: Path) -> None:
    config = _other(stocked, tmp_path)
    status = called("status", "-c", config, cwd=tmp_path)
    assert status.stdout.startswith("SAFE  shop\n"), status.stdout + status.stderr
    assert "whole" not in called("check", "-c", config, "-q", cwd=tmp_path).stdout
    url = second_cluster.conninfo.argv_dsn()
    wanted = ("-d", str(stocked.database.database), "--as", "from_elsewhere", "--to", url)
    done = called("restore", "latest", *wanted, "-c", config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    there = second_cluster.conninfo.with_database("from_elsewhere")
    assert query(there, "SELECT count(*) FROM items") == [(1000,)]


def test_where_there_is_no_target_nothing_can_be_backed_up(stocked: Home, tmp_path: Path) -> None:
    done = called("backup", "-c", _other(stocked, tmp_path), cwd=tmp_path)
    assert done.returncode == 10
    assert "no targets: there is nothing to back up" in done.stderr


def test_a_store_that_the_config_lacks_is_not_found(stocked: Home) -> None:
    done = stocked.run("verify", "--store", "disc", code=12)
    assert "no store named 'disc'" in done.stderr


@pytest.mark.parametrize("form", ["archive", "sql"])
@pytest.mark.extended
def test_a_reader_that_goes_away_is_no_fault_of_the_backup(stocked: Home, form: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            argv("export", "latest", "--format", form, "-c", stocked.config),
            env=environment(),
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (1, "holdfast: the reader of the output went away\n")
