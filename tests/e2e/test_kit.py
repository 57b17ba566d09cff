"""The recovery kit: what it says, what it keeps to itself, and that its commands do what they promise."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.home import Home, called
from support.postgres import clean_environment, query, running_cluster
from support.programs import make_stand_ins

SECRET = "AGE-SECRET-KEY-"


def section(text: str, title: str) -> list[str]:
    """Give the commands of a section: its lines that begin with four spaces."""
    body = re.split(r"\n\n[^\n]+\n-+\n", text.partition(f"\n{title}\n")[2])[0]
    return [line[4:] for line in body.splitlines() if line.startswith("    ")]


def test_it_says_where_which_keys_and_how_and_no_secret(stocked: Home) -> None:
    text = stocked.run("kit").stdout
    recipient = re.search(r"age1\w+", stocked.config.read_text())
    assert recipient is not None
    newest = stocked.ids()[0]
    for fact in (str(stocked.store), recipient[0], "on this host", newest, "Runbook: shop", "7. Watch"):
        assert fact in text
    assert "postgresql://postgres@NEW-HOST" in text
    assert SECRET not in text
    assert "password" not in text.replace("PGPASSWORD", "")


def test_the_runbook_has_the_hooks_and_the_checks_of_the_config(stocked: Home) -> None:
    config = stocked.folder / "hooks.toml"
    config.write_text(
        stocked.config.read_text()
        + '[targets.shop.hooks]\nstop_services = ["systemctl", "stop", "the shop"]\n'
        + '[[targets.shop.restore_test.checks]]\nname = "fresh"\nsql = "SELECT 1 > 0"\ndatabase = "db"\nequals = true\n'
    )
    done = called("kit", "-c", config, cwd=stocked.folder)
    assert done.returncode == 0, done.stderr
    runbook = done.stdout.partition("Runbook: shop")[2]
    assert "    systemctl stop 'the shop'\n" in runbook
    assert "No hook of the config does it" in runbook.partition("6. Resume")[2]
    assert "    psql -d db -c 'SELECT 1 > 0'\n" in runbook


def test_a_file_is_for_its_owner_only_and_is_not_written_over(stocked: Home, tmp_path: Path) -> None:
    page = tmp_path / "kit.html"
    stocked.run("kit", "-o", page)
    text = page.read_text()
    assert text.startswith("<!doctype html>")
    assert "http" not in re.sub(r"https?://\S*example\S*", "", text)  # it fetches nothing
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    refused = stocked.run("kit", "-o", page, code=2)
    assert " exists" in refused.stderr


def test_with_the_identity_it_is_all_that_is_needed(
    stocked: Home, second_cluster: Cluster, tmp_path: Path
) -> None:
    text = stocked.run("kit", "--with-identity").stdout
    assert SECRET in text
    written = [line for line in section(text, "2. Which keys") if line]
    subprocess.run(["/bin/bash", "-e"], input="\n".join(written), cwd=tmp_path, text=True, check=True)
    (tmp_path / "identity.txt").chmod(0o600)
    (command,) = section(text, "4. With Holdfast")
    words = shlex.split(command)
    words[words.index("--to") + 1] = second_cluster.conninfo.argv_dsn()
    done = called(*words[1:], "--dry-run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert stocked.ids()[0] in done.stdout


def test_a_writer_has_no_identity_to_write_down(stocked: Home) -> None:
    text = stocked.config.read_text()
    config = stocked.folder / "writer.toml"
    config.write_text("\n".join(line for line in text.splitlines() if "identity_file" not in line))
    done = called("kit", "--with-identity", "-c", config, cwd=stocked.folder)
    assert done.returncode == 23
    assert "NOT on this host" in called("kit", "-c", config, cwd=stocked.folder).stdout


def followed(stocked: Home, into: Cluster, folder: Path, path: str) -> None:
    """Follow section 5 to the letter, in bash, in an empty folder with the identity in it."""
    commands = section(stocked.run("kit").stdout, "5. Without Holdfast")
    typed = [line for line in commands if not line.startswith("minisign")]
    shutil.copy(stocked.folder / "identity.txt", folder)
    params = into.conninfo.params
    env = {
        **clean_environment(),
        "PATH": path,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "PGHOST": params["host"],
        "PGPORT": params["port"],
        "PGUSER": params["user"],
    }
    done = subprocess.run(
        ["/bin/bash", "-e"],
        input="\n".join(typed),
        env=env,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    there = into.conninfo.with_database(str(stocked.database.database))
    assert query(there, "SELECT count(*) FROM items") == [(1000,)]


@pytest.mark.fault("loss.host")
def test_its_commands_restore_without_holdfast(stocked: Home, tmp_path: Path) -> None:
    programs = make_stand_ins(tmp_path / "programs")
    folder = tmp_path / "empty"
    folder.mkdir()
    with running_cluster(tcp=False) as into:
        followed(
            stocked, into, folder, os.pathsep.join(map(str, (programs, into.bin_dir, os.environ["PATH"])))
        )


@pytest.mark.extended
def test_its_commands_restore_with_the_real_programs(stocked: Home, tmp_path: Path) -> None:
    for name in ("age", "zstd"):
        assert shutil.which(name), f"{name} is not installed: script/test --extended installs it"
    with running_cluster(tcp=False) as into:
        followed(stocked, into, tmp_path, os.pathsep.join(map(str, (into.bin_dir, os.environ["PATH"]))))
