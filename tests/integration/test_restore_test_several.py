"""Several databases in one restore test: each is tested, and none keeps the room of another."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.restore_test import run_one
from holdfast.methods import scratch_means
from holdfast.methods.destination import Destination
from holdfast.model.catalog import Database
from holdfast.model.errors import CouldNotTestError
from holdfast.model.testing import RestoreTesting
from holdfast.postgres.scratch import Cluster
from support.restoring import create, drop, take
from support.world import Recorder, world


class Counter(Recorder):
    """Counts the archives that are staged while databases are compared."""

    def __init__(self) -> None:
        super().__init__()
        self.staged: list[int] = []

    def doing(self, what: str) -> None:
        """See Reporter."""
        if what == "contents":
            names = [f"/proc/self/fd/{each}" for each in os.listdir("/proc/self/fd")]  # noqa: PTH208 - names
            links = [os.readlink(name) for name in names if os.path.lexists(name)]  # noqa: PTH115 - of what is gone
            self.staged.append(sum("/spool/" in link and link.endswith("(deleted)") for link in links))


@pytest.mark.extended
def test_an_archive_that_was_staged_in_vain_takes_no_room_from_the_next(
    cluster: Cluster, tmp_path: Path, open_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_means(_: Destination, found: Database, __: RestoreTesting) -> None:
        if found.name == "first":
            raise CouldNotTestError("extension x is not here")

    monkeypatch.setattr(scratch_means, "require_means", without_means)
    spool, counter = tmp_path / "spool", Counter()
    spool.mkdir()
    for name in ("first", "second"):
        create(cluster, name, "CREATE TABLE t AS SELECT 1 AS x")
    try:
        with world(tmp_path, cluster.conninfo.argv_dsn(), databases=("first", "second")) as made:
            services = replace(made.services, reporter=counter, spool_dir=spool)
            opened = take(made)
            with pytest.raises(CouldNotTestError, match="the rest came back as it was"):
                run_one(services, opened, RestoreTesting(jobs=1, scratch_dir=open_dir), made.stop)
    finally:
        for name in ("first", "second"):
            drop(cluster, name)
    assert counter.staged == [1]
