"""The commands prove a backup and show the proof; the daemon tests the first good backup by itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.ledger.ledger import Ledger
from holdfast.postgres.scratch import Cluster
from holdfast.system.clock import SystemClock
from support.daemon import daemon, wait_until
from support.home import Home
from support.restoring import create, drop
from support.world import write_config

CHECKS = """
restore_test.schedule = ""
restore_test.jobs = 1
[[targets.shop.restore_test.checks]]
name = "there are merchants"
sql = "SELECT count(*) FROM merchants"
min = 3
"""


@pytest.fixture(scope="module")
def home(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("prove")
    database = create(
        cluster, "proved", "CREATE TABLE merchants AS SELECT g AS id FROM generate_series(1, 3) g"
    )
    url = cluster.conninfo.argv_dsn()
    config = write_config(folder, url, target=f'databases = ["proved"]\n{CHECKS}')
    yield Home(folder=folder, config=config, database=database)
    drop(cluster, "proved")


def test_a_backup_is_proven_and_the_proof_shown(home: Home) -> None:
    home.run("backup")
    assert "no restore test" in home.run("proof", "show", "latest", code=12).stderr
    facts = home.facts("restore-test")
    assert facts["proof"]["level"] == "proven"
    assert home.facts("list")[0]["proof"] == "proven"
    text = home.run("proof", "show", "latest").stdout
    assert "PROVEN" in text
    assert "public.merchants" in text
    assert "there are merchants" in text
    assert "whole" in home.run("repair", "latest").stdout
    page = home.folder / "proof.html"
    home.run("proof", "show", "latest", "--html", "--output", page)
    assert "<!doctype html>" in page.read_text()
    shown = home.facts("proof", "show", "latest")
    assert shown["detail"] == facts["detail"]


@pytest.mark.extended
def test_a_failed_test_ends_with_its_own_exit_code(home: Home) -> None:
    home.run("backup")
    wrong = 'targets.shop.restore_test.checks=[{name="n", sql="SELECT count(*) FROM merchants", equals=4}]'
    done = home.run("restore-test", "shop", "--set", wrong, code=24)
    assert "another than expected" in done.stdout
    assert "FAILED" in done.stdout
    assert json.loads(home.run("list", "--json").stdout)[0]["proof"] == "verified"
    elsewhere = "targets.shop.restore_test.scratch_dir=/nowhere/at/all"
    assert "cannot look at /nowhere/at/all" in home.run("restore-test", "--set", elsewhere, code=24).stderr


@pytest.mark.extended
def test_the_daemon_proves_the_first_good_backup_by_itself(cluster: Cluster, tmp_path: Path) -> None:
    create(cluster, "first", "CREATE TABLE t AS SELECT 1 AS x")
    keys = 'databases = ["first"]\nevery = "2s"\nrestore_test.jobs = 1\n'
    config = write_config(tmp_path, cluster.conninfo.argv_dsn(), target=keys)
    try:
        with daemon(config) as running:
            wait_until(lambda: '"restore_test"' in _proven(tmp_path), running)
            running.end()
    finally:
        drop(cluster, "first")


def _proven(folder: Path) -> str:
    with Ledger.open(folder / "state" / "ledger.sqlite", now=SystemClock().now()) as ledger:
        found = ledger.runs("shop", "restore_test", "succeeded")
        return '"restore_test"' if found and any(row.proof == "proven" for row in ledger.backups()) else ""
