"""What the fault tests share: databases worth dumping, and the look at what a failed run left behind."""

from __future__ import annotations

import os
import time
from pathlib import Path

from holdfast.model.run import Run
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.stores.local_files import TEMPORARY
from support.postgres import execute, query
from support.world import World

BYTES = 6_000_000


def fill(database: Conninfo, size: int = BYTES) -> None:
    """Make a table `noise` of about so many bytes that compress badly, and a small one, `item`."""
    execute(
        database,
        "CREATE TABLE noise AS SELECT n / 31 AS n, string_agg(md5(random()::text), '') AS text"
        f" FROM generate_series(1, {size // 32}) n GROUP BY 1",
        "CREATE TABLE item AS SELECT 1 AS n",
    )


def programs(database: Conninfo) -> dict[int, str]:
    """Give the dump programs that run on a database, by their process numbers."""
    marks = (b"pg_dump", (database.database or "").encode())
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:  # it has just ended
            continue
        if all(mark in line for mark in marks) and int(path.parent.name) != os.getpid():
            found[int(path.parent.name)] = line.decode()
    return found


def sessions(cluster: Cluster) -> list[tuple[object, ...]]:
    """Give our sessions on the server, and the advisory locks."""
    return query(
        cluster.conninfo,
        "SELECT application_name, query FROM pg_stat_activity WHERE application_name LIKE 'holdfast %'"
        " UNION ALL SELECT locktype, mode FROM pg_locks WHERE locktype = 'advisory'",
    )


def assert_nothing_runs(cluster: Cluster, database: Conninfo) -> None:
    """No session, lock or dump program is there after a few seconds."""
    deadline = time.monotonic() + 5
    while (left := [*sessions(cluster), *programs(database).values()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert left == []


def assert_no_drafts(folder: Path) -> None:
    """No half-written file is below the folder."""
    assert [path for path in folder.rglob("*") if path.name.startswith(TEMPORARY)] == []


def assert_failed(world: World, code: str, status: str = "failed") -> Run:
    """The last run is recorded as failed for this reason, and nothing is left that looks like a backup."""
    run = world.services.ledger.runs("shop", "backup")[0]
    assert (run.status, run.error_code) == (status, code)
    assert world.services.ledger.unfinished() == []
    assert run.backup_id not in {row.backup.id for row in world.services.ledger.backups()}
    for store in world.services.stores.values():
        assert [stored.key for stored in store.list() if (run.backup_id or "") in stored.key] == []
    return run
