"""A hot standby of a test's cluster, that gives way to its primary at once."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from holdfast.postgres.conninfo import Conninfo, parse
from holdfast.postgres.scratch import Cluster
from support.postgres import execute


@contextmanager
def standby_of(primary: Cluster) -> Iterator[Conninfo]:
    """Run a hot standby that gives way to its primary at once."""
    owner, data = primary.data_dir.stat(), primary.data_dir.parent / "standby"
    hba = primary.data_dir / "pg_hba.conf"
    hba.write_text(hba.read_text() + "local replication all trust\n")
    execute(primary.conninfo, "SELECT pg_reload_conf()")
    as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if owner.st_uid else {}
    copy = ["pg_basebackup", "-D", str(data), "-R", "-c", "fast", "-d", primary.conninfo.argv_dsn()]
    subprocess.run([str(primary.bin_dir / copy[0]), *copy[1:]], check=True, cwd="/", **as_owner)  # type: ignore[call-overload]
    options = {"port": "5433", "hot_standby": "on", "max_standby_streaming_delay": "0"}
    settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    with (primary.data_dir.parent / "standby.log").open("wb") as log:
        process = subprocess.Popen(  # type: ignore[call-overload]
            [str(primary.bin_dir / "postgres"), "-D", str(data), *settings],
            cwd="/",
            stdout=log,
            stderr=log,
            **as_owner,
        )
    try:
        where = parse(_at_port(primary, "5433"))
        deadline = time.monotonic() + 20
        while True:
            try:
                psycopg.connect(where.dsn()).close()
                break
            except psycopg.OperationalError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield where
    finally:
        process.terminate()
        process.wait(20)


def _at_port(primary: Cluster, port: str) -> str:
    params = primary.conninfo.params
    return f"host='{params['host']}' port='{port}' user='{params['user']}' dbname='postgres'"
