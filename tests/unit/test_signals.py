"""Signals ask to stop, unless the process was started so that they are ignored."""

from __future__ import annotations

import subprocess
import sys

import pytest

SCRIPT = """
import os, signal
from holdfast.system import signals
from holdfast.system.stop import Stop
stop = Stop()
with signals.stopping(stop):
    os.kill(os.getpid(), signal.{name})
    print(stop.requested, getattr(stop.error, "exit_code", None))
print(signal.getsignal(signal.{name}) == signal.{after})
"""


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_requests_the_stop(name: str, code: int) -> None:
    after = "default_int_handler" if name == "SIGINT" else "SIG_DFL"
    told = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(name=name, after=after)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.split() == ["True", str(code), "True"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_a_signal_that_was_to_be_ignored_stays_ignored(name: str) -> None:
    """So does nohup begin a process, and a shell a job in the background."""
    script = f"import signal; signal.signal(signal.{name}, signal.SIG_IGN)\n" + SCRIPT
    told = subprocess.run(
        [sys.executable, "-c", script.format(name=name, after="SIG_IGN")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.stdout.split() == ["False", "None", "True"], told.stderr


def test_a_hangup_can_mean_something_else_than_the_end() -> None:
    """Also for a process that was begun with nohup: who asks for it wants it."""
    script = """
import os, signal
from holdfast.system import signals
from holdfast.system.stop import Stop
signal.signal(signal.SIGHUP, signal.SIG_IGN)
stop, heard = Stop(), []
with signals.stopping(stop, on_hangup=lambda: heard.append(1)):
    for _ in range(3):
        os.kill(os.getpid(), signal.SIGHUP)
print(len(heard), stop.requested, signal.getsignal(signal.SIGHUP) == signal.SIG_IGN)
"""
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["3", "False", "True"]


BEGINNING = """
import os, signal
from holdfast import app
from holdfast.cli import daemon
from holdfast.model.errors import ConfigError
def read(*_):
    os.kill(os.getpid(), signal.SIGHUP)
    raise ConfigError("read")
app.read_config = read
real, heard = signal.signal, []
signal.signal = lambda number, handler: (heard.append((number, handler)), real(number, handler))[1]
try:
    daemon.run()
except ConfigError as error:
    print(error)
print(heard[0] == (signal.SIGHUP, signal.SIG_IGN))
"""


def test_a_hangup_while_the_daemon_begins_does_not_end_it() -> None:
    """Whoever starts it and has it read its config again at once would else have no daemon."""
    told = subprocess.run([sys.executable, "-c", BEGINNING], capture_output=True, text=True, check=False)
    assert (told.returncode, told.stdout.split()) == (0, ["read", "True"]), told.stderr
