"""A child ends with us, also when we are killed."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from holdfast.system.tether import tether

PARENT = """
import sys, time
from holdfast.system.proc import Command, feed
from holdfast.system.stop import Stop
feed(Command(argv=("/bin/sh", "-c", sys.argv[1])), iter(lambda: time.sleep(0.1) or b"", None), Stop())
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child")


def test_the_whole_group_of_a_child_ends_when_we_are_killed(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    child = f"sleep 300 & echo $! $$ > {pids}.new; mv {pids}.new {pids}; wait"
    with subprocess.Popen([sys.executable, "-c", PARENT, child]) as parent:
        try:
            _until(pids.exists)
            running = [int(word) for word in pids.read_text().split()]
            assert all(map(_runs, running))
        finally:
            parent.send_signal(signal.SIGKILL)
    _until(lambda: not any(map(_runs, running)))


def test_a_child_that_ended_takes_its_descriptors_along() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with (
            tether() as line,
            subprocess.Popen(["/bin/true"], pass_fds=line.fds, start_new_session=True) as child,
        ):
            line.tie(child.pid)
    with tether():  # nothing was started
        pass
    assert set(Path("/proc/self/fd").iterdir()) == before


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _until(holds: object) -> None:
    assert callable(holds)
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)
