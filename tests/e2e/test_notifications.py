"""Notifications as a user has them: of commands, of the daemon, and tried out beforehand."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest

from holdfast.ledger.ledger import Ledger
from holdfast.system.clock import SystemClock
from support.daemon import all_runs, daemon, wait_until
from support.home import Home
from support.receivers import Receiver, closed_port, http_receiver

SECRET = "s3cret-in-the-url"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as running:
        yield running


def channel(home: Home, url: str, *keys: str, name: str = "ops", kind: str = "webhook") -> None:
    """Add a channel to the config."""
    lines = [f"[notify.{name}]", f'type = "{kind}"', f'url = "{url}/{SECRET}"', *keys, ""]
    home.config.write_text("\n".join([home.config.read_text(), *lines]))


def broken() -> list[str]:
    """The flags that point the target to where there is no server."""
    return ["--set", f"targets.shop.url=postgresql://127.0.0.1:{closed_port()}/x"]


def outbox(home: Home) -> list[tuple[object, ...]]:
    with Ledger.open(home.state / "ledger.sqlite", now=SystemClock().now()) as ledger:
        found = ledger.read("SELECT kind, state, attempts FROM notifications ORDER BY id", [])
    return [tuple(row.values()) for row in found]


def test_a_command_tells_of_its_failure_and_of_the_recovery(home: Home, receiver: Receiver) -> None:
    channel(home, receiver.url)
    home.run("backup", *broken(), code=20)
    home.run("backup", *broken(), code=20)
    home.run("backup")
    told = [json.loads(receiver.next().body) for _ in range(2)]
    assert [(each["kind"], each["target"], each["failures"]) for each in told] == [
        ("failure", "shop", 1),
        ("recovery", "shop", 2),
    ]
    assert told[0]["error_code"] == "source"
    assert receiver.got.empty()
    assert outbox(home) == [("failure", "delivered", 1), ("recovery", "delivered", 1)]


@pytest.mark.fault("silence")
def test_a_heartbeat_gets_the_start_and_the_end_with_the_log(home: Home, receiver: Receiver) -> None:
    channel(home, receiver.url, kind="heartbeat")
    home.run("backup")
    start, end = receiver.next(), receiver.next()
    assert start.path.startswith(f"/{SECRET}/start?rid=")
    assert end.path == start.path.replace("/start", "")
    assert b"stored" in end.body


@pytest.mark.extended
def test_an_endpoint_that_hangs_changes_no_command_and_hardly_delays_it(
    home: Home, receiver: Receiver
) -> None:
    receiver.hang = True
    channel(home, receiver.url, 'on = ["success"]')
    began = time.monotonic()
    done = home.run("backup", "--json")
    assert time.monotonic() - began < 12  # of which it waits five
    assert json.loads(done.stdout)[0]["target"] == "shop"
    assert outbox(home) == [("success", "pending", 1)]


@pytest.mark.extended
def test_the_daemon_delivers_by_a_new_config_and_ends_in_time_whatever_hangs(
    home: Home, receiver: Receiver
) -> None:
    with http_receiver() as hanging, daemon(home.config) as running:
        hanging.hang = True
        text = home.config.read_text().replace("[targets.shop]\n", '[targets.shop]\nevery = "1s"\n')
        home.config.write_text(text)
        channel(home, receiver.url, 'on = ["success"]')
        channel(home, hanging.url, 'on = ["success"]', name="dead")
        running.process.send_signal(signal.SIGHUP)
        hanging.next(20)
        assert json.loads(receiver.next(20).body)["kind"] == "success"
        before = len(all_runs(home.state, status="succeeded"))
        wait_until(lambda: len(all_runs(home.state, status="succeeded")) > before, running)
        assert running.end() < 10
    assert SECRET not in running.said()


@pytest.mark.extended
def test_the_daemon_delivers_what_a_command_could_not(home: Home, receiver: Receiver) -> None:
    channel(home, f"http://127.0.0.1:{closed_port()}")
    home.run("backup", *broken(), code=20)
    assert outbox(home) == [("failure", "pending", 1)]
    text = home.config.read_text()
    home.config.write_text(text[: text.index("[notify.ops]")])
    channel(home, receiver.url)
    with Ledger.open(home.state / "ledger.sqlite", now=SystemClock().now()) as ledger, ledger.writing() as c:
        c.execute("UPDATE notifications SET next_try_at = at")  # in place of waiting a quarter of a minute
    with daemon(home.config) as running:
        assert json.loads(receiver.next(10).body)["kind"] == "failure"
        running.end()


def test_channels_can_be_tried(home: Home, receiver: Receiver) -> None:
    channel(home, receiver.url)
    channel(home, f"http://127.0.0.1:{closed_port()}", name="dead")
    assert home.run("notify", "test", "ops").stdout == "ok    notify ops: delivered\n"
    assert json.loads(receiver.next().body)["kind"] == "test"
    done = home.run("notify", "test", code=31)
    assert "fail  notify dead: 127.0.0.1: Connection refused" in done.stdout
    assert SECRET not in done.stdout + done.stderr
    assert [found["level"] for found in home.facts("notify", "test", code=31)] == ["ok", "fail"]
    assert "'opps'" in home.run("notify", "test", "opps", code=12).stderr


def test_there_has_to_be_a_channel_to_try(home: Home) -> None:
    assert "[notify.NAME]" in home.run("notify", "test", code=10).stderr


@pytest.mark.fault("secrets")
def test_no_secret_of_a_channel_is_said_or_kept(home: Home, receiver: Receiver) -> None:
    receiver.status, receiver.answer = 403, f"bad key {SECRET}".encode()
    channel(home, receiver.url, 'token_file = "token"', 'secret = "h1dden"')
    (home.config.parent / "token").write_text("t0ken-of-mine\n")
    done = home.run("backup", *broken(), code=20)
    assert receiver.next().headers["Authorization"] == "Bearer t0ken-of-mine"
    kept = b"".join(path.read_bytes() for path in home.state.rglob("ledger.sqlite*"))
    for secret in (SECRET, "t0ken-of-mine", "h1dden"):
        assert secret not in done.stdout + done.stderr
        assert secret.encode() not in kept
    assert "a notification failed" in done.stderr
