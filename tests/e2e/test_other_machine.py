"""Restoring where no backup was ever taken: a config of a store and an identity, and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from holdfast.streams import age_keys
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


def test_where_there_is_nothing_nothing_is_safe(tmp_path: Path) -> None:
    empty = {  # as a composition gives it whose own variable is not set
        "HOLDFAST_URL": "",
        "HOLDFAST_STORE": str(tmp_path / "store"),
        "HOLDFAST_RECIPIENT": age_keys.generate().recipient.text,
        "HOLDFAST_DAEMON__STATE_DIR": str(tmp_path / "state"),
    }
    done = called("status", cwd=tmp_path, env=empty)
    assert (done.returncode, "the config has no target" in done.stderr) == (4, True)
    assert "warn  targets: none" in called("check", cwd=tmp_path, env=empty).stdout


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
