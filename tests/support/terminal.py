"""A terminal with a person at it, who reads and answers."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path


class Terminal:
    """A program on a terminal of its own; `text` is what it showed so far."""

    def __init__(self, argv: Sequence[str | Path], folder: Path) -> None:
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, cwd=folder)
        os.close(slave)
        self.text = ""

    def wait_for(self, word: str | None) -> None:
        """Read until `word` was shown since the last answer; None: until the end."""
        seen = ""
        deadline = time.monotonic() + 20
        while word is None or word not in seen:
            ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"{word} did not come; so far {self.text!r}"
            try:
                more = os.read(self._master, 4096).decode("utf-8", "replace")
            except OSError:  # the other side has closed
                more = ""
            if not more:
                assert word is None, f"{word} did not come before the end: {self.text!r}"
                break
            seen += more
            self.text += more

    def answer(self, text: str) -> None:
        os.write(self._master, f"{text}\n".encode())

    def interrupt(self) -> int:
        """Interrupt it until it ends: Python may be between showing a prompt and reading the answer."""
        while self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):  # a second one would find Python on its way out
                self.process.wait(3)
        return self.end()

    def end(self) -> int:
        self.wait_for(None)
        os.close(self._master)
        return self.process.wait(timeout=20)
