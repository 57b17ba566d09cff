"""The walk through the disaster plan, and drills of it, where something goes wrong or is wished otherwise."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.ledger import drills
from holdfast.ledger.ledger import Ledger
from holdfast.model.drill import Drill
from holdfast.model.proof import Proof
from holdfast.postgres import scratch_home
from holdfast.postgres.scratch import Cluster
from holdfast.system.clock import SystemClock
from support import torture
from support.home import Home
from support.postgres import execute, query, running_cluster
from support.restoring import create
from support.terminal import Terminal
from support.working import until, working_in
from support.world import argv, environment, write_config

HOOKS = """[targets.shop.hooks]
stop_services = ["true", "web"]
resume_services = ["true", "the web", "and more"]
"""
AGAIN = "the services are stopped, or some of them; to start them again: true 'the web' 'and more'"


@pytest.fixture
def damaged(home: Home, cluster: Cluster) -> Iterator[Home]:
    """A home with a backup, whose database then lost rows and whose config has both hooks."""
    home.run("backup", "-q")
    execute(home.database, "DELETE FROM items WHERE id > 10")
    home.config.write_text(home.config.read_text() + HOOKS)
    yield home
    for (name,) in query(cluster.conninfo, "SELECT datname FROM pg_database"):
        if str(name).startswith(f"{home.database.database}_"):
            execute(cluster.conninfo, f'DROP DATABASE "{name}"')


def rows(home: Home) -> object:
    return query(home.database, "SELECT count(*) FROM items")[0][0]


def kept(home: Home) -> tuple[Drill | None, list[tuple[str, str]]]:
    """Give the last drill, and how the runs ended, the newest first."""
    with Ledger.open(home.state / "ledger.sqlite", now=SystemClock().now()) as ledger:
        return drills.last(ledger, "shop"), [(run.job, run.status) for run in ledger.runs()]


@pytest.mark.extended
def test_who_interrupts_it_is_told_what_is_stopped(damaged: Home) -> None:
    terminal = Terminal(argv("disaster", "shop", "-c", damaged.config), damaged.folder)
    terminal.wait_for("all still well?")
    terminal.answer("")
    terminal.wait_for("Run it?")
    terminal.answer("y")
    terminal.wait_for("Go back to this backup?")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130, terminal.text
    assert AGAIN in terminal.text
    assert rows(damaged) == 10
    [protocol] = (damaged.state / "disasters").glob("shop-*")
    assert AGAIN in protocol.read_text()


@pytest.mark.extended
@pytest.mark.parametrize(
    ("hook", "seconds", "back"),
    [
        ('stop_services=["false"]', "5", 10),
        ('stop_services=["sleep", "60"]', "1", 10),
        ('resume_services=["false"]', "5", 1000),
        ('resume_services=["sleep", "60"]', "1", 1000),
    ],
)
def test_a_hook_that_fails_or_hangs_leaves_the_command_that_resumes(
    damaged: Home, hook: str, seconds: str, back: int
) -> None:
    sets = ("--set", f"targets.shop.hooks.{hook}", "--set", f"targets.shop.hooks.timeout={seconds}")
    done = damaged.run("disaster", "shop", "--yes", *sets, code=20)
    assert "the services are stopped, or some of them; to start them again: " in done.stdout
    assert "hook " in done.stderr
    assert rows(damaged) == back


@pytest.mark.extended
def test_nothing_is_stopped_for_a_time_that_is_yet_to_come(damaged: Home) -> None:
    done = damaged.run("disaster", "shop", "--yes", "--before", "2999-01-01", code=2)
    assert "in the future" in done.stderr
    assert "the services are stopped" not in done.stdout


@pytest.mark.extended
def test_a_backup_from_after_the_damage_is_said_to_be_one(damaged: Home) -> None:
    newest = damaged.ids()[0]
    done = damaged.run(
        "disaster", "shop", "--yes", "--before", "2026-01-01T00:00:00Z", "--backup", newest[:18]
    )
    assert re.search(r"begun \d+ d \d+ h AFTER all was last well", done.stdout)
    assert "lost would be" not in done.stdout


@pytest.mark.extended
def test_a_newer_backup_that_is_known_less_well_may_be_chosen(damaged: Home) -> None:
    proven = damaged.ids()[0]
    damaged.run("backup", "-q")
    newest = damaged.ids()[0]
    now = SystemClock().now()
    with Ledger.open(damaged.state / "ledger.sqlite", now=now) as ledger:
        proof = Proof(
            backup_id=proven, target="shop", level="proven", method="restored", at=now, store="disk"
        )
        ledger.record_proof(proof)
    terminal = Terminal(argv("disaster", "shop", "-c", damaged.config), damaged.folder)
    terminal.wait_for("all still well?")
    terminal.answer("")
    terminal.wait_for("Run it?")
    terminal.answer("y")
    terminal.wait_for("Another one instead?")
    assert f"{proven}: proven" in terminal.text
    assert re.search(rf"{newest}: stored, [^;]+; lost would be ", terminal.text)
    terminal.answer(newest)
    terminal.wait_for("Go back to this backup?")
    assert f"{newest}: stored" in terminal.text.rpartition("Another one instead?")[2]
    terminal.answer("y")
    terminal.wait_for("Begin?")
    terminal.answer("n")
    assert terminal.end() == 130, terminal.text
    assert AGAIN in terminal.text


@pytest.mark.extended
def test_a_check_of_the_owners_that_does_not_hold_ends_it(damaged: Home) -> None:
    check = (
        '[[targets.shop.restore_test.checks]]\nname = "many"\nsql = "SELECT count(*) FROM items"\nmin = {}\n'
    )
    plain = damaged.config.read_text()
    damaged.config.write_text(plain + check.format(1000))
    done = damaged.run("disaster", "shop", "--drill")
    assert f"check many of {damaged.database.database}: it holds" in done.stdout
    damaged.config.write_text(plain + check.format(1001))
    done = damaged.run("disaster", "shop", "--drill", code=24)
    assert "its answer is below 1001" in done.stdout
    assert "services are stopped" not in done.stdout
    last, runs = kept(damaged)
    assert last is not None
    assert runs[:2] == [("drill", "failed"), ("drill", "succeeded")]
    done = damaged.run("disaster", "shop", "--yes", code=24)
    assert "a check of the owner's failed: many" in done.stderr
    assert AGAIN in done.stdout


@pytest.mark.extended
def test_a_drill_of_a_damaged_backup_fails_and_counts_for_nothing(damaged: Home) -> None:
    (path,) = damaged.store.rglob("*.dump.zst.age")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    done = damaged.run("disaster", "shop", "--drill", code=22)
    assert "FAILED" in done.stdout
    assert kept(damaged) == (None, [("drill", "failed"), ("backup", "succeeded")])
    assert rows(damaged) == 10


@pytest.mark.extended
def test_a_drill_wants_no_server_and_the_identity(damaged: Home) -> None:
    done = damaged.run("disaster", "shop", "--drill", "--to", "postgresql://elsewhere", code=2)
    assert "has a server of its own" in done.stderr
    text = damaged.config.read_text()
    damaged.config.write_text("\n".join(line for line in text.splitlines() if "identity_file" not in line))
    assert "no identity" in damaged.run("disaster", "shop", "--drill", code=23).stderr


@pytest.mark.extended
def test_at_a_terminal_a_drill_asks_as_on_the_day(damaged: Home) -> None:
    terminal = Terminal(argv("disaster", "shop", "--drill", "-c", damaged.config), damaged.folder)
    terminal.wait_for("all still well?")
    terminal.answer("")
    for question in ("Go back to this backup?", "Begin?", "is it what you need?"):
        terminal.wait_for(question)
        terminal.answer("y")
    assert terminal.end() == 0, terminal.text
    last, _ = kept(damaged)
    assert last is not None
    told = damaged.run("status", code=0).stdout
    assert re.search(r"drill +\d{4}-\d\d-\d\d [\d:]+Z, took ", told)
    kit = damaged.run("kit").stdout
    assert re.search(r"\d{4}-\d\d-\d\d, took [\d.]+ s", kit)
    assert "The last drill of this plan was on" in kit


@pytest.mark.extended
def test_the_quiet_drill_of_a_timer_says_nothing(damaged: Home) -> None:
    done = damaged.run("disaster", "shop", "--drill", "--yes", "--quiet")
    assert done.stdout == ""
    (protocol,) = (damaged.state / "disasters").glob("shop-drill-*")
    assert "identical to the backup" in protocol.read_text()


# Takes a while where a restore of ours builds the index, and no time elsewhere.
SLOW = """CREATE FUNCTION slow(i integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF current_setting('application_name') LIKE 'holdfast restore%' THEN PERFORM pg_sleep(5); END IF;
  RETURN i;
END$$"""


@pytest.mark.extended
@pytest.mark.fault("kill.restore_test")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_drill_that_is_killed_leaves_nothing_that_works(
    damaged: Home, open_dir: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(damaged.database, SLOW, "CREATE INDEX ON items (slow(id)) WHERE id = 1")
    damaged.run("backup", "-q")
    place = ("--set", f"targets.shop.restore_test.scratch_dir={open_dir}")
    with subprocess.Popen(
        argv("disaster", "shop", "--drill", "-c", damaged.config, *place),
        env=environment(),
        cwd=damaged.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        until(lambda: any("pg_restore" in line for line in working_in(open_dir)))
        process.send_signal(number)
        process.communicate()
    until(lambda: not working_in(open_dir), 15)
    if number == signal.SIGKILL:
        assert list(open_dir.iterdir())
        monkeypatch.setattr(scratch_home, "_UNLOCKED_SECONDS", -1)
        scratch_home.sweep(open_dir)
    assert list(open_dir.iterdir()) == []
    assert kept(damaged)[0] is None
    damaged.run("disaster", "shop", "--drill", *place)
    last, runs = kept(damaged)
    assert last is not None
    assert runs[:2] == [
        ("drill", "succeeded"),
        ("drill", "lost" if number == signal.SIGKILL else "cancelled"),
    ]
    assert rows(damaged) == 10


@pytest.mark.extended
def test_a_drill_brings_back_whatever_a_server_holds(tmp_path: Path, open_dir: Path) -> None:
    with running_cluster() as server:
        torture.load(server.conninfo, "torture db", torture.MORE)
        execute(
            server.conninfo, "CREATE ROLE clerk LOGIN PASSWORD 'x'", "ALTER ROLE clerk SET work_mem = '7MB'"
        )
        create(
            server,
            "-odd 'name\"",
            "CREATE TABLE t AS SELECT 1 AS x",
            "CREATE FUNCTION e() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN END $$",
            "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION e()",
            "CREATE SUBSCRIPTION s CONNECTION 'host=nowhere' PUBLICATION p WITH (connect = false)",
            'ALTER DATABASE "-odd \'name""" SET default_transaction_read_only = on',
        )
        config = write_config(
            tmp_path, server.conninfo.argv_dsn(), target=f'restore_test.scratch_dir = "{open_dir}"'
        )
        home = Home(folder=tmp_path, config=config, database=server.conninfo)
        home.run("backup", "-q")
    done = home.run("disaster", "shop", "--drill", "--jobs", "2")  # the server is gone
    assert done.stdout.count("identical to the backup") == 2
    assert "postgres stays as it is" in done.stdout
    home.run("disaster", "shop", "--drill", "-d", "postgres", "-d", "torture db", "--no-compare")
    last, _ = kept(home)
    assert last is not None
    assert last.databases == 2
    assert json.dumps(sorted(each.name for each in last.phases)) == json.dumps(
        ["checks", "cluster", "comparison", "removal", "restore", "swap"]
    )


@pytest.mark.extended
def test_a_drill_ends_when_its_time_is_over_and_brings_back_something(damaged: Home) -> None:
    limit = ("--set", "targets.shop.restore_test.timeout=1")
    done = damaged.run("disaster", "shop", "--drill", *limit, code=24)
    assert "the drill took longer than 1 s" in done.stderr
    damaged.run("backup", "-q", "--set", 'targets.shop.databases=["postgres"]')
    done = damaged.run("disaster", "shop", "--drill", code=2)
    assert "holds nothing else" in done.stderr
    assert kept(damaged)[0] is None
