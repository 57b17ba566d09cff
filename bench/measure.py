"""Runs a program and measures it: seconds, CPU seconds and memory of all its processes, bytes that it left behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from holdfast.model.retention import Candidate, Policy, judge

_TICK = 0.05
_LOOK = 0.002


class FailedError(Exception):
    """A contender did not exit 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run: wall seconds, CPU seconds of the client's processes, peak resident bytes of them together."""

    seconds: float
    cpu: float
    memory: int


def run(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> Measured:
    """Run a program to its end. Raise FailedError with the end of its stderr when it fails."""
    began = time.perf_counter()
    process = _start(argv, cwd, env)
    with _peak(process.pid) as peak:
        stderr = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.stderr:
        process.stderr.close()
    if process.returncode:
        raise FailedError(
            f"{' '.join(argv)}: status {process.returncode}: {stderr[-2000:].decode(errors='replace')}"
        )
    return Measured(seconds=seconds, cpu=usage.ru_utime + usage.ru_stime, memory=peak[0])


def seconds_to_judge(backups: int) -> float:
    """Judge backups of three years, one of fifty failed, by all rules at once; give the seconds of CPU."""
    now = datetime(2026, 11, 22, tzinfo=UTC)
    many = [
        Candidate(id=f"{number:06}", at=now - timedelta(minutes=17 * number), good=number % 50 > 0)
        for number in range(backups)
    ]
    policy = Policy(keep_last=10, hourly=48, within=timedelta(days=3), zone=ZoneInfo("Europe/Berlin"))
    began = time.process_time()
    judge(many, policy, now)
    return time.process_time() - began


def seconds_to_first_byte(argv: Sequence[str], store: Path, *, cwd: Path, env: Mapping[str, str]) -> float:
    """Run a backup, and tell after how many seconds the first file with anything in it lay in the store."""
    began = time.perf_counter()
    process = _start(argv, cwd, env)
    seen = None
    while process.poll() is None:
        if seen is None and stored_bytes(store):
            seen = time.perf_counter() - began
        time.sleep(_LOOK)
    with process:
        stderr = process.stderr.read() if process.stderr else b""
    if process.returncode or seen is None:
        raise FailedError(f"{' '.join(argv)}: {stderr[-2000:].decode(errors='replace')}")
    return seen


def stored_bytes(path: Path) -> int:
    """Add up the sizes of a file, or of all files in a directory."""
    total = 0
    for each in (path, *path.rglob("*")):
        with contextlib.suppress(FileNotFoundError):
            total += each.stat().st_size if each.is_file() else 0
    return total


def _start(argv: Sequence[str], cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        argv,
        cwd=cwd,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


@contextlib.contextmanager
def _peak(pid: int) -> Iterator[list[int]]:
    """Watch how much memory a process and its descendants take together; the first item is the most so far."""
    most, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(_TICK):
            # One that was just forked still is its parent, in memory as in name: it counts once.
            most[0] = max(most[0], sum({_command(each): _resident(each) for each in _family(pid)}.values()))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield most
    finally:
        done.set()
        thread.join()


def _family(pid: int) -> list[int]:
    found = [pid]
    for each in found:
        for path in Path(f"/proc/{each}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += map(int, path.read_text().split())
    return found


def _command(pid: int) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


def _resident(pid: int) -> int:
    with contextlib.suppress(OSError, IndexError, ValueError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0
