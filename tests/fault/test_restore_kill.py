"""A restore that is ended or killed half-way leaves no plaintext and no program behind; its database is gone or known."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.oracle import Oracle, asked_of
from support.postgres import query, running_cluster
from support.restoring import create, databases, drop
from support.world import argv, cli, environment, write_config

# Takes a minute where a restore builds the index of `half` anew, and no time elsewhere.
SLOW = """CREATE FUNCTION slow(i integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_database() = 'half' AND current_setting('application_name') LIKE 'holdfast restore%' THEN PERFORM pg_sleep(60); END IF;
  RETURN i;
END$$"""
MARKER = "plaintext of the customers"
ASLEEP = "SELECT FROM pg_stat_activity WHERE datname = 'half' AND wait_event = 'PgSleep'"


@pytest.fixture(scope="module")
def source() -> Iterator[Cluster]:
    """Run a server with a database that takes its time to be restored."""
    with running_cluster() as cluster:
        told = f"CREATE TABLE told AS SELECT '{MARKER}' AS word"
        create(cluster, "slow", told, "CREATE TABLE t AS SELECT 1 AS x", SLOW, "CREATE INDEX ON t (slow(x))")
        yield cluster


@pytest.fixture
def home(source: Cluster, tmp_path: Path) -> Iterator[dict[str, str]]:
    """Write a config, take a backup, and give the environment of the command; the spool is `spool` in the folder."""
    config = write_config(tmp_path, source.conninfo.argv_dsn(), target='databases = ["slow"]')
    config.write_text(config.read_text().replace("[daemon]\n", '[daemon]\nspool_dir = "spool"\n'))
    (tmp_path / "spool").mkdir()
    env = environment(HOLDFAST_CONFIG=str(config))
    assert cli("backup", env=env).returncode == 0
    yield env
    drop(source, "half", "other")


@pytest.fixture
def oracle(source: Cluster, home: dict[str, str]) -> Iterator[Oracle]:
    """Ask for all six at the end; the database that a restore names and is told to leave to its owner is dropped before."""
    config, database = Path(home["HOLDFAST_CONFIG"]), source.conninfo.with_database("slow")
    with asked_of(config, cluster=source, source=database, secrets={"a row": MARKER.encode()}) as made:
        yield made
        drop(source, "half", "other")


@contextmanager
def half_restored(source: Cluster, env: dict[str, str], jobs: int) -> Iterator[subprocess.Popen[str]]:
    """Start a restore, and wait until it is in the middle of its index."""
    command = argv("restore", "latest", "--database", "slow", "--as", "half", "--jobs", str(jobs))
    with subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            _until(lambda: process.poll() is not None or bool(query(source.conninfo, ASLEEP)))
            assert process.poll() is None, process.communicate()
            yield process
        finally:
            process.kill()


def programs() -> list[str]:
    """Give the command lines of the pg_restore programs that work on the database."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes()
        except OSError:  # it has just ended
            continue
        if b"pg_restore" in line and b"half" in line:
            found.append(line.decode())
    return found


def opened_files(folder: Path) -> list[Path]:
    """Give the files of a folder that any process holds open, those without a name too."""
    found = []
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            target = path.readlink()
        except OSError:
            continue
        if target.parent == folder:
            found.append(path)
    return found


@pytest.mark.fault("stop")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.extended
def test_a_restore_that_is_told_to_end_takes_everything_away(
    source: Cluster, home: dict[str, str], oracle: Oracle, tmp_path: Path, jobs: int
) -> None:
    with half_restored(source, home, jobs) as process:
        staged = opened_files(tmp_path / "spool")
        assert bool(staged) == (jobs > 1)
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in staged)
        assert list((tmp_path / "spool").iterdir()) == []
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=30)
    assert process.returncode == 143, stderr
    assert "half" not in databases(source)
    oracle.texts.append(stderr)
    assert oracle.visible("restore", "cancelled") == "cancelled"
    _until(lambda: not programs())
    assert opened_files(tmp_path / "spool") == []


@pytest.mark.fault("kill.restore")
@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.extended
def test_a_restore_that_is_killed_leaves_a_database_that_the_next_one_names(
    source: Cluster, home: dict[str, str], oracle: Oracle, tmp_path: Path, jobs: int
) -> None:
    with half_restored(source, home, jobs) as process:
        process.kill()
        process.wait()
        _until(lambda: not programs())
        _until(lambda: not query(source.conninfo, ASLEEP))
    assert opened_files(tmp_path / "spool") == []
    assert list((tmp_path / "spool").iterdir()) == []

    again = cli("restore", "latest", "--database", "slow", "--as", "half", env=home)
    assert again.returncode == 2
    assert "database 'half' was left half restored by a run that died" in again.stderr
    assert 'Drop it first: DROP DATABASE "half";' in again.stderr

    named = cli("restore", "latest", "--database", "slow", "--as", "other", "--section", "pre-data", env=home)
    assert named.returncode == 0, named.stderr
    oracle.told(again)
    assert oracle.visible("restore", "lost", later=2) == "lost"
    assert "database 'half' was left half restored by a run that died" in named.stderr
    comments = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = 'other'"
    assert query(source.conninfo, comments) == [(None,)]


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)
