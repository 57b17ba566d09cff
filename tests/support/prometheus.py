"""A real Prometheus, and a real Alertmanager, on loopback for the length of a `with`."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 60.0
_CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: holdfast
    honor_labels: {honor}
    static_configs: [{{targets: ["{target}"]}}]
alerting:
  alertmanagers:
    - static_configs: [{{targets: [{alertmanager}]}}]
"""
_ALERTMANAGER = """
route: {{receiver: hook, group_by: [alertname, target], group_wait: 1s, group_interval: 1s}}
receivers:
  - name: hook
    webhook_configs: [{{url: "{url}"}}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prometheus:
    """A running server; `url` without a path."""

    url: str

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Give the series of an instant query; an expression that is wrong is an AssertionError."""
        question = urllib.parse.urlencode({"query": expression})
        return list(self._get(f"/api/v1/query?{question}")["result"])

    def alerts(self) -> set[str]:
        """The names of the alerts that fire."""
        found = self._get("/api/v1/alerts")["alerts"]
        return {alert["labels"]["alertname"] for alert in found if alert["state"] == "firing"}

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:  # noqa: S310 - our own server
                return dict(json.load(answer)["data"])
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from error


@contextmanager
def prometheus(
    folder: Path, target: str, rules: Path, *, alertmanager: str | None = None, honor_labels: bool = False
) -> Iterator[Prometheus]:
    """Run a Prometheus that scrapes `target` (host:port) every second."""
    [port] = free_ports(1)
    config = folder / "prometheus.yml"
    config.write_text(
        _CONFIG.format(
            rules=rules,
            target=target,
            honor=str(honor_labels).lower(),
            alertmanager="" if alertmanager is None else f'"{alertmanager}"',
        )
    )
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with _running("prometheus", arguments, folder, f"http://127.0.0.1:{port}/-/ready"):
        yield Prometheus(url=f"http://127.0.0.1:{port}")


@contextmanager
def alertmanager(folder: Path, webhook: str) -> Iterator[str]:
    """Run an Alertmanager that calls a webhook; give its host and port."""
    [port] = free_ports(1)
    config = folder / "alertmanager.yml"
    config.write_text(_ALERTMANAGER.format(url=webhook))
    arguments = [
        f"--config.file={config}",
        f"--storage.path={folder / 'alerts'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with _running("prometheus-alertmanager", arguments, folder, f"http://127.0.0.1:{port}/-/ready"):
        yield f"127.0.0.1:{port}"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at now."""
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in held]


@contextmanager
def _running(program: str, arguments: Sequence[str], folder: Path, ready: str) -> Iterator[None]:
    path = shutil.which(program)
    assert path, f"the extended suite needs {program} (Debian's packages prometheus, prometheus-alertmanager)"
    log = folder / f"{program}.log"
    with log.open("w") as out, subprocess.Popen([path, *arguments], stdout=out, stderr=out) as process:
        try:
            deadline = time.monotonic() + SECONDS
            while not _answers(ready):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            yield
        finally:
            process.kill()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):  # noqa: S310 - our own server
            return True
    except OSError:
        return False
