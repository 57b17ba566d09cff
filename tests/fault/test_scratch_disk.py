"""A disk that answers with errors under the scratch cluster of a restore test: said, nothing is proven, nothing stays."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.find import open_best
from holdfast.jobs.restore_test import run_one
from holdfast.model.errors import CouldNotTestError
from holdfast.model.testing import RestoreTesting
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.bad_disk import bad_disk
from support.faults import fill
from support.leftovers import gone, processes
from support.oracle import Oracle
from support.postgres import execute, new_database
from support.runs import at
from support.world import World, world

pytestmark = pytest.mark.extended

MARKER = "plaintext of the customers"
# So long that the server's socket lies elsewhere, as it always does then: that disk can hold none.
FAR = "-".join(["a-directory-with-a-long-name"] * 4)
# The step of the restore test from which on an operation fails.
CASES = (
    ("begun", "mkdir"),
    ("begun", "write"),
    ("begun", "create"),
    ("cluster", "write"),
    ("cluster", "create"),
    ("staged", "write"),
    ("staged", "read"),
)


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database, 2_000_000)
        execute(database, f"CREATE TABLE told AS SELECT '{MARKER}' AS word")
        yield database


@pytest.fixture
def host(shop: Conninfo, tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, shop.argv_dsn(), databases=(str(shop.database),)) as made:
        backup(made.services, made.target, made.stop)
        yield made


@pytest.mark.fault("eio.scratch")
@pytest.mark.parametrize(("stage", "operation"), CASES)
def test_a_disk_that_fails_under_a_scratch_cluster_proves_nothing_and_is_named(
    cluster: Cluster, shop: Conninfo, host: World, tmp_path: Path, open_dir: Path, stage: str, operation: str
) -> None:
    oracle = Oracle(
        services=host.services,
        targets=(host.target,),
        folder=tmp_path,
        cluster=cluster,
        source=shop,
        secrets={"a row": MARKER.encode()},
    )
    [row] = host.services.ledger.backups()
    opened = open_best(host.services, row)
    with bad_disk(open_dir, FAR) as disk, oracle:
        plan = RestoreTesting(jobs=1, scratch_dir=disk.path)
        failing = host.staged(at(stage, lambda: disk.fail(operation, errno.EIO)))
        with pytest.raises(CouldNotTestError) as caught:
            run_one(failing, opened, plan, host.stop)
        disk.heal()
        assert "Input/output error" in caught.value.message
        assert "disk" in str(caught.value.hint) or "directory" in str(caught.value.hint)
        oracle.told(caught.value)
        assert oracle.visible("restore_test", "failed") == "could_not_test"
        assert not list((tmp_path / "store-a").rglob("proof-*"))
        assert gone(lambda: [line for line in processes(disk.path) if "postgres" in line]) == []
        assert list(disk.behind.iterdir()) == []
        run_one(host.services, opened, plan, host.stop)
        oracle.visible("restore_test", "succeeded")
        known = host.services.ledger.backup(row.backup.id)
        assert known is not None
        assert known.proof == "proven"
        assert list(disk.behind.iterdir()) == []
