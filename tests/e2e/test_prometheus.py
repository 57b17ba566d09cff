"""A real Prometheus scrapes a real daemon: the dashboard's questions have answers, and a broken backup reaches a webhook."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from holdfast.metrics import collector
from support.daemon import daemon
from support.home import Home
from support.prometheus import SECONDS, alertmanager, prometheus
from support.receivers import http_receiver

pytestmark = pytest.mark.extended

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus/holdfast.rules.yml"
MAY_BE_EMPTY = ("increase(", "> 0", "> -Inf", "provider_backup")  # nothing failed or is locked, no platform


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def expressions() -> Iterator[tuple[str, str]]:
    """The panels' titles and expressions, with the variables filled in as Grafana does."""
    dashboard = json.loads((DEPLOY / "grafana/holdfast.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            text = target["expr"].replace("$instance", ".*").replace('target="$target"', 'target="shop"')
            yield panel["title"], text.replace("$target", ".*")


def served(said: str) -> str:
    found = re.search(r"metrics are served\s+host=(\S+) port=(\d+)", said)
    assert found, said
    return f"{found[1]}:{found[2]}"


def with_schedule(home: Home, *keys: str) -> None:
    text = home.config.read_text()
    lines = "".join(f"{key}\n" for key in keys)
    home.config.write_text(text.replace("[targets.shop]\n", f"[targets.shop]\n{lines}"))


@pytest.mark.parametrize("honor_labels", [False, True])
def test_every_question_of_the_dashboard_has_an_answer(
    home: Home, tmp_path: Path, *, honor_labels: bool
) -> None:
    with_schedule(home, 'every = "1h"')
    for _ in range(6):
        home.run("backup")
    with (
        daemon(home.config) as running,
        prometheus(tmp_path, served(running.said()), RULES, honor_labels=honor_labels) as server,
    ):
        until(lambda: server.ask("holdfast_build_info"))
        until(lambda: server.ask("holdfast_store_up == 1"))
        empty = [
            (title, expression)
            for title, expression in expressions()
            if not server.ask(expression) and not any(word in expression for word in MAY_BE_EMPTY)
        ]
        assert empty == []
        names = {
            series["metric"]["__name__"] for series in server.ask('{__name__=~"holdfast_.*|process_.*"}')
        }
        missing = {family.name for family in collector.FAMILIES} - names
        assert {name for name in missing if "provider_backup" not in name} == {
            "holdfast_certificate_expiry_timestamp_seconds",
            "holdfast_notifications_total",
            "holdfast_store_lock_min_remaining_seconds",
        }
        [limit] = [text for title, text in expressions() if title == "Age against its limit"]
        [age] = server.ask(limit)
        assert 0 <= float(age["value"][1]) < 0.5
        assert server.alerts() == set()
        running.end()


@pytest.mark.fault("silence")
def test_a_broken_backup_reaches_the_webhook(home: Home, tmp_path: Path) -> None:
    with_schedule(home, 'pg_dump_options = ["--role=nobody-there"]')
    with (
        http_receiver() as hook,
        alertmanager(tmp_path, hook.url) as manager,
        daemon(home.config) as running,
        prometheus(tmp_path, served(running.said()), RULES, alertmanager=manager) as server,
    ):
        for _ in range(2):
            home.run("backup", code=20)
        until(lambda: "HoldfastJobFailing" in server.alerts())
        told: dict[str, Any] = json.loads(hook.next(30).body)
        assert told["status"] == "firing"
        [alert] = told["alerts"]
        assert alert["labels"] | {"alertname": "HoldfastJobFailing", "target": "shop"} == alert["labels"]
        assert alert["annotations"]["summary"] == "backup of shop failed 2 times in a row"
        running.end()
