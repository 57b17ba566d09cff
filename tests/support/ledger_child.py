"""A process of its own that uses a ledger: `python ledger_child.py ACTION PATH`. Prints what came of it, and ends as the command does."""

from __future__ import annotations

import itertools
import os
import sqlite3
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from holdfast.ledger import Ledger
from holdfast.model.errors import Error
from holdfast.model.run import Run

NOW = datetime(2026, 11, 22, 2, 0, 0, tzinfo=UTC)
NOBODY = 65534


def hold(path: Path) -> None:
    """Hold the write lock until stdin ends."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    print("held", flush=True)
    sys.stdin.read()


def write(path: Path) -> None:
    """Write for ever, saying the number of each run once it is committed."""
    with Ledger.open(path, now=NOW) as ledger:
        for number in itertools.count(1):
            begun = Run(
                job="backup",
                target="shop",
                started_at=NOW,
                bytes_done=number,
                host="testhost",
                pid=os.getpid(),
            )
            run = ledger.begin(begun)
            ledger.finish(run.id, status="succeeded", now=NOW)
            print(number, flush=True)


def fill(path: Path) -> None:
    """Write until it fails, then say whether a small read still works."""
    with Ledger.open(path, now=NOW) as ledger:
        try:
            for number in itertools.count(1):
                ledger.meta_set(f"key {number}", "x" * 4096)
        except Error:
            print(ledger.meta_get("key 1") == "x" * 4096)
            raise


def unprivileged(path: Path) -> None:
    """Open and write as a user who may read only."""
    with tempfile.TemporaryDirectory() as folder, Ledger.open(Path(folder) / "warm up", now=NOW):
        pass  # loads all modules and migrations while the interpreter's own files can be read
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
    touch(path)


def touch(path: Path) -> None:
    """Open and write once."""
    with Ledger.open(path, now=NOW) as ledger:
        ledger.meta_set("touched", "yes")
        print(ledger.opened)


if __name__ == "__main__":
    actions = {"hold": hold, "write": write, "fill": fill, "unprivileged": unprivileged, "touch": touch}
    try:
        actions[sys.argv[1]](Path(sys.argv[2]))
    except Error as error:
        print(f"{error.code}: {error.message} | {error.hint}", file=sys.stderr)
        sys.exit(error.exit_code)
