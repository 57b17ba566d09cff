"""Prints commands as a user types them, runs exactly those, and shows what they print."""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.model.errors import Error
from holdfast.postgres.conninfo import base_environment
from holdfast.render import printing
from holdfast.system import proc
from holdfast.system.stop import Stop

_PATIENCE = 15.0
_LOOK = 0.05


class StepError(Error):
    """A command of the demo that failed. It said why, and the exit code is its own."""

    def __init__(self, typed: str, status: int) -> None:
        super().__init__(
            f"the demo failed: `{typed}` exited with status {status}", hint="The lines above say why."
        )
        self.exit_code = status if status > 0 else Error.exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """Where commands run: in `folder`, with nothing of the user's own settings for Holdfast or PostgreSQL.

    `programs` tells where some of them are.
    """

    folder: Path
    stop: Stop
    programs: Mapping[str, str] = field(default_factory=dict)

    def run(self, *words: str) -> tuple[str, ...]:
        """Print a command, run it, show and give the lines of its stdout. Raise StepError unless it exits 0.

        `holdfast` is the program that runs the demo.
        """
        typed = shlex.join(words)
        printing.line(f"   $ {typed}")
        command = self._command(words)
        said: list[str] = []
        told: list[str] = []  # on stderr; shown last, so that the order is always the same
        try:
            for line in _lines(proc.stdout_of(command, self.stop, on_line=told.append)):
                _show(line)
                said.append(line)
        except proc.ProcessError as error:
            raise StepError(typed, error.status) from error
        finally:
            for line in told:
                _show(line)
        return tuple(said)

    @contextmanager
    def background(self, *words: str) -> Iterator[None]:
        """Print a command and let it run until the `with` ends; then ask it to end, and show what it said.

        Raise StepError unless it exits 0.
        """
        typed = shlex.join(words)
        printing.line(f"   $ {typed} &")
        log = self.folder / "background.log"
        try:
            with proc.server(self._command(words), log, self.stop) as running:
                yield
                if running.exited() is None:
                    os.kill(running.pid, signal.SIGTERM)
                printing.line("   $ kill %1")
                status = _awaited(running)
        finally:
            for line in log.read_text("utf-8", "replace").splitlines():
                _show(line)
        if status:
            raise StepError(typed, status)

    def _command(self, words: tuple[str, ...]) -> proc.Command:
        name, *rest = words
        argv = (
            (sys.executable, "-m", *words) if name == "holdfast" else (self.programs.get(name, name), *rest)
        )
        return proc.Command(argv=argv, env=base_environment(), cwd=str(self.folder))


def _awaited(running: proc.Running) -> int:
    """Give the exit status, or -1 when there is none in time."""
    for _ in range(round(_PATIENCE / _LOOK)):
        if (status := running.exited()) is not None:
            return status
        time.sleep(_LOOK)
    return -1


def step(number: int, text: str) -> None:
    """Print the heading of a step."""
    printing.line()
    printing.line(f"{number}. {text}")


def note(text: str) -> None:
    """Print what is worth knowing within a step."""
    printing.line(f"   {text}")


def _show(text: str) -> None:
    printing.line(f"     {text}".rstrip())


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in lines)
    if rest:
        yield rest.decode("utf-8", "replace")
