"""The walk through the disaster plan, on a real server with a damaged database."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.ledger import drills
from holdfast.ledger.ledger import Ledger
from holdfast.postgres.scratch import Cluster
from holdfast.system.clock import SystemClock
from support.home import Home
from support.postgres import execute, query
from support.terminal import Terminal
from support.world import argv

LOG = 'import sys, pathlib; pathlib.Path(sys.argv[1]).open("a").write(sys.stdin.read())'


def hook(folder: Path) -> str:
    return json.dumps(["python3", "-c", LOG, str(folder / "hooks.log")])


@pytest.fixture
def damaged(home: Home, cluster: Cluster) -> Iterator[Home]:
    """A home with a backup, whose database then lost rows and whose config has both hooks."""
    home.run("backup", "-q")
    execute(home.database, "DELETE FROM items WHERE id > 10")
    hooks = (
        f"[targets.shop.hooks]\nstop_services = {hook(home.folder)}\nresume_services = {hook(home.folder)}\n"
    )
    home.config.write_text(home.config.read_text() + hooks)
    yield home
    for (name,) in query(cluster.conninfo, "SELECT datname FROM pg_database"):
        if str(name).startswith(f"{home.database.database}_before_"):
            execute(cluster.conninfo, f'DROP DATABASE "{name}"')


def events(home: Home) -> list[str]:
    path = home.folder / "hooks.log"
    return [json.loads(line)["event"] for line in path.read_text().splitlines()] if path.exists() else []


def test_the_walk_brings_a_damaged_database_back(damaged: Home) -> None:
    done = damaged.run("disaster", "shop", "--yes")
    assert query(damaged.database, "SELECT count(*) FROM items") == [(1000,)]
    assert events(damaged) == ["stop_services", "resume_services"]
    steps = [line for line in done.stdout.splitlines() if re.match(r"\d\. ", line)]
    assert [step[0] for step in steps] == list("1234567")
    assert "1 table, 1,000 rows, 2 definitions: identical to the backup" in done.stdout
    assert "table public.items: 10 rows, 1,000 in the backup" in done.stdout
    (protocol,) = (damaged.state / "disasters").iterdir()
    assert protocol.stat().st_mode & 0o077 == 0
    written = protocol.read_text()
    assert all(step in written for step in steps)
    back = re.search(r"the way back: holdfast (.*)", done.stdout)
    assert back is not None
    damaged.run(*back[1].split())
    assert query(damaged.database, "SELECT count(*) FROM items") == [(10,)]


@pytest.mark.extended
def test_a_no_ends_it_where_it_stands(damaged: Home) -> None:
    terminal = Terminal(argv("disaster", "shop", "-c", damaged.config), damaged.folder)
    terminal.wait_for("all still well?")
    terminal.answer("")
    terminal.wait_for("Run it?")
    terminal.answer("y")
    terminal.wait_for("Go back to this backup?")
    terminal.answer("n")
    assert terminal.end() == 130, terminal.text
    assert events(damaged) == ["stop_services"]
    assert query(damaged.database, "SELECT count(*) FROM items") == [(10,)]


def test_services_that_cannot_be_stopped_end_it_before_anything_is_touched(damaged: Home) -> None:
    done = damaged.run(
        "disaster", "shop", "--yes", "--set", 'targets.shop.hooks.stop_services=["false"]', code=20
    )
    assert "hook stop_services" in done.stderr
    assert query(damaged.database, "SELECT count(*) FROM items") == [(10,)]


def test_what_is_damaged_since_long_needs_an_older_backup(damaged: Home) -> None:
    done = damaged.run("disaster", "shop", "--yes", "--before", "2020-01-01", code=12)
    assert "no whole backup of shop from before 2020-01-01" in done.stderr
    assert query(damaged.database, "SELECT count(*) FROM items") == [(10,)]


def test_without_a_person_it_takes_no_step(damaged: Home) -> None:
    damaged.run("disaster", "shop", code=2)
    assert events(damaged) == []


def test_a_database_that_is_gone_comes_back_anew(damaged: Home, cluster: Cluster) -> None:
    name = damaged.database.database
    execute(cluster.conninfo, f'DROP DATABASE "{name}" WITH (FORCE)')
    done = damaged.run("disaster", "shop", "--yes")
    assert "anew: it is not there any more" in done.stdout
    assert query(damaged.database, "SELECT count(*) FROM items") == [(1000,)]


def listener() -> tuple[socket.socket, list[str]]:
    """Give a server that nobody is to connect to, and the list of those who did."""
    server, seen = socket.create_server(("127.0.0.1", 0)), list[str]()

    def listen() -> None:
        with contextlib.suppress(OSError):  # the end of the test closes it
            while True:
                other, _ = server.accept()
                seen.append("somebody")
                other.close()

    threading.Thread(target=listen, daemon=True).start()
    return server, seen


def test_a_drill_takes_the_same_steps_and_touches_nothing(damaged: Home) -> None:
    before = query(damaged.database, "SELECT datname FROM pg_database ORDER BY 1")
    server, seen = listener()
    with server:
        port = server.getsockname()[1]
        elsewhere = f"targets.shop.url=postgresql://postgres@127.0.0.1:{port}/postgres"
        done = damaged.run("disaster", "shop", "--drill", "--set", elsewhere)
    assert seen == []
    assert events(damaged) == []
    assert query(damaged.database, "SELECT count(*) FROM items") == [(10,)]
    assert query(damaged.database, "SELECT datname FROM pg_database ORDER BY 1") == before
    steps = [line for line in done.stdout.splitlines() if re.match(r"\d\. ", line)]
    assert [step[0] for step in steps] == list("1234567")
    assert "the hook would be run now: python3" in done.stdout
    assert "identical to the backup" in done.stdout
    assert "the damaged one is kept as" in done.stdout
    assert "holdfast swap" not in done.stdout
    with Ledger.open(damaged.state / "ledger.sqlite", now=SystemClock().now()) as ledger:
        kept = drills.last(ledger, "shop")
        runs = [(run.job, run.status) for run in ledger.runs()]
    assert kept is not None
    assert kept.isolation == "isolated"
    assert 0 < kept.seconds < 60
    assert {"cluster", "restore", "comparison", "swap", "checks"} <= {each.name for each in kept.phases}
    assert runs == [("drill", "succeeded"), ("backup", "succeeded")]
