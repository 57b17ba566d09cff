"""What befalls a daemon: kills, stops, bad configs, rivals, days away. Nothing is left behind, and the next run is good."""

from __future__ import annotations

import random
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.ledger import scheduling
from holdfast.ledger.ledger import Ledger
from holdfast.model.codec import time_text
from holdfast.model.run import Run
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.system.clock import SystemClock
from support import moto_server as moto
from support.daemon import Daemon, all_runs, daemon, resident_bytes, wait_until
from support.faults import assert_no_drafts, assert_nothing_runs, fill, programs
from support.home import Done, Home
from support.oracle import asked_of, oracle_of
from support.postgres import new_database
from support.proxy import Rule, delayed, proxy_to
from support.runs import files, home
from support.world import cli

SLOW = "compression_level = 19\ncompression_threads = 0\n"


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database)
        yield database


def told(state: Path) -> scheduling.Daemon:
    with Ledger.open(state / "ledger.sqlite", now=SystemClock().now()) as ledger:
        found = scheduling.daemon(ledger)
    assert found is not None
    return found


def last_run(folder: Home) -> Run:
    """The last run that took place; slots that came up meanwhile may have been missed."""
    return next(run for run in all_runs(folder.state) if run.status != "missed")


def later(folder: Home, than: Run) -> int:
    """How many runs came after that one."""
    return [run.id for run in all_runs(folder.state)].index(than.id)


def in_a_dump(folder: Home, shop: Conninfo, running: Daemon) -> None:
    """Wait until bytes of a dump lie in the store."""

    def half_way() -> bool:
        drafts = [path for path in files(folder.store) if path.name.startswith(".")]
        return any(path.stat().st_size > 0 for path in drafts) and bool(programs(shop))

    wait_until(half_way, running)


def assert_good(folder: Home, cluster: Cluster, shop: Conninfo) -> None:
    """Nothing of a run that ended badly is there, every backup is whole, and no slot has two."""
    assert_nothing_runs(cluster, shop)
    assert_no_drafts(folder.folder)
    assert {path.parent.name for path in files(folder.store)} == set(folder.ids())
    if folder.ids():
        folder.run("verify", "--all")
    slots = [row["slot"] for row in folder.facts("list") if row["slot"]]
    assert len(set(slots)) == len(slots)


@pytest.mark.fault("kill.daemon")
def test_a_daemon_that_was_killed_finds_its_run_and_makes_up_for_it(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    folder = home(tmp_path, shop, target=f'{SLOW}every = "1s"')
    with asked_of(folder.config, cluster=cluster, source=shop) as oracle:
        with daemon(folder.config) as running:
            in_a_dump(folder, shop, running)
            running.end(signal.SIGKILL, code=-9)
        [dead] = [run for run in all_runs(folder.state) if run.status == "running"]
        text = folder.config.read_text().replace(SLOW, "")
        folder.config.write_text(text.replace('every = "1s"', 'every = "1s"\ncatch_up = "1h"'))
        with daemon(folder.config) as running:
            wait_until(lambda: all_runs(folder.state, status="succeeded"), running)
            running.end()
        assert oracle.visible("backup", "lost", later=later(folder, dead)) == "lost"
        assert all_runs(folder.state, status="running") == []
        assert_good(folder, cluster, shop)


@pytest.mark.fault("stop")
def test_a_stop_in_the_middle_of_a_dump_takes_seconds_and_leaves_nothing(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    folder = home(tmp_path, shop, target=f'{SLOW}every = "1s"')
    with asked_of(folder.config, cluster=cluster) as oracle:
        with daemon(folder.config) as running:
            in_a_dump(folder, shop, running)
            assert running.end() < 10
        oracle.visible("backup", "cancelled", later=later(folder, last_run(folder)))
        assert told(folder.state).stopped_at is not None
        assert files(folder.store) == []
        assert_good(folder, cluster, shop)


@pytest.mark.fault("stop")
@pytest.mark.parametrize("seed", [1, *(pytest.param(n, marks=pytest.mark.extended) for n in range(2, 51))])
def test_a_stop_at_any_moment_of_a_backup_leaves_nothing(
    cluster: Cluster, shop: Conninfo, tmp_path: Path, seed: int
) -> None:
    folder = home(tmp_path, shop, target='every = "1s"')
    chance = random.Random(seed)
    with asked_of(folder.config, cluster=cluster) as oracle:
        with daemon(folder.config) as running:
            wait_until(lambda: "run begins" in running.said(), running)
            time.sleep(chance.uniform(0, chance.choice((0.2, 0.8))))  # a backup takes half a second here
            assert running.end() < 10
        assert "Traceback" not in running.said()
        last = last_run(folder)
        oracle.visible("backup", last.status, later=later(folder, last))
        assert all_runs(folder.state, status="running") == []
        assert_good(folder, cluster, shop)
        folder.run("backup")
        assert_good(folder, cluster, shop)


@pytest.mark.fault("two")
@pytest.mark.extended
def test_a_second_daemon_on_the_same_state_directory_is_refused(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    folder = home(tmp_path, shop)
    folder.run("backup")
    with asked_of(folder.config, cluster=cluster, source=shop) as oracle:
        with daemon(folder.config) as running:
            second = cli("run", "--config", folder.config, cwd=tmp_path)
            assert second.returncode == 11
            assert f"is locked by the daemon with process number {running.process.pid} on" in second.stderr
            oracle.told(second)
            running.end()
        with daemon(folder.config) as after:
            after.end()


@pytest.mark.fault("config.bad")
@pytest.mark.extended
def test_a_bad_config_is_refused_whole_and_the_old_one_goes_on(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    folder = home(tmp_path, shop)
    good = folder.config.read_text()
    with asked_of(folder.config, cluster=cluster, source=shop) as oracle, daemon(folder.config) as running:
        folder.config.write_text(
            good.replace("[targets.shop]", '[targets.shop]\nevery = "1s"\nshcedule = "x"')
        )
        running.process.send_signal(signal.SIGHUP)
        running.wait_for("RELOADING=1")
        running.wait_for("; the new config is refused")
        wait_until(lambda: told(folder.state).reload_error, running)
        assert "did you mean schedule?" in str(told(folder.state).reload_error)
        oracle.shows("holdfast_config_reload_success", 0)
        time.sleep(1.2)
        assert all_runs(folder.state) == []
        folder.config.write_text(good.replace('"state"', '"elsewhere"'))
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "cannot change" in str(told(folder.state).reload_error), running)
        folder.config.write_text(good.replace("[targets.shop]", '[targets.shop]\nevery = "1s"'))
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: all_runs(folder.state, status="succeeded"), running)
        assert told(folder.state).reload_error is None
        running.end()
    assert "the new config is refused, the old one goes on" in running.said()
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.fault("clock.missed")
@pytest.mark.extended
def test_after_three_days_down_the_newest_slot_is_made_up_for(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    folder = home(tmp_path, shop, target='schedule = "@daily"')
    with daemon(folder.config) as running:
        running.end()
    before = datetime.now(UTC) - timedelta(days=3)
    with closing(sqlite3.connect(folder.state / "ledger.sqlite")) as connection, connection:
        connection.execute("UPDATE schedules SET since = ?", [time_text(before)])
    with daemon(folder.config) as running:
        wait_until(lambda: all_runs(folder.state, status="succeeded"), running)
        wait_until(
            lambda: resident_bytes(running.process.pid) < 80_000_000, running
        )  # what the run had is given back
        running.end()
    made, *missed = sorted(all_runs(folder.state), key=lambda run: str(run.slot), reverse=True)
    assert (made.status, made.trigger) == ("succeeded", "catch_up")
    assert [run.status for run in missed] == ["missed", "missed"]
    assert made.slot is not None
    assert [row["slot"] for row in folder.facts("list")] == [time_text(made.slot)]
    with asked_of(folder.config, cluster=cluster, source=shop) as oracle:
        oracle.visible("backup", "missed", later=later(folder, missed[0]))


@pytest.mark.fault("two")
@pytest.mark.extended
def test_two_hosts_with_the_same_config_take_a_slot_once(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    folder = home(tmp_path, shop, target='schedule = "@daily"\nretry_delay = "1s"\nattempts = 9')
    other = tmp_path / "other.toml"
    other.write_text(folder.config.read_text().replace('"state"', '"state2"'))
    since = time_text(datetime.now(UTC) - timedelta(days=1))
    for config, state in ((folder.config, "state"), (other, "state2")):
        with daemon(config) as running:
            running.end()
        with closing(sqlite3.connect(tmp_path / state / "ledger.sqlite")) as connection, connection:
            connection.execute("UPDATE schedules SET since = ?", [since])

    def settled(state: str) -> bool:
        with Ledger.open(tmp_path / state / "ledger.sqlite", now=SystemClock().now()) as ledger:
            # A host that comes late finds the other's backup before it would begin.
            return bool(ledger.backups()) and not ledger.unfinished()

    with daemon(folder.config) as one, daemon(other) as two:
        wait_until(lambda: settled("state") and settled("state2"), one)
        one.end()
        two.end()
    last = [run for state in ("state", "state2") for run in all_runs(tmp_path / state)[:1]]
    assert sorted(run.status for run in last) in (["skipped", "succeeded"], ["succeeded"])
    assert {run.backup_id for run in last} == set(folder.ids())
    assert len(folder.ids()) == 1
    for config in (folder.config, other):
        with asked_of(config, cluster=cluster, source=shop) as oracle:
            oracle.silent("whoever comes second finds the slot taken, which is no failure")


@pytest.mark.fault("ledger.corrupt")
@pytest.mark.extended
def test_a_ledger_that_is_gone_ends_the_daemon_so_that_it_is_started_again(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    folder = home(tmp_path, shop, target='every = "1s"')
    folder.run("backup")
    with oracle_of(folder.config) as oracle:
        before = oracle.before
    with daemon(folder.config) as running:
        for path in folder.state.glob("ledger.sqlite*"):
            path.unlink()
        assert running.process.wait(30) == 30, running.said()
    ended = Done([], 30, "", running.said())
    with daemon(folder.config) as running:
        wait_until(lambda: all_runs(folder.state, status="succeeded"), running)
        running.end()
    with asked_of(folder.config, before=before, cluster=cluster, source=shop) as oracle:
        oracle.told(ended)


@pytest.mark.fault("ledger.locked")
@pytest.mark.extended
def test_a_locked_ledger_delays_no_stop(cluster: Cluster, shop: Conninfo, tmp_path: Path) -> None:
    folder = home(tmp_path, shop, target='every = "1s"')
    with (
        daemon(folder.config) as running,
        closing(sqlite3.connect(folder.state / "ledger.sqlite", isolation_level=None)) as rival,
    ):
        rival.execute("BEGIN IMMEDIATE")
        time.sleep(2)
        began = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(30) == ("left=" in running.said())
        assert time.monotonic() - began < 12
        rival.execute("ROLLBACK")
    with daemon(folder.config) as running:
        wait_until(lambda: all_runs(folder.state, status="succeeded"), running)
        running.end()
    assert all_runs(folder.state, status="running") == []
    with asked_of(folder.config, cluster=cluster, source=shop) as oracle:
        oracle.silent("no run had begun: the daemon says what waited for the ledger still, and exits 1")


@pytest.mark.fault("stop")
@pytest.mark.extended
def test_a_stop_in_the_middle_of_an_upload_aborts_it(cluster: Cluster, tmp_path: Path) -> None:
    with new_database(cluster) as database, moto.moto_server() as url, proxy_to(url) as proxy:
        fill(database, 30_000_000)
        proxy.rules.append(Rule(method="PUT", contains="partNumber", act=delayed(1.0), times=None))
        s3 = moto.keys(proxy.url, "stop")
        folder = home(tmp_path, database, target='compression = "none"\nevery = "1s"', stores={"cloud": s3})
        client = moto.raw_client(url)

        def uploads() -> object:
            return client.list_multipart_uploads(Bucket=moto.BUCKET, Prefix="stop/").get("Uploads", [])

        with asked_of(folder.config, cluster=cluster, source=database, uploads=uploads) as oracle:
            with daemon(folder.config) as running:
                wait_until(uploads, running)
                assert running.end() < 10
            assert not uploads()
            assert "Contents" not in client.list_objects_v2(Bucket=moto.BUCKET, Prefix="stop/")
            oracle.visible("backup", "cancelled", later=later(folder, last_run(folder)))
            assert_nothing_runs(cluster, database)
