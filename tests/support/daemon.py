"""The real daemon as a process of its own, with somebody at the other end of systemd's socket."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.ledger.ledger import Ledger
from holdfast.model.run import Job, Run, Status
from holdfast.system.clock import SystemClock
from support.world import argv, environment

SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Daemon:
    """A running daemon. `told` is what it told systemd so far, one text a message."""

    process: subprocess.Popen[str]
    log: Path
    socket: socket.socket
    told: list[str] = field(default_factory=list)

    def wait_for(self, word: str) -> None:
        """Wait until it tells systemd something with that word in it, after what was waited for before."""
        self.told.clear()
        deadline = time.monotonic() + SECONDS
        while not any(word in text for text in self.told):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            try:
                self.told.append(self.socket.recv(4096).decode())
            except TimeoutError:
                continue

    def said(self) -> str:
        """Everything on its stderr so far."""
        return self.log.read_text()

    def end(self, number: signal.Signals = signal.SIGTERM, code: int = 0) -> float:
        """Send the signal; it has to end with this code. Give how many seconds that took."""
        began = time.monotonic()
        self.process.send_signal(number)
        assert self.process.wait(SECONDS) == code, self.said()
        return time.monotonic() - began


@contextmanager
def daemon(
    config: Path, *args: str, ready: bool = True, prefix: Sequence[str] = (), **env: str
) -> Iterator[Daemon]:
    """Run the daemon with a config for the length of the `with`; it is ready when this gives it.

    `prefix` is the start of an argv that becomes the daemon.
    """
    log = config.with_name("daemon.log")
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening,
    ):
        listening.bind(f"{folder}/notify")
        listening.settimeout(0.1)
        with (
            log.open("a") as file,
            subprocess.Popen(
                [*prefix, *argv("run", "--config", config, *args)],
                env=environment(
                    **{"HOLDFAST_DAEMON__LISTEN": "127.0.0.1:0", "NOTIFY_SOCKET": f"{folder}/notify"} | env
                ),
                cwd=config.parent,
                stderr=file,
                text=True,
            ) as process,
        ):
            made = Daemon(process=process, log=log, socket=listening)
            try:
                if ready:
                    made.wait_for("READY=1")
                yield made
            finally:
                process.kill()


def all_runs(state: Path, job: Job = "backup", status: Status | None = None) -> list[Run]:
    """The runs in the ledger of a state directory, the newest first."""
    with Ledger.open(state / "ledger.sqlite", now=SystemClock().now()) as ledger:
        return ledger.runs(None, job, status, limit=-1)


def wait_until(condition: Callable[[], object], running: Daemon | None = None) -> None:
    """Wait until something is the case, while the daemon lives."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        said = running.said() if running is not None else ""
        assert time.monotonic() < deadline, said
        assert running is None or running.process.poll() is None, said
        time.sleep(0.05)


def resident_bytes(process: int) -> int:
    """How much memory a process holds now."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(process: int) -> float:
    """How much of a core's time a process has had."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
