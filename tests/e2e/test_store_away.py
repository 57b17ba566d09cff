"""A store that cannot be reached keeps nobody waiting who was told to end."""

from __future__ import annotations

import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.cli import backup
from support.home import called
from support.world import argv, environment, write_config

AWAY = """type = "s3"
bucket = "backups"
endpoint_url = "http://127.0.0.1:1"
path_style = true
region = "us-east-1"
access_key_id = "AKIDTEST"
secret_access_key = "of-nothing"
"""


@pytest.mark.extended
def test_a_command_that_waits_for_a_store_ends_when_it_is_told_to(tmp_path: Path) -> None:
    config = write_config(tmp_path, "postgresql://nobody@127.0.0.1:1/", stores={"cloud": AWAY})
    process = subprocess.Popen(
        argv("list", "-c", config),
        env=environment(),
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "state" / "ledger.sqlite").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)  # it tries again now, for a minute
    assert process.poll() is None
    process.terminate()
    _, said = process.communicate(timeout=10)
    assert process.returncode == 128 + signal.SIGTERM
    assert "cancelled by SIGTERM" in said


@pytest.fixture
def silent() -> Iterator[str]:
    """Give the URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.fault("store.away")
@pytest.mark.parametrize("command", ["list", "status"])
def test_who_asks_what_is_known_does_not_wait_long_for_stores_that_are_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, silent: str, command: str
) -> None:
    monkeypatch.setattr(backup, "SECONDS_FOR_STORES", 1.0)
    stores = {
        "disk": 'url = "store"',
        "cloud": AWAY,
        "fog": AWAY.replace("http://127.0.0.1:1", silent),
    }
    config = write_config(tmp_path, "postgresql://nobody@127.0.0.1:1/", stores=stores)
    began = time.monotonic()
    done = called(command, "-c", config, cwd=tmp_path)
    assert time.monotonic() - began < 5
    assert done.returncode == (4 if command == "status" else 0)
    for where in ("127.0.0.1:1", silent.removeprefix("http://")):
        assert f"s3://backups at {where}" in done.stderr
