"""A store that cannot be reached keeps nobody waiting who was told to end."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

from support.world import argv, environment, write_config

AWAY = """type = "s3"
bucket = "backups"
endpoint_url = "http://127.0.0.1:1"
path_style = true
region = "us-east-1"
access_key_id = "AKIDTEST"
secret_access_key = "of-nothing"
"""


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
