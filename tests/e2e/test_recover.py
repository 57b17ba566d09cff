"""Recovery from nothing: an empty machine, a store, an identity, and an empty server."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.home import Done, Home, called
from support.postgres import execute, query
from support.terminal import Terminal
from support.world import argv


@pytest.fixture
def empty_server(stocked: Home, second_cluster: Cluster) -> Iterator[Cluster]:
    yield second_cluster
    execute(second_cluster.conninfo, f'DROP DATABASE IF EXISTS "{stocked.database.database}"')


def recovered(stocked: Home, where: Path, *args: str | Path, server: Cluster | None = None) -> Done:
    to = () if server is None else ("--to", server.conninfo.argv_dsn())
    return called(
        "recover", stocked.store, "--identity", stocked.folder / "identity.txt", *to, *args, cwd=where
    )


@pytest.mark.fault("loss.host")
def test_everything_comes_back_without_config_and_ledger(
    stocked: Home, empty_server: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "holdfast.toml").write_text("this is no TOML")  # nothing of the machine is read
    done = recovered(stocked, tmp_path, "--yes", server=empty_server)
    assert done.returncode == 0, done.stderr
    there = empty_server.conninfo.with_database(str(stocked.database.database))
    assert query(there, "SELECT count(*) FROM items") == [(1000,)]
    lines = done.stdout.splitlines()
    assert lines[1].split()[:3] == ["shop", "2", stocked.ids()[0]]
    assert "what was written in the" in done.stdout
    assert "1 table, 1,000 rows, 2 definitions: identical to the backup" in done.stdout
    assert re.search(r"(?m)^roles: \d+, as in the backup$", done.stdout)
    assert lines[-1].startswith("recovered shop in ")
    assert [path.name for path in tmp_path.iterdir()] == ["holdfast.toml"]


def test_nothing_is_restored_unasked(stocked: Home, empty_server: Cluster, tmp_path: Path) -> None:
    done = recovered(stocked, tmp_path, server=empty_server)
    assert done.returncode == 2
    assert "nothing is restored unasked" in done.stderr
    looked = recovered(stocked, tmp_path, "--dry-run", "--json", server=empty_server)
    assert looked.returncode == 0, looked.stderr
    facts = json.loads(looked.stdout)
    assert [row["id"] for row in facts["targets"][0]["backups"]] == stocked.ids()
    assert facts["plan"]["databases"][0]["action"] == "create"
    assert facts["restored"] is None
    assert query(
        empty_server.conninfo,
        f"SELECT count(*) FROM pg_database WHERE datname = '{stocked.database.database}'",
    ) == [(0,)]


@pytest.mark.parametrize(("answer", "code", "tables"), [("n", 130, 0), ("y", 0, 1)])
@pytest.mark.sampled(1)
def test_a_person_is_asked(
    stocked: Home, empty_server: Cluster, tmp_path: Path, answer: str, code: int, tables: int
) -> None:
    identity, to = stocked.folder / "identity.txt", empty_server.conninfo.argv_dsn()
    terminal = Terminal(argv("recover", stocked.store, "-i", identity, "--to", to), tmp_path)
    terminal.wait_for("Restore it?")
    terminal.answer(answer)
    assert terminal.end() == code, terminal.text
    found = f"SELECT count(*) FROM pg_database WHERE datname = '{stocked.database.database}'"
    assert query(empty_server.conninfo, found) == [(tables,)]


def test_an_older_backup_may_be_asked_for(stocked: Home, empty_server: Cluster, tmp_path: Path) -> None:
    older = stocked.ids()[1]
    done = recovered(stocked, tmp_path, "--backup", older, "--dry-run", server=empty_server)
    assert f"backup {older} of shop" in done.stdout, done.stderr
    missing = recovered(stocked, tmp_path, "--before", "2020-01-01", "--dry-run", server=empty_server)
    assert missing.returncode == 12


def test_a_damaged_backup_is_passed_over(stocked: Home, empty_server: Cluster, tmp_path: Path) -> None:
    store = tmp_path / "store"
    shutil.copytree(stocked.store, store)
    newest, older = stocked.ids()
    next((store / "shop" / newest).glob("*.dump.zst.age")).unlink()
    done = called(
        *("recover", store, "-i", stocked.folder / "identity.txt", "--dry-run"),
        *("--to", empty_server.conninfo.argv_dsn()),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "shop: 1 backup that is not whole" in done.stdout
    assert f"backup {older} of shop" in done.stdout


def test_it_says_whose_signature_it_would_need(stocked: Home, tmp_path: Path) -> None:
    named = (stocked.folder / "identity.txt").read_text()
    bare = tmp_path / "bare.txt"
    bare.write_text(
        "".join(line for line in named.splitlines(keepends=True) if "holdfast-signer" not in line)
    )
    bare.chmod(0o600)
    done = called("recover", stocked.store, "-i", bare, "--dry-run", cwd=tmp_path)
    assert done.returncode == 12
    assert "the identity file names no signer" in done.stderr
    (key,) = (line.split()[-1] for line in named.splitlines() if "holdfast-signer" in line)
    with_key = called(
        "recover", stocked.store, "-i", bare, "--signer", key, "--dry-run", "--backup", "1999", cwd=tmp_path
    )
    assert "no whole backup '1999'" in with_key.stderr


def test_an_empty_store_is_said_to_be_empty(stocked: Home, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    done = called("recover", "store", "-i", stocked.folder / "identity.txt", cwd=tmp_path)
    assert done.returncode == 12
    assert "no backup of a known signer" in done.stderr
