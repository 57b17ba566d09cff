"""Whoever is killed while two databases are swapped: either all of it has happened or nothing, and the live one is open."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs import lost
from holdfast.jobs.backup import backup
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.oracle import Oracle
from support.postgres import execute, query, running_cluster
from support.restoring import databases
from support.swapping import pair, stopped_session, swapping_process, wait_for, who_is, who_is_soon
from support.world import world

MARKER = "plaintext of the customers"

pytestmark = pytest.mark.extended

RENAMING = "application_name = 'holdfast swap' AND query LIKE 'ALTER DATABASE%' AND state = 'active'"


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with running_cluster(tcp=False) as running:
        yield running


@pytest.fixture
def both(server: Cluster) -> Iterator[tuple[Conninfo, Conninfo]]:
    with pair(server) as made:
        execute(made[0], f"CREATE TABLE told AS SELECT '{MARKER}' AS word")
        yield made


@pytest.fixture
def oracle(server: Cluster, both: tuple[Conninfo, Conninfo], tmp_path: Path) -> Iterator[Oracle]:
    """Ask for all six of a host that has a backup of the live database; its next start is what closes a run that died."""
    with world(tmp_path, server.conninfo.argv_dsn(), databases=("shop",)) as host:
        backup(host.services, host.target, host.stop)
        with Oracle(
            services=host.services,
            targets=(host.target,),
            folder=tmp_path,
            cluster=server,
            source=both[0],
            secrets={"a row": MARKER.encode()},
        ) as made:
            yield made


def assert_lost(oracle: Oracle) -> None:
    lost.settle(oracle.services, {each.name: each for each in oracle.targets})
    assert oracle.visible("restore", "lost") == "lost"


def assert_as_before(server: Cluster) -> None:
    assert who_is_soon(server, "shop") == "live"
    assert who_is_soon(server, "new") == "other"
    assert databases(server) == {"postgres", "shop", "new"}
    assert (
        query(server.conninfo, "SELECT FROM pg_database WHERE NOT datallowconn AND datname <> 'template0'")
        == []
    )


@pytest.mark.fault("kill.restore")
def test_a_kill_before_the_swap_changes_nothing(server: Cluster, oracle: Oracle, tmp_path: Path) -> None:
    with swapping_process(server, tmp_path, "swapping") as process:
        assert process.wait(timeout=30) == -9
    assert_as_before(server)
    assert_lost(oracle)


@pytest.mark.fault("kill.restore")
@pytest.mark.parametrize("hung", [0, 1], ids=["while sessions are ended", "between the two renames"])
def test_a_kill_in_the_midst_changes_nothing(
    server: Cluster, both: tuple[Conninfo, Conninfo], oracle: Oracle, tmp_path: Path, hung: int
) -> None:
    with stopped_session(both[hung]), swapping_process(server, tmp_path) as process:
        wait_for(server, RENAMING)
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=30) == -9
        # The server notices by itself, and lets new connections in, whether or not the hung session ever ends.
        assert who_is_soon(server, "shop", 8) == "live"
    assert_as_before(server)
    assert_lost(oracle)


@pytest.mark.fault("kill.restore")
def test_a_kill_after_the_swap_leaves_it_done_and_the_old_one_there(
    server: Cluster, oracle: Oracle, tmp_path: Path
) -> None:
    with swapping_process(server, tmp_path, "swapped") as process:
        assert process.wait(timeout=30) == -9
    [kept] = databases(server) - {"postgres", "shop"}
    assert kept.startswith("shop_before_")
    assert (who_is(server, "shop"), who_is(server, kept)) == ("other", "live")
    assert_lost(oracle)
    # Its owner wants it back: what the backup holds is the live one again, and no third database was made.
    execute(server.conninfo, "ALTER DATABASE shop RENAME TO new", f'ALTER DATABASE "{kept}" RENAME TO shop')


@pytest.mark.fault("server.backend")
def test_a_server_session_that_dies_in_the_midst_changes_nothing_and_fails_the_swap(
    server: Cluster, both: tuple[Conninfo, Conninfo], oracle: Oracle, tmp_path: Path
) -> None:
    with stopped_session(both[1]), swapping_process(server, tmp_path) as process:
        wait_for(server, RENAMING)
        query(server.conninfo, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {RENAMING}")
        assert process.wait(timeout=30) == 1
    assert_as_before(server)
    oracle.visible("restore", "failed")


def test_a_session_that_hangs_for_a_while_is_waited_for(
    server: Cluster, both: tuple[Conninfo, Conninfo], tmp_path: Path
) -> None:
    with stopped_session(both[0]) as pid, swapping_process(server, tmp_path) as process:
        wait_for(server, RENAMING)
        os.kill(pid, signal.SIGCONT)
        assert process.wait(timeout=30) == 0
    assert who_is(server, "shop") == "other"
