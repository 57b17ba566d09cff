"""Starts the daemon of the demo, waits until it has taken a backup by itself, shows its metrics, and ends it."""

from __future__ import annotations

import http.client
import re
import socket

from holdfast.demo.shell import Shell, note
from holdfast.model.errors import Error
from holdfast.system.stop import Stop

_SECONDS = 60
_LOOK = 0.2
_TAKEN = re.compile(r'^holdfast_runs_total\{.*job="backup".*result="succeeded".*\} (\d+)', re.MULTILINE)
_SHOWN = re.compile(
    r"^(holdfast_backup_(?:last_success_timestamp_seconds|age_seconds|last_size_bytes|size_anomaly)|holdfast_store_up)\{"
)


def watch_the_daemon(shell: Shell) -> None:
    """Let the daemon run until a scheduled backup is there. Raise Error when none comes."""
    port = _free_port()
    settings = (f"daemon.listen=127.0.0.1:{port}", "targets.shop.every=2s")
    with shell.background("holdfast", "run", *(word for each in settings for word in ("--set", each))):
        before = _taken(_metrics(port, shell.stop))
        for _ in range(round(_SECONDS / _LOOK)):
            shell.stop.wait(_LOOK)
            shell.stop.check()
            said = _metrics(port, shell.stop)
            if _taken(said) > before:
                break
        else:
            raise Error(f"the daemon took no backup within {_SECONDS} s", hint="The lines above say why.")
        note(f"http://127.0.0.1:{port}/metrics says, among much else:")
        for line in filter(_SHOWN.match, said.splitlines()):
            note(f"  {line}")


def _taken(metrics: str) -> int:
    return sum(int(count) for count in _TAKEN.findall(metrics))


def _metrics(port: int, stop: Stop) -> str:
    """Ask the daemon, which may be about to start."""
    for _ in range(round(_SECONDS / _LOOK)):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            if answer.status == http.HTTPStatus.OK:
                return answer.read().decode()
        except ConnectionError:
            pass
        finally:
            connection.close()
        stop.wait(_LOOK)
        stop.check()
    raise Error("the daemon does not answer", hint="The lines above say why.")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
