"""What the daemon lives through: a full disk, a locked ledger, a store that hangs, a target that is taken from it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support import moto_server as moto
from support.daemon import Daemon, all_runs, daemon, wait_until
from support.faults import assert_nothing_runs, fill, programs
from support.home import Home
from support.oracle import asked_of
from support.postgres import new_database
from support.proxy import Rule, hang, proxy_to
from support.runs import files, home

SLOW = "compression_level = 19\ncompression_threads = 0\n"


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[Conninfo]:
    with new_database(cluster) as database:
        fill(database)
        yield database


def scraped(running: Daemon) -> str:
    found = re.search(r"metrics are served\s+host=(\S+) port=(\d+)", running.said())
    assert found, running.said()
    with urllib.request.urlopen(f"http://{found[1]}:{found[2]}/metrics", timeout=20) as answer:
        return str(answer.read().decode())


def succeeded(running: Daemon) -> int:
    """How many backups went well, as the daemon tells."""
    found = re.search(
        r'holdfast_runs_total\{job="backup",target="shop",result="succeeded"\} (\d+)', scraped(running)
    )
    assert found
    return int(found[1])


def in_a_dump(folder: Home, shop: Conninfo, running: Daemon) -> None:
    """Wait until bytes of a dump lie in the store."""

    def half_way() -> bool:
        drafts = [path for path in files(folder.store) if path.name.startswith(".")]
        return any(path.stat().st_size > 0 for path in drafts) and bool(programs(shop))

    wait_until(half_way, running)


@pytest.mark.extended
def test_a_scrape_during_a_backup_tells_of_it_at_once(shop: Conninfo, tmp_path: Path) -> None:
    folder = home(tmp_path, shop, target=f'{SLOW}every = "2s"')
    with daemon(folder.config) as running:
        in_a_dump(folder, shop, running)
        began = time.monotonic()
        text = scraped(running)
        assert time.monotonic() - began < 2
        assert all_runs(folder.state, status="running"), "the backup goes on"
        running.end()
    assert '\nholdfast_run_in_progress{job="backup",target="shop"} 1\n' in text
    assert '\nholdfast_backup_last_success_timestamp_seconds{target="shop"} 0.0\n' in text


@pytest.mark.extended
def test_a_target_that_a_reload_takes_away_ends_its_run_in_peace(shop: Conninfo, tmp_path: Path) -> None:
    hook = '[targets.shop.hooks]\nbefore_backup = ["sleep", "3"]\n'
    folder = home(tmp_path, shop, target='every = "2s"', more=hook)
    with daemon(folder.config) as running:
        wait_until(lambda: all_runs(folder.state, status="running"), running)
        text = folder.config.read_text().replace("targets.shop", "targets.blog").replace('every = "2s"', "")
        folder.config.write_text(text)
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "read again" in running.said(), running)
        assert all_runs(folder.state, status="running")
        wait_until(lambda: all_runs(folder.state, status="succeeded"), running)
        time.sleep(2.5)
        assert 'target="shop"' not in scraped(running)
        running.end()
    assert [run.status for run in all_runs(folder.state)] == ["succeeded"]
    assert not re.search(r"Traceback|broke off|could not plan", running.said())


@pytest.mark.fault("store.hang")
@pytest.mark.extended
def test_a_stop_does_not_wait_for_a_store_that_hangs(cluster: Cluster, tmp_path: Path) -> None:
    with new_database(cluster) as database, moto.moto_server() as url, proxy_to(url) as proxy:
        fill(database, 1_000_000)
        proxy.rules.append(Rule(method="PUT", contains=".dump", act=hang, times=None))
        s3 = moto.keys(proxy.url, "hang")
        folder = home(tmp_path, database, target='every = "1s"', stores={"cloud": s3})
        client = moto.raw_client(url)

        def uploads() -> object:
            return client.list_multipart_uploads(Bucket=moto.BUCKET, Prefix="hang/").get("Uploads", [])

        with asked_of(folder.config, cluster=cluster, source=database, uploads=uploads) as oracle:
            with daemon(folder.config) as running:
                wait_until(lambda: any(re.match(r"PUT .*\.dump", line) for line in proxy.seen), running)
                began = time.monotonic()
                running.process.send_signal(signal.SIGTERM)
                assert running.process.wait(30) == 1
                assert time.monotonic() - began < 10
                assert "the daemon has ended left='backup shop'" in running.said()
            assert_nothing_runs(cluster, database)
            proxy.rules.clear()
            with daemon(folder.config) as running:
                wait_until(lambda: all_runs(folder.state, status="succeeded"), running)
                running.end()
            assert all_runs(folder.state, status="running") == []
            ended = [run.status for run in all_runs(folder.state)]
            oracle.visible("backup", "lost", later=ended.index("lost"))


@pytest.mark.fault("ledger.locked")
@pytest.mark.extended
def test_a_ledger_that_is_locked_for_long_loses_no_slot_and_no_backup(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    folder = home(tmp_path, shop, target=f'{SLOW}every = "2s"')
    with (
        daemon(folder.config) as running,
        closing(sqlite3.connect(folder.state / "ledger.sqlite", isolation_level=None)) as rival,
    ):
        in_a_dump(folder, shop, running)
        rival.execute("BEGIN IMMEDIATE")
        time.sleep(40)
        began = time.monotonic()
        assert "holdfast_ledger_up 1" in scraped(running)
        assert time.monotonic() - began < 5
        rival.execute("ROLLBACK")
        before = len(all_runs(folder.state, status="succeeded"))
        wait_until(lambda: len(all_runs(folder.state, status="succeeded")) > before, running)
        running.end()
    slots = [row["slot"] for row in folder.facts("list")]
    assert len(set(slots)) == len(slots)
    assert len(slots) > before
    assert all_runs(folder.state, status="running") == []
    assert_nothing_runs(cluster, shop)
    with asked_of(folder.config, cluster=cluster, source=shop) as oracle:
        oracle.silent("nothing fails: it is waited for")


@pytest.mark.fault("full.state")
@pytest.mark.extended
def test_a_full_state_disk_is_said_and_the_next_run_after_it_is_good(
    cluster: Cluster, shop: Conninfo, tmp_path: Path
) -> None:
    user = [] if os.geteuid() == 0 else ["-r"]
    unshare = ["unshare", *user, "-m", "sh", "-ec"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], check=False).returncode:
        pytest.skip("mount namespaces are not allowed here")
    folder = home(tmp_path, shop, target='every = "1s"')
    (tmp_path / "state").mkdir()
    script = f"mount -t tmpfs -o size=2m none '{tmp_path}/state'; exec \"$@\""
    with daemon(folder.config, prefix=[*unshare, script, "sh"]) as running:
        filler = Path(f"/proc/{running.process.pid}/root{tmp_path}/state/filler")
        wait_until(lambda: succeeded(running), running)
        with pytest.raises(OSError, match="No space"):
            filler.write_bytes(b"x" * 4_000_000)
        wait_until(lambda: "the disk is full" in running.said(), running)
        before = succeeded(running)
        text = scraped(running)
        filler.unlink()
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: succeeded(running) > before, running)
        running.end()
    with asked_of(folder.config, cluster=cluster, source=shop) as oracle:
        oracle.shows("holdfast_state_dir_free_bytes", 0, text)
