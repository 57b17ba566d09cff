"""Looks at what other processes do, and waits for it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path


def working_in(folder: Path) -> list[str]:
    """The command lines of the processes that name a folder: servers, and what works with them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it has just ended
            continue
        if str(folder) in line and int(path.parent.name) != os.getpid():
            found.append(line)
    return found


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
