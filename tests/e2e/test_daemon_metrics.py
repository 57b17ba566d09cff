"""The daemon answers scrapes as a user sets it up: at its address, with TLS and a login, through a reload."""

from __future__ import annotations

import base64
import re
import signal
import socket
import ssl
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime

import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from holdfast.ledger import facts
from holdfast.model.anomaly import LEAST
from support import certificates
from support.daemon import Daemon, daemon, wait_until
from support.home import Home
from support.postgres import execute


def address(running: Daemon) -> str:
    """Where it says that it answers."""
    found = re.search(r"metrics are served\s+host=(\S+) port=(\d+)", running.said())
    assert found, running.said()
    return f"{found[1]}:{found[2]}"


def ask(url: str, *, context: ssl.SSLContext | None = None, login: str | None = None) -> str:
    request = urllib.request.Request(url)  # noqa: S310 - our own server
    if login is not None:
        request.add_header("Authorization", f"Basic {base64.b64encode(login.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:  # noqa: S310 - as above
        return str(answer.read().decode())


def value(text: str, name: str, **labels: str) -> float:
    found = [
        sample.value
        for family in parsed(text)
        for sample in family.samples
        if sample.name == name and sample.labels.items() >= labels.items()
    ]
    assert len(found) == 1, (name, labels, found)
    return float(found[0])


def daemon_keys(home: Home, *keys: str) -> None:
    text = home.config.read_text()
    home.config.write_text(text.replace("[daemon]\n", "[daemon]\n" + "".join(f"{key}\n" for key in keys)))


def test_a_backup_of_the_command_line_is_in_the_next_scrape(home: Home) -> None:
    with daemon(home.config) as running:
        url = f"http://{address(running)}"
        before = ask(f"{url}/metrics")
        assert value(before, "holdfast_backup_last_success_timestamp_seconds", target="shop") == 0
        assert value(before, "holdfast_target_configured_timestamp_seconds", target="shop") > 1e9
        assert ask(f"{url}/readyz") == "ok\n"
        home.run("backup")
        after = ask(f"{url}/metrics")
        assert value(after, "holdfast_runs_total", job="backup", target="shop", result="succeeded") == 1
        assert (
            time.time() - value(after, "holdfast_backup_last_success_timestamp_seconds", target="shop") < 60
        )
        assert value(after, "holdfast_backup_last_size_bytes", target="shop", kind="plain") > 0
        assert value(after, "holdfast_backup_size_anomaly", target="shop", measure="rows") == 0
        wait_until(lambda: value(ask(f"{url}/metrics"), "holdfast_store_up") == 1, running)
        assert running.end() < 10


@pytest.mark.fault("config.bad")
@pytest.mark.extended
def test_a_refused_config_is_told(home: Home) -> None:
    with daemon(home.config) as running:
        url = f"http://{address(running)}/metrics"
        good = home.config.read_text()
        for text, expected in ((f"{good}\n[nonsense]\n", 0), (good, 1)):
            home.config.write_text(text)
            running.process.send_signal(signal.SIGHUP)
            wait_until(lambda: value(ask(url), "holdfast_config_reload_success") == expected, running)  # noqa: B023 - waited for in this turn
        running.end()


@pytest.mark.extended
def test_tls_and_a_login_are_set_up_by_the_config(home: Home) -> None:
    made = certificates.make(home.config.parent)
    secret = home.config.with_name("metrics-password")
    secret.write_text("let me in\n")
    daemon_keys(
        home,
        f'tls_certificate_file = "{made.path.name}"',
        f'tls_key_file = "{made.key.name}"',
        'auth_user = "prometheus"',
        f'auth_password_file = "{secret.name}"',
    )
    context = ssl.create_default_context(cafile=str(made.path))
    with daemon(home.config) as running:
        url = f"https://{address(running)}/metrics"
        with pytest.raises(urllib.error.HTTPError, match="401"):
            ask(url, context=context)
        text = ask(url, context=context, login="prometheus:let me in")
        left = value(text, "holdfast_certificate_expiry_timestamp_seconds") - time.time()
        assert 0 < left <= 86400
        running.end()
    assert "let me in" not in running.said()


def test_half_a_login_is_refused(home: Home) -> None:
    daemon_keys(home, 'auth_user = "prometheus"')
    done = home.run("check", code=10)
    assert "daemon.auth_password is missing beside it" in done.stderr


@pytest.mark.extended
def test_a_taken_port_ends_the_start(home: Home) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with daemon(home.config, ready=False, HOLDFAST_DAEMON__LISTEN=listen) as running:
            assert running.process.wait(30) == 11
            assert "cannot listen at 127.0.0.1 port" in running.said()
            assert "change daemon.listen" in running.said()


@pytest.mark.extended
def test_a_truncated_table_is_noticed_in_the_next_backup(home: Home) -> None:
    for _ in range(LEAST):
        home.run("backup", "--quiet")
    execute(home.database, "TRUNCATE items", "CREATE TABLE other AS SELECT repeat('x', 60000) AS filler")
    home.run("backup", "--quiet")
    found = facts.overview(home.state / "ledger.sqlite", datetime.now(UTC)).measures
    scores = {each.measure: each.score for each in found if each.database == home.database.database}
    assert scores["rows"] is not None
    assert scores["rows"] < -1
    assert {measure: abs(score or 0) > 1 for measure, score in scores.items()} == {
        "size": False,
        "tables": False,
        "rows": True,
    }


def test_a_daemon_without_a_schedule_learns_what_others_took_before_it_began(home: Home) -> None:
    assert home.facts("list") == []
    home.run("backup", "--set", "daemon.state_dir=elsewhere")
    with daemon(home.config) as running:
        url = f"http://{address(running)}/metrics"
        wait_until(lambda: value(ask(url), "holdfast_backups", target="shop", proof="stored") == 1, running)
        running.end()
