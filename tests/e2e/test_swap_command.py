"""The command `swap`, and the way back that it prints, taken for real."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from support.home import Home, called
from support.postgres import execute, query, running_cluster
from support.restoring import databases
from support.swapping import pair, who_is
from support.world import cli, write_config


@pytest.fixture(scope="module")
def server() -> Iterator[Cluster]:
    with running_cluster() as running:
        yield running


@pytest.fixture
def swappable(server: Cluster, tmp_path: Path) -> Iterator[Home]:
    """Give a home on a server with the databases `it's shop` and `new`."""
    with pair(server, "it's shop") as (live, _):
        yield Home(folder=tmp_path, config=write_config(tmp_path, server.conninfo.argv_dsn()), database=live)


def line_after(text: str, begin: str) -> str:
    [found] = [line.removeprefix(begin).strip() for line in text.splitlines() if line.startswith(begin)]
    return found


def test_the_way_back_that_is_printed_leads_back(swappable: Home, server: Cluster) -> None:
    done = swappable.run("swap", "it's shop", "new")
    assert who_is(server, "it's shop") == "other"
    words = shlex.split(line_after(done.stdout, "the way back:"))
    assert words[0] == "holdfast"
    back = cli(*words[1:])
    assert back.returncode == 0, back.stderr
    assert who_is(server, "it's shop") == "live"
    assert line_after(back.stdout, "when all is well:").startswith("DROP DATABASE \"it's shop_before_2")


def test_a_restored_database_is_swapped_in_and_out_again(swappable: Home) -> None:
    swappable.run("backup", "--quiet")
    execute(swappable.database, "INSERT INTO me VALUES ('later')")
    words = ("restore", "latest", "--database", "it's shop", "--swap")
    assert "the restored database would take the place of it's shop" in (
        swappable.run(*words, "--dry-run").stdout
    )
    done = swappable.run(*words)
    assert "table public.me: 2 rows, 1 in the backup" in done.stdout
    assert query(swappable.database, "SELECT name FROM me") == [("live",)]
    back = called(*shlex.split(line_after(done.stdout, "the way back:"))[1:], cwd=swappable.folder)
    assert back.returncode == 0, back.stderr
    assert query(swappable.database, "SELECT name FROM me ORDER BY 1") == [("later",), ("live",)]


def test_by_a_url_the_way_back_holds_no_password(swappable: Home, server: Cluster, tmp_path: Path) -> None:
    assert server.tcp is not None
    url = f"{server.tcp.argv_dsn()} password='{server.tcp.password}'"
    config = tmp_path / "empty.toml"
    config.write_text('daemon.state_dir = "state"\nstores.disk.url = "store"\n')
    done = called("swap", "it's shop", "new", "--to", url, "-c", config, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(server.tcp.password) not in done.stdout + done.stderr
    words = shlex.split(line_after(done.stdout, "the way back:"))
    back = called(*words[1:], cwd=tmp_path, env={"PGPASSWORD": str(server.tcp.password)})
    assert back.returncode == 0, back.stderr
    assert who_is(server, swappable.database.database or "") == "live"


def test_a_dry_run_changes_nothing(swappable: Home, server: Cluster) -> None:
    before = databases(server)
    said = swappable.run("swap", "it's shop", "new", "--dry-run").stdout
    assert "new (" in said
    assert " would take the place of it's shop (" in said
    facts = swappable.facts("swap", "it's shop", "new", "--dry-run")
    assert facts["sessions"] == []
    assert databases(server) == before


@pytest.mark.extended
def test_quiet_says_nothing_and_json_says_all(swappable: Home, server: Cluster) -> None:
    assert swappable.run("swap", "it's shop", "new", "--quiet").stdout == ""
    [kept] = databases(server) - {"postgres", "it's shop"}
    facts = swappable.facts("swap", "it's shop", kept)
    assert (facts["live"], facts["kept"].startswith("it's shop_before_2")) == ("it's shop", True)
    assert shlex.split(facts["way_back"])[1:4] == ["swap", "it's shop", facts["kept"]]


def test_where_there_are_two_targets_one_has_to_be_named(
    swappable: Home, server: Cluster, database: Conninfo
) -> None:
    with swappable.config.open("a") as file:
        file.write(f'\n[targets.second]\nurl = "{database.argv_dsn()}"\n')
    done = swappable.run("swap", "it's shop", "new", code=2)
    assert "which server?" in done.stderr
    swappable.run("swap", "it's shop", "new", "--target", "shop")
    assert who_is(server, "it's shop") == "other"


@pytest.mark.extended
def test_a_name_that_looks_like_an_option_has_a_way_back(server: Cluster, tmp_path: Path) -> None:
    with pair(server, "--dry-run") as (live, _):
        config = write_config(tmp_path, server.conninfo.argv_dsn())
        assert live.database == "--dry-run"
        done = called("swap", "-c", config, "--", "--dry-run", "new", cwd=tmp_path)
        called(*shlex.split(line_after(done.stdout, "the way back:"))[1:], cwd=tmp_path)
        assert who_is(server, "--dry-run") == "live"
