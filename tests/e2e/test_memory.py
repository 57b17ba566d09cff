"""The command's memory does not grow with the database: peak resident set, as the kernel counts it (VmHWM)."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.home import Home
from support.moto_server import ACCESS_KEY, BUCKET, SECRET_KEY, moto_server
from support.postgres import execute
from support.world import argv, environment, write_config

LIMIT = 150 * 1024  # kB
ROW = 960  # bytes of text in a row: below what PostgreSQL would compress by itself


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with moto_server() as url:
        yield url


def fill(database: Conninfo, megabytes: int) -> None:
    execute(
        database,
        "CREATE UNLOGGED TABLE big AS SELECT g, repeat(md5(g::text), 30) AS t"
        f" FROM generate_series(1, {megabytes * 1024 * 1024 // ROW}) AS g",
    )


def home_with(stores: str, cluster: Cluster, database: Conninfo, bucket: str, folder: Path) -> Home:
    cloud = f"""
        url = "s3://{BUCKET}/memory"
        endpoint_url = "{bucket}"
        region = "us-east-1"
        path_style = true
        access_key_id = "{ACCESS_KEY}"
        secret_access_key = "{SECRET_KEY}"
    """
    config = write_config(
        folder,
        cluster.conninfo.argv_dsn(),
        stores={"disk": 'url = "store"', "cloud": cloud},
        # Uncompressed: what is stored is as large as what is dumped.
        target=f'databases = ["{database.database}"]\nstores = {stores}\ncompression = "none"',
    )
    return Home(folder=folder, config=config, database=database)


def peak(home: Home, *args: str) -> int:
    """Run a command, which has to succeed; give its peak resident memory in kB."""
    command = argv(*args, "--config", home.config)
    highest = 0
    with subprocess.Popen(
        command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None:
            status = Path(f"/proc/{process.pid}/status").read_text()
            if found := re.search(r"VmHWM:\s+(\d+) kB", status):
                highest = max(highest, int(found[1]))
            time.sleep(0.01)
        assert process.stderr is not None
        said = process.stderr.read()
    assert process.returncode == 0, said
    assert highest > 20 * 1024, "it was measured"
    return highest


@pytest.mark.extended
def test_a_backup_to_s3_and_its_copy_to_a_disk_stay_small(
    cluster: Cluster, database: Conninfo, bucket: str, tmp_path: Path
) -> None:
    fill(database, 60)
    home = home_with('["cloud", "disk"]', cluster, database, bucket, tmp_path)
    assert peak(home, "backup") < LIMIT
    (dump,) = home.store.glob("shop/*/db_*.dump.age")
    assert dump.stat().st_size > 55 * 1024**2


@pytest.mark.fault("memory")
@pytest.mark.extended
@pytest.mark.parametrize("store", ["disk", "cloud"])
def test_no_command_grows_with_a_large_database(
    store: str, cluster: Cluster, second_cluster: Cluster, database: Conninfo, bucket: str, tmp_path: Path
) -> None:
    fill(database, 620)
    home = home_with(f'["{store}"]', cluster, database, bucket, tmp_path)
    into = ("--to", second_cluster.conninfo.argv_dsn(), "--no-roles")
    found = {
        "backup": peak(home, "backup"),
        "verify": peak(home, "verify"),
        "restore": peak(home, "restore", "latest", *into),
        "export": peak(home, "export", "latest", "-o", str(tmp_path / "out.dump")),
        "csv": peak(home, "export", "latest", "--format", "csv", "-o", str(tmp_path / "out")),
    }
    execute(second_cluster.conninfo, f'DROP DATABASE "{database.database}" WITH (FORCE)')
    assert home.facts("list")[0]["size"] > 600 * 1024**2
    assert {name: kb for name, kb in found.items() if kb >= LIMIT} == {}
