"""One process holds a lock; the kernel lets go when it dies."""

from __future__ import annotations

import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from holdfast.model.errors import BusyError, LedgerError
from holdfast.system.lock import exclusive

HOLDER = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(handle, fcntl.LOCK_EX)
os.pwrite(handle, b"pid 4711 on db1", 0)
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "locks" / "shop.lock"
    with exclusive(path, what="target shop", holder="run 7"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        with (
            pytest.raises(BusyError, match=r"^target shop is locked by run 7$"),
            exclusive(path, what="target shop", holder="run 8"),
        ):
            pytest.fail("two held the lock")


def test_who_may_not_wait_is_told_what_else_to_do(tmp_path: Path) -> None:
    path = tmp_path / "daemon.lock"
    with (
        exclusive(path, what="it", holder="a daemon"),
        pytest.raises(BusyError) as caught,
        exclusive(path, what="it", holder="b", hint="End that one first."),
    ):
        pytest.fail("two held the lock")
    assert caught.value.hint == "End that one first."


def test_a_lock_is_free_again_after_use_and_after_an_error(tmp_path: Path) -> None:
    path = tmp_path / "shop.lock"
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), exclusive(path, what="target shop", holder="run 7"):
            _ = 1 / 0
    assert path.read_bytes() == b""


@pytest.mark.fault("lock.stale")
def test_a_dead_process_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "shop.lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(BusyError, match="locked by pid 4711 on db1"),
            exclusive(path, what="target shop", holder="us"),
        ):
            pytest.fail("two held the lock")
        other.kill()
        other.wait()
        with exclusive(path, what="target shop", holder="us"):
            assert path.read_text() == "us"


def test_a_child_does_not_inherit_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "shop.lock"
    with exclusive(path, what="target shop", holder="us"):
        child = subprocess.Popen(["/bin/sleep", "30"], close_fds=False)
    try:
        with exclusive(path, what="target shop", holder="us again"):
            pass
    finally:
        child.kill()
        child.wait()


def test_who_waits_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    path = tmp_path / "shop.lock"
    release = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with exclusive(path, what="target shop", holder="first"):
            held.set()
            release.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(10)
    threading.Timer(0.2, release.set).start()
    with exclusive(path, what="target shop", holder="second", wait=10):
        assert release.is_set()
    thread.join()


def test_waiting_ends_in_time(tmp_path: Path) -> None:
    path = tmp_path / "shop.lock"
    with exclusive(path, what="target shop", holder="first"):
        begun = time.monotonic()
        with pytest.raises(BusyError), exclusive(path, what="target shop", holder="second", wait=0.2):
            pytest.fail("two held the lock")
        assert 0.2 <= time.monotonic() - begun < 5


def test_a_lock_file_that_cannot_be_made_is_said_with_a_hint(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(LedgerError, match="cannot use the lock file") as caught,
        exclusive(tmp_path / "file" / "shop.lock", what="target shop", holder="us"),
    ):
        pytest.fail("there is no such place")
    assert "state_dir" in (caught.value.hint or "")


@pytest.mark.fault("full.state")
def test_a_disk_that_takes_nothing_is_said_with_a_hint(tmp_path: Path) -> None:
    path = tmp_path / "shop.lock"
    path.symlink_to("/dev/full")  # a file that opens and locks like any other
    with (
        pytest.raises(LedgerError, match="cannot use the lock file"),
        exclusive(path, what="target shop", holder="us"),
    ):
        pytest.fail("nothing can be written there")
