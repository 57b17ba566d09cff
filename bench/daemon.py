"""Measures what the daemon costs while it does nothing: how soon it is ready, its memory, its processor time, its writes.

Nothing is asserted, except that it becomes ready: this prints, people judge.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench import report
from bench.contenders import HOLDFAST
from holdfast import __version__
from holdfast.model.errors import SourceError

_PATIENCE = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """What a process has had so far: seconds of a core, bytes of memory, bytes written to disk."""

    cpu: float
    memory: int
    written: int


def main(argv: Sequence[str]) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(prog="script/bench daemon", description=__doc__)
    parser.add_argument("--seconds", type=float, default=120, help="how long to look at it (default: 120)")
    parser.add_argument("--targets", type=int, nargs="+", default=[1, 200], help="how many (default: 1 200)")
    options = parser.parse_args(argv)
    machine = report.machine({"Holdfast": __version__})
    print(f"{machine}.\n\n| targets | ready s | CPU until then s | memory MB | idle CPU % | written kB/min |")
    print("|--:|--:|--:|--:|--:|--:|")
    for count in options.targets:
        print(_row(count, options.seconds), flush=True)


def _row(count: int, seconds: float) -> str:
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        began = time.monotonic()
        with _daemon(Path(folder), count) as (process, ready):
            wait, at_start = ready - began, _spent(process.pid)
            time.sleep(2)  # the first look at everything
            before = _spent(process.pid)
            time.sleep(seconds)
            if process.poll() is not None:
                raise SourceError("the daemon ended by itself")
            after = _spent(process.pid)
    idle = 100 * (after.cpu - before.cpu) / seconds
    written = (after.written - before.written) / 1000 * 60 / seconds
    return f"| {count} | {wait:.2f} | {at_start.cpu:.2f} | {after.memory / 1e6:.0f} | {idle:.2f} | {written:.0f} |"


@contextmanager
def _daemon(folder: Path, count: int) -> Iterator[tuple[subprocess.Popen[bytes], float]]:
    """Run a daemon with that many targets, none of which is due; give it and when it was ready."""
    targets = "".join(f'[targets.t{n}]\nurl = "host=db{n}"\n' for n in range(count))
    (folder / "holdfast.toml").write_text(
        '[daemon]\nstate_dir = "state"\nlisten = "127.0.0.1:0"\n[encryption]\nenabled = false\n'
        f'[stores.disk]\nurl = "store"\n[defaults]\nschedule = "0 0 29 2 *"\n{targets}'
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(folder / "notify"))
        listening.settimeout(_PATIENCE)
        kept = {
            name: os.environ[name] for name in ("PATH", "HOME", "LANG", "PYTHONPATH") if name in os.environ
        }
        with subprocess.Popen(
            (*HOLDFAST, "run", "--quiet"), cwd=folder, env={**kept, "NOTIFY_SOCKET": str(folder / "notify")}
        ) as process:
            try:
                while b"READY=1" not in listening.recv(4096):
                    pass
                yield process, time.monotonic()
            finally:
                process.send_signal(signal.SIGTERM)


def _spent(process: int) -> Spent:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    written = Path(f"/proc/{process}/io").read_text().partition("write_bytes: ")[2].split()[0]
    return Spent(
        cpu=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        memory=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        written=int(written),
    )


if __name__ == "__main__":
    main(sys.argv[1:])
