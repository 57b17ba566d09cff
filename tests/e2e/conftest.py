"""Homes for the command: a read-only one with two backups, and fresh ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.home import Home
from support.postgres import execute, new_database
from support.world import write_config

ROWS = "CREATE TABLE items AS SELECT g AS id, md5(g::text) AS word FROM generate_series(1, 1000) AS g"


@contextmanager
def a_home(cluster: Cluster, folder: Path) -> Iterator[Home]:
    with new_database(cluster) as database:
        execute(database, ROWS, "ALTER TABLE items ADD PRIMARY KEY (id)")
        config = write_config(
            folder, cluster.conninfo.argv_dsn(), target=f'databases = ["{database.database}"]'
        )
        yield Home(folder=folder, config=config, database=database)


@pytest.fixture
def home(cluster: Cluster, tmp_path: Path) -> Iterator[Home]:
    """A home without backups."""
    with a_home(cluster, tmp_path) as made:
        yield made


@pytest.fixture(scope="module")
def stocked(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with two backups, for tests that only look at it."""
    with a_home(cluster, tmp_path_factory.mktemp("stocked")) as made:
        made.run("backup", "--quiet")
        made.run("backup", "--quiet", "--label", "second")
        yield made
