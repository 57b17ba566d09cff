"""The one home of child processes: argv lists, a group of their own, no shell, the exit status always checked.

The end of a stream is a promise of completeness: `stdout_of` ends normally only when the child exited 0, and `feed`
closes a child's input only when its source ended normally; on any error the child is killed first.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from holdfast.model.errors import SourceError
from holdfast.system.stop import Stop
from holdfast.system.tether import tether

READ_BYTES = 1024 * 1024
# pg_dump writes 4 or 8 KiB at a time, and to be woken for each costs more than to take them. In so short a time not even
# a fast one fills the pipe.
_FEW_BYTES = READ_BYTES // 8
_GATHERING = 0.001
STDERR_BYTES = 16 * 1024
_LINE_BYTES = 1000
_KILL_AFTER = 5.0

Line = Callable[[str], None]
Edit = Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A program to run. `env` is the child's whole environment; `name` is what messages call it."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    pass_fds: tuple[int, ...] = ()
    user: int | None = None
    group: int | None = None
    cwd: str | None = None

    @property
    def name(self) -> str:
        """The program's own name."""
        return os.path.basename(self.argv[0])  # noqa: PTH119 - a name, not a file


class ProcessError(SourceError):
    """A child that did not exit 0. `status` is its exit status (negative: the signal); `stderr` the end of it, long lines cut."""

    def __init__(self, command: Command, status: int, stderr: str) -> None:
        how = f"was killed by {_signal_name(-status)}" if status < 0 else f"exited with status {status}"
        last = f": {stderr.strip()}" if stderr.strip() else ""
        super().__init__(f"{command.name} {how}{last}")
        self.status = status
        self.stderr = stderr


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class _Tail:
    """Drains a stream in a thread and keeps the end of what `edit` leaves of it; gives each line to `on_line` as it comes.

    A long line is kept as its beginning: pg_dump quotes statements of 100 kB after the line that says what failed.
    """

    def __init__(self, stream: IO[bytes], on_line: Line | None = None, edit: Edit | None = None) -> None:
        self._stream = stream
        self._on_line = on_line
        self._edit = edit
        self._kept = bytearray()
        self._line = b""  # the last one, until it ends
        self._thread = threading.Thread(target=self._drain, name="stderr", daemon=True)
        self._thread.start()

    def _drain(self) -> None:
        while chunk := self._read():
            *lines, rest = (self._line + chunk).split(b"\n")
            self._line = rest[:STDERR_BYTES]
            for line in lines:
                self._take(line, b"\n")
        if self._line:
            self._take(self._line, b"")
            self._line = b""

    def _take(self, line: bytes, end: bytes) -> None:
        text = line.decode("utf-8", "replace")
        kept: bytes | None = line
        if self._edit is not None:
            edited = self._edit(text)
            kept = edited.encode("utf-8", "replace") if edited is not None else None
        if kept is not None:
            self._kept += _cut(kept) + end
            del self._kept[:-STDERR_BYTES]
        if self._on_line is not None:
            self._on_line(text)

    def _read(self) -> bytes:
        try:
            return self._stream.read(STDERR_BYTES)
        except (ValueError, OSError):  # closed under us after the child was killed
            return b""

    def text(self) -> str:
        """Wait for the end of the stream, unless somebody else keeps it open, and give what was kept."""
        self._thread.join(timeout=_KILL_AFTER)
        return (self._kept + _cut(self._line))[-STDERR_BYTES:].decode("utf-8", "replace")


def _cut(line: bytes) -> bytes:
    return line if len(line) <= _LINE_BYTES else line[:_LINE_BYTES] + " …".encode()


@contextlib.contextmanager
def _child(command: Command, stop: Stop, *, stdin: int, stdout: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a child that is dead and reaped when the `with` ends, however it ends."""
    stop.check()
    with tether() as line:
        try:
            process = subprocess.Popen(
                command.argv,
                env=dict(command.env),
                stdin=stdin,
                stdout=stdout,
                stderr=subprocess.PIPE,
                pass_fds=(*command.pass_fds, *line.fds),
                user=command.user,
                group=command.group,
                extra_groups=[] if command.user is not None else None,
                cwd=command.cwd,
                start_new_session=True,
                bufsize=0,
            )
        except OSError as error:
            raise SourceError(f"cannot start {command.argv[0]}: {error.strerror or error}") from error
        with process:
            try:
                line.tie(process.pid)
                _widen(process.stdin, process.stdout)
                with stop.calling(lambda: _kill(process)):
                    yield process
            finally:
                _kill(process)
                process.wait()


def _widen(*pipes: IO[bytes] | None) -> None:
    """Let pipes hold what is read at a time: on a busy machine every change of process is a wait for one's turn."""
    set_size = getattr(fcntl, "F_SETPIPE_SZ", None)  # Linux only
    if set_size is None:
        return
    for pipe in filter(None, pipes):
        with contextlib.suppress(OSError):  # the kernel's limits: the pipe stays as it is
            fcntl.fcntl(pipe, set_size, READ_BYTES)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the child's whole group; a child that already ended is left alone."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _finish(command: Command, process: subprocess.Popen[bytes], tail: _Tail, stop: Stop) -> None:
    status = process.wait()
    stop.check()
    stderr = tail.text()  # also after success: the last warnings have to reach `on_line`
    if status != 0:
        raise ProcessError(command, status, stderr)


def stdout_of(command: Command, stop: Stop, *, on_line: Line | None = None) -> Iterator[bytes]:
    """Run a program and give what it prints. Raise at the end unless it exited 0."""
    with _child(command, stop, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None  # noqa: S101, PT018 - both are pipes
        tail = _Tail(process.stderr, on_line)
        while chunk := process.stdout.read(READ_BYTES):
            yield chunk
            if len(chunk) < _FEW_BYTES:
                time.sleep(_GATHERING)
        _finish(command, process, tail, stop)


def feed(
    command: Command,
    chunks: Iterable[bytes],
    stop: Stop,
    *,
    stdout: int = subprocess.DEVNULL,
    on_line: Line | None = None,
    edit: Edit | None = None,
) -> None:
    """Run a program with `chunks` as its input and the file descriptor `stdout` as its output (default: nowhere).

    Raise unless it exited 0; of its stderr the error quotes what `edit` leaves of each line (None: nothing of it). All chunks
    are pulled even when the program stops reading early, so that a source that authenticates at its end has its say.
    When the source raises, the program is killed before it can take the end for a good one.
    """
    with _child(command, stop, stdin=subprocess.PIPE, stdout=stdout) as process:
        assert process.stdin is not None and process.stderr is not None  # noqa: S101, PT018 - both are pipes
        tail = _Tail(process.stderr, on_line, edit)
        reading = True
        for chunk in chunks:
            stop.check()
            if reading:
                reading = _write(process.stdin, chunk)
            if not reading and process.poll() not in (None, 0):
                break
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        _finish(command, process, tail, stop)


def _write(stream: IO[bytes], chunk: bytes) -> bool:
    view = memoryview(chunk)
    try:
        while view:
            view = view[stream.write(view) :]
    except BrokenPipeError:
        return False
    return True


def output_of(command: Command, stop: Stop, *, stdin: bytes = b"", seconds: float = 60) -> bytes:
    """Run a short program and give all it prints. Raise unless it exited 0 within `seconds`."""
    timer_error = SourceError(f"{command.name} did not end within {seconds:g} s")
    with stop.derived() as limit:
        timer = threading.Timer(seconds, limit.request, [timer_error])
        timer.start()
        try:
            with _child(command, limit, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
                out, err = process.communicate(stdin)
                limit.check()
                if process.returncode != 0:
                    raise ProcessError(
                        command, process.returncode, err[-STDERR_BYTES:].decode("utf-8", "replace")
                    )
                return out
        finally:
            timer.cancel()


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that `server` started. `exited` gives its exit status, or None while it runs."""

    pid: int
    exited: Callable[[], int | None]


@contextlib.contextmanager
def server(command: Command, log_path: Path, stop: Stop, *, seconds: float = 10) -> Iterator[Running]:
    """Run a server for the length of the `with`, its output appended to `log_path`.

    At the end, and as soon as a stop is requested, it gets SIGQUIT (PostgreSQL: immediate shutdown), and SIGKILL to
    its group when it still lives after `seconds`. Raise SourceError when it cannot be started.
    """
    stop.check()
    try:
        with log_path.open("ab") as log:
            process = subprocess.Popen(
                command.argv,
                env=dict(command.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                pass_fds=command.pass_fds,
                user=command.user,
                group=command.group,
                extra_groups=[] if command.user is not None else None,
                cwd=command.cwd,
                start_new_session=True,
            )
    except OSError as error:
        raise SourceError(f"cannot start {command.argv[0]}: {error.strerror or error}") from error
    try:
        with stop.calling(lambda: process.send_signal(signal.SIGQUIT)):
            yield Running(pid=process.pid, exited=process.poll)
    finally:
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
