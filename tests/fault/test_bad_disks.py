"""A disk that answers with errors, under each directory that something is written to: said, survived, and nothing is lost."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.bad_disk import bad_disk
from support.faults import fill
from support.oracle import oracle_of
from support.postgres import new_database
from support.restoring import drop
from support.world import cli, write_config

pytestmark = pytest.mark.extended

NAMES = {errno.EIO: "EIO", errno.ENOSPC: "ENOSPC"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Which directory fails, in which operation and from which call on, and how the command ends."""

    job: str
    place: str
    operation: str
    code: int
    number: int = errno.EIO
    skip: int = 0

    def __str__(self) -> str:
        return f"{self.job}: {NAMES[self.number]} in the {self.place}, at {self.operation} {self.skip + 1}"


CASES = (
    Case(job="backup", place="store", operation="create", code=21),
    Case(job="backup", place="store", operation="write", code=21, skip=4),
    Case(job="backup", place="store", operation="write", code=21, number=errno.ENOSPC, skip=2),
    Case(job="backup", place="store", operation="fsync", code=21),
    Case(job="backup", place="store", operation="read", code=21),
    Case(job="backup", place="state", operation="write", code=30),
    Case(job="backup", place="state", operation="write", code=30, skip=12),
    Case(job="backup", place="state", operation="fsync", code=30),
    Case(job="verify", place="store", operation="read", code=21),
    Case(job="restore", place="store", operation="read", code=21),
    Case(job="restore", place="spool", operation="write", code=10),
    Case(job="restore", place="spool", operation="write", code=10, number=errno.ENOSPC, skip=1),
)


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database, 2_000_000)
        yield database


@pytest.mark.fault("eio", "full.state", "full.spool")
@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_disk_that_fails_is_said_and_costs_nothing_good(
    cluster: Cluster, shop: Conninfo, tmp_path: Path, case: Case
) -> None:
    keys = f'databases = ["{shop.database}"]\nrestore_test.schedule = ""\nrestore_test.scratch_dir = "{tmp_path}/scratch"'
    config = write_config(tmp_path, shop.argv_dsn(), target=keys)
    config.write_text(config.read_text().replace("[daemon]\n", '[daemon]\nspool_dir = "spool"\n'))
    command = {
        "restore": ("restore", "latest", "--database", str(shop.database), "--as", "again", "--jobs", "2"),
    }.get(case.job, (case.job,))
    if case.place != "spool":
        (tmp_path / "spool").mkdir()
    with bad_disk(tmp_path, case.place) as disk:
        assert cli("backup", "--config", config).returncode == 0
        with oracle_of(config) as oracle:
            before = oracle.before
        disk.fail(case.operation, case.number, skip=case.skip)
        done = cli(*command, "--config", config)
        disk.heal()
        assert done.returncode == case.code, done.stderr
        assert "Traceback" not in done.stderr
        drop(cluster, "again")
        again = cli(*command, "--config", config)
        assert again.returncode == 0, again.stderr
        drop(cluster, "again")
        with oracle_of(
            config, before=before, cluster=cluster, source=shop, texts=[done.stdout, done.stderr]
        ) as oracle:
            oracle.told(done)
            oracle.holds()
        assert list((tmp_path / "spool").iterdir()) == []
