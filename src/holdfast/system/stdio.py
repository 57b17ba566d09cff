"""Sees to the three standard streams where they were closed before we began, or take nothing any more."""

from __future__ import annotations

import os
import sys


def hold() -> None:
    """Open what was closed before we began, at /dev/null; stdout alone stays None, for who has to know.

    The next file that is opened would get its number: what a library or a child says on stderr would go into an object
    or the ledger, and a file has no `isatty`.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: those below are open
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - as long as the process


def leave() -> None:
    """Give up the streams that take nothing any more: the interpreter would try them again at the end, and exit with 120."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            setattr(sys, name, None)
