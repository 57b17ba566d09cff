"""A restore test that is killed half-way leaves no server, no program and no proof, and the next one sweeps and passes."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.postgres import borrowed, scratch_home
from holdfast.postgres.conninfo import keyword_string
from holdfast.postgres.scratch import Cluster
from holdfast.postgres.server import connect
from support.faults import sessions
from support.leftovers import gone
from support.oracle import asked_of
from support.restoring import create, databases, drop
from support.working import until, working_in
from support.world import argv, cli, environment, write_config

# The restore takes some seconds where it builds the index anew; that of the oracle does not.
SLOW = """CREATE FUNCTION slow(i integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_setting('application_name') LIKE 'holdfast restore%' AND current_database() NOT LIKE 'oracle%' THEN PERFORM pg_sleep(6); END IF;
  RETURN i;
END$$"""

MARKER = "plaintext of the customers"
PLAIN = {"a row": MARKER.encode()}
TABLES = (
    f"CREATE TABLE told AS SELECT '{MARKER}' AS word",
    "CREATE TABLE t AS SELECT 1 AS x",
    SLOW,
    "CREATE INDEX ON t (slow(x))",
)

pytestmark = pytest.mark.extended


@pytest.fixture
def env(cluster: Cluster, tmp_path: Path, open_dir: Path) -> Iterator[dict[str, str]]:
    """Take a backup of a database that takes its time to be restored; give the environment of the command."""
    create(cluster, "slow_test", *TABLES)
    keys = f'databases = ["slow_test"]\nrestore_test.schedule = ""\nrestore_test.scratch_dir = "{open_dir}"'
    config = write_config(tmp_path, cluster.conninfo.argv_dsn(), target=keys)
    made = environment(HOLDFAST_CONFIG=str(config))
    assert cli("backup", env=made).returncode == 0
    yield made
    drop(cluster, "slow_test")


@pytest.mark.fault("kill.restore_test")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_an_end_in_the_middle_leaves_nothing_that_works_or_counts(
    cluster: Cluster,
    env: dict[str, str],
    tmp_path: Path,
    open_dir: Path,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config, source = Path(env["HOLDFAST_CONFIG"]), cluster.conninfo.with_database("slow_test")
    with asked_of(config, cluster=cluster, source=source, secrets=PLAIN) as oracle:
        with subprocess.Popen(
            argv("restore-test"), env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            until(lambda: any("pg_restore" in line for line in working_in(open_dir)))
            process.send_signal(number)
            oracle.texts += process.communicate()
        assert process.returncode == (-9 if number == signal.SIGKILL else 143)
        until(lambda: not working_in(open_dir), 15)
        assert not list((tmp_path / "store").rglob("proof-*"))
        if number == signal.SIGKILL:
            assert list(open_dir.iterdir())
            monkeypatch.setattr(scratch_home, "_UNLOCKED_SECONDS", -1)
            scratch_home.sweep(open_dir)
        assert list(open_dir.iterdir()) == []
        done = cli("restore-test", env=env)
        assert done.returncode == 0, done.stderr
        oracle.visible("restore_test", "lost" if number == signal.SIGKILL else "cancelled", later=1)
        oracle.visible("restore_test", "succeeded")
        assert list(open_dir.iterdir()) == []


@pytest.mark.fault("kill.restore_test")
def test_what_a_killed_test_left_on_a_server_of_the_owners_goes_with_the_next(
    cluster: Cluster, second_cluster: Cluster, tmp_path: Path
) -> None:
    before = databases(second_cluster)
    create(cluster, "slow_test", *TABLES)
    scratch = keyword_string(second_cluster.conninfo.params).replace("'", "")
    keys = (
        'databases = ["slow_test"]\nrestore_test.schedule = ""\nrestore_test.isolation = "preferred"'
        f'\nrestore_test.scratch_url = "{scratch}"'
    )
    config = write_config(tmp_path, cluster.conninfo.argv_dsn(), target=keys)
    made = environment(HOLDFAST_CONFIG=str(config))
    try:
        assert cli("backup", env=made).returncode == 0
        source = cluster.conninfo.with_database("slow_test")
        with asked_of(config, cluster=cluster, source=source, secrets=PLAIN) as oracle:
            with subprocess.Popen(
                argv("restore-test"), env=made, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            ) as process:
                until(
                    lambda: any("pg_restore" in line for line in working_in(second_cluster.data_dir.parent))
                )
                process.kill()
                oracle.texts += process.communicate()
            [left] = databases(second_cluster) - before
            with connect(second_cluster.conninfo, application_name="test") as connection:
                assert borrowed.left_behind(connection) == [left]
            done = cli("restore-test", env=made)
            assert done.returncode == 0, done.stderr
            assert f"dropping {left}, which a run that died left behind" in done.stderr
            assert databases(second_cluster) == before
            assert gone(lambda: sessions(second_cluster)) == []
            oracle.visible("restore_test", "lost", later=1)
    finally:
        drop(cluster, "slow_test")
