"""Asks whoever sits at the terminal, and gives up at once when the process is told to end."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from holdfast.system.stop import Stop

_LOOK = 0.2  # seconds between two looks at the stop
_YES, _NO = frozenset({"y", "yes"}), frozenset({"", "n", "no"})


def somebody_is_there() -> bool:
    """Whether a terminal is there to ask at."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def answer(question: str, stop: Stop) -> str:
    """Ask, and give the answer without the blanks around it; raise the stop's error when one is requested meanwhile.

    Python goes on waiting for a line after a signal whose handler only took note of it; so we look at both. Raise Abort where
    nobody is there any more.
    """
    typer.echo(f"{question} ", nl=False)
    sys.stdout.flush()
    terminal = sys.stdin.fileno()
    while not select.select([terminal], [], [], _LOOK)[0]:
        stop.check()
    said = os.read(terminal, 4096)  # a terminal gives one line at a time
    stop.check()
    if not said:
        raise typer.Abort
    return said.decode("utf-8", "replace").strip()


def agreed(question: str, stop: Stop) -> bool:
    """Ask a question until it is answered with y or n; an empty answer is a no."""
    while True:
        said = answer(f"{question} [y/N]:", stop).lower()
        if said in _YES or said in _NO:
            return said in _YES
        typer.echo("   y or n?")
