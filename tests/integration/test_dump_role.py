"""The option `--role`: the role that pg_dump takes on decides what we may read, too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs.backup import backup
from holdfast.jobs.checks.check import check
from holdfast.model.errors import SourceError
from holdfast.postgres.conninfo import Conninfo, keyword_string
from holdfast.postgres.scratch import Cluster
from support.postgres import execute
from support.world import World, world


@pytest.fixture
def clerk(cluster: Cluster, database: Conninfo, tmp_path: Path) -> Iterator[World]:
    """A host that logs in as a role without rights, which may become the one that has them."""
    execute(
        database,
        "DROP ROLE IF EXISTS clerk, keeper",
        "CREATE ROLE keeper",
        "CREATE ROLE clerk LOGIN NOINHERIT IN ROLE keeper",
        "CREATE SCHEMA vault AUTHORIZATION keeper CREATE TABLE gold (bar integer)",
        "ALTER TABLE vault.gold OWNER TO keeper",
        "INSERT INTO vault.gold VALUES (1), (2)",
    )
    url = keyword_string({**cluster.conninfo.params, "user": "clerk"})
    chosen = (str(database.database),)
    with world(tmp_path, url, databases=chosen, globals=False, options=("--role=keeper",)) as made:
        yield made
    execute(database, "DROP SCHEMA vault CASCADE", "DROP ROLE clerk, keeper")


def test_a_role_that_only_pg_dump_takes_on_can_be_counted_and_checked(clerk: World) -> None:
    taken = backup(clerk.services, clerk.target, clerk.stop)
    assert (taken.coverage.tables, taken.coverage.rows) == (1, 2)
    (found,) = [
        each for each in check(clerk.services, (clerk.target,), encrypted=True) if "database" in each.subject
    ]
    assert (found.level, found.message) == ("ok", "everything is readable")


def test_a_role_that_may_not_be_taken_on_is_said_before_the_dump(clerk: World) -> None:
    target = replace(clerk.target, options=("--role=postgres",))
    with pytest.raises(SourceError, match="taking on the role 'postgres' of pg_dump_options"):
        backup(clerk.services, target, clerk.stop)
