"""What goes where: facts to stdout, the rest to stderr, bars and colours to terminals only."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import select
import struct
import subprocess
import termios
from pathlib import Path

import pytest

from holdfast.postgres.scratch import Cluster
from support.home import Home
from support.postgres import execute
from support.restoring import drop
from support.world import argv, environment

ESCAPE = "\x1b"


def on_a_terminal(*args: str | Path, cwd: Path, typed: bytes = b"") -> tuple[int, str]:
    """Run a command on a terminal of 120 columns, where `typed` is typed; give its exit code and what was shown."""
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        process = subprocess.Popen(
            argv(*args),
            stdin=theirs if typed else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            cwd=cwd,
            env=environment(TERM="xterm-256color"),
        )
    finally:
        os.close(theirs)
    shown = bytearray()
    try:
        os.write(ours, typed)
        while select.select([ours], [], [], 60)[0]:
            try:
                data = os.read(ours, 65536)
            except OSError:  # EIO: nobody has the terminal any more
                break
            shown += data
    finally:
        os.close(ours)
        process.kill()
        code = process.wait()
    return code, shown.decode("utf-8", "replace")


@pytest.mark.extended
def test_a_terminal_shows_a_bar_with_bytes(home: Home) -> None:
    execute(
        home.database,
        "CREATE TABLE big AS SELECT g, repeat(md5(g::text), 8) AS t FROM generate_series(1, 60000) AS g",
    )
    code, shown = on_a_terminal("backup", "--config", home.config, cwd=home.folder)
    assert code == 0, shown
    assert ESCAPE in shown
    assert str(home.database.database) in shown
    assert re.search(r"[1-9][0-9.]*(/[0-9.]+)? (kB|MB|bytes)", shown)
    assert re.search(r"[0-9.]+ (kB|MB)/s", shown)
    assert "is complete" in shown


@pytest.mark.extended
def test_a_bar_names_the_table_that_is_being_restored(stocked: Home, second_cluster: Cluster) -> None:
    wish = (
        "--database",
        str(stocked.database.database),
        "--as",
        "shown",
        "--to",
        second_cluster.conninfo.argv_dsn(),
    )
    try:
        code, shown = on_a_terminal(
            "restore", "latest", *wish, "--jobs", "2", "--config", stocked.config, cwd=stocked.folder
        )
    finally:
        drop(second_cluster, "shown")
    assert code == 0, shown
    assert f"{stocked.database.database}: " in shown


def test_init_asks_on_a_terminal(tmp_path: Path) -> None:
    code, shown = on_a_terminal("init", cwd=tmp_path, typed=b"postgresql://me@db/postgres\n/srv/backups\n\n")
    assert code == 0, shown
    assert "PostgreSQL server" in shown
    text = (tmp_path / "holdfast.toml").read_text()
    assert 'url = "postgresql://me@db/postgres"' in text
    assert 'url = "/srv/backups"' in text


def test_a_question_without_an_answer_ends_the_command_and_is_no_bug(tmp_path: Path) -> None:
    code, shown = on_a_terminal("init", cwd=tmp_path, typed=b"\x04")
    assert code == 130, shown
    assert "internal" not in shown
    assert not (tmp_path / "holdfast.toml").exists()


@pytest.mark.extended
def test_a_quiet_terminal_stays_empty(home: Home) -> None:
    code, shown = on_a_terminal("backup", "--quiet", "--config", home.config, cwd=home.folder)
    assert (code, shown) == (0, "")


@pytest.mark.extended
def test_elsewhere_there_is_neither_bar_nor_colour(home: Home) -> None:
    taken = home.spawn("backup")
    listed = home.run("list")
    failed = home.run("show", "1999", code=12)
    for done in (taken, listed, failed):
        assert ESCAPE not in done.stdout + done.stderr
    assert failed.stdout == ""
    assert all(re.match(r"\S+Z \[info +\] ", line) for line in taken.stderr.splitlines())


def test_with_json_stdout_holds_json_alone_even_when_there_is_something_to_warn_of(home: Home) -> None:
    home.run("backup", "--quiet")
    stray = home.store / "shop/20260101T000000Z-abcd"
    stray.mkdir()
    (stray / "app.dump.zst.age").write_bytes(b"left over")
    done = home.run("catalog", "rebuild", "--json")
    assert json.loads(done.stdout)["problems"][0]["where"].startswith("shop/20260101T000000Z-abcd")
    failed = home.run("verify", "1999", "--json", code=12)
    assert failed.stdout == ""
    assert "1999" in failed.stderr


@pytest.mark.extended
def test_a_reader_that_goes_away_is_no_crash(stocked: Home) -> None:
    process = subprocess.Popen(
        argv("list", "--json", "--config", stocked.config),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
    assert b"Traceback" not in said
    assert b"Exception" not in said
