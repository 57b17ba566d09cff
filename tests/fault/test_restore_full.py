"""A disk that is too small, of the server or of the spool, ends a restore with both its name and what to do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.faults import fill
from support.home import Home
from support.leftovers import gone, processes
from support.oracle import asked_of
from support.postgres import execute, new_database
from support.restoring import databases
from support.runs import home
from support.world import argv, environment

ROOT = Path(__file__).parents[2]
MARKER = "plaintext of the customers"
PLAIN = {"a row": MARKER.encode()}
# A server whose disk is the small one, for as long as the command after the first word runs against it. It has its write-ahead
# log at the start: else the disk may be full just when that needs room, and then the server ends.
ON_A_SMALL_DISK = """
import subprocess, sys
from pathlib import Path
from support.postgres import execute, query, running_cluster
with running_cluster(parent=Path(sys.argv[1]), settings={"min_wal_size": "64MB", "max_wal_size": "64MB"}) as cluster:
    for _ in range(4):
        query(cluster.conninfo, "SELECT txid_current()")
        query(cluster.conninfo, "SELECT pg_switch_wal()")
    execute(cluster.conninfo, "CHECKPOINT")
    done = subprocess.run([*sys.argv[2:], "--to", cluster.conninfo.argv_dsn()])
    print(query(cluster.conninfo, "SELECT datname::text FROM pg_database WHERE datname = 'never'"))
    sys.exit(done.returncode)
"""


@pytest.fixture
def full(cluster: Cluster, tmp_path: Path) -> Iterator[Home]:
    """Give a home with a backup of some 30 MB."""
    with new_database(cluster) as database:
        fill(database, 30_000_000)
        execute(database, f"CREATE TABLE told AS SELECT '{MARKER}' AS word")
        made = home(tmp_path, database)
        made.run("backup", "--quiet")
        yield made


def on_a_small_disk(folder: Path, size: str, *command: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a command where `folder` is a disk of that size, in a mount namespace of its own."""
    user = [] if os.geteuid() == 0 else ["-r"]
    unshare = ["unshare", *user, "-m", "sh", "-ec"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    script = f"mount -t tmpfs -o size={size},mode=777 none '{folder}'; exec \"$@\""
    return subprocess.run(
        [*unshare, script, "sh", *map(str, command)],
        env=environment(PYTHONPATH=f"{ROOT / 'src'}:{ROOT / 'tests'}"),
        capture_output=True,
        text=True,
        check=False,
    )


def wish(full: Home, *more: str) -> list[str]:
    return argv(
        "restore",
        "latest",
        "--database",
        str(full.database.database),
        "--as",
        "never",
        "--config",
        full.config,
        *more,
    )


@pytest.mark.fault("full.spool")
@pytest.mark.extended
def test_a_spool_that_is_too_small_is_told_with_both_numbers_before_anything_is_made(
    full: Home, cluster: Cluster, open_dir: Path
) -> None:
    command = wish(full, "--jobs", "2", "--set", f"daemon.spool_dir={open_dir}")
    with asked_of(full.config, cluster=cluster, source=full.database, secrets=PLAIN) as oracle:
        done = on_a_small_disk(open_dir, "2m", *command)
        assert done.returncode == 10, done.stderr
        assert f"{open_dir} has 2,097,152 bytes free, and the staged archive needs 3" in done.stderr
        assert "--jobs 1" in done.stderr
        assert "never" not in databases(cluster)
        oracle.told(done)
        assert oracle.visible("restore", "failed") == "config"


@pytest.mark.fault("full.spool")
@pytest.mark.extended
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_server_whose_disk_fills_up_keeps_nothing_of_the_restore(
    full: Home, cluster: Cluster, open_dir: Path, jobs: str
) -> None:
    command = [sys.executable, "-c", ON_A_SMALL_DISK, str(open_dir), *wish(full, "--jobs", jobs)]
    with asked_of(full.config, cluster=cluster, source=full.database, secrets=PLAIN) as oracle:
        done = on_a_small_disk(open_dir, "115m", *command)
        assert done.returncode == 20, done.stdout + done.stderr
        assert re.search("No space left on device|Check free disk space", done.stderr)
        assert "The new server's disk is full" in done.stderr
        assert done.stdout.endswith("[]\n")
        oracle.told(done)
        assert oracle.visible("restore", "failed") == "source"
        assert gone(lambda: processes(open_dir)) == []
