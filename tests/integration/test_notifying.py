"""What is in the outbox is delivered, to real servers, whatever befalls them, the network or us; and holds up nobody."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from holdfast.jobs.notifying import Notifier
from holdfast.ledger import notifications as outbox
from holdfast.ledger.ledger import Ledger
from holdfast.notify.base import Limits
from holdfast.notify.heartbeat import Heartbeat
from holdfast.notify.webhook import Webhook
from holdfast.system import logs
from holdfast.system.clock import SystemClock
from support.notify_values import event
from support.receivers import Receiver, http_receiver
from support.telling import RecordingChannel, Story, story, subscribed

QUICK = Limits(step=1.0, total=1.0)


@pytest.fixture
def tale(tmp_path: Path) -> Iterator[Story]:
    with story(tmp_path) as begun:
        yield begun
        begun.recorder.warnings.clear()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as running:
        yield running


def webhook(receiver: Receiver, name: str = "ops") -> Webhook:
    return Webhook(name=name, url=receiver.url, limits=QUICK)


def tallies(ledger: Ledger) -> dict[tuple[str, str], int]:
    found = ledger.read("SELECT * FROM notification_tallies WHERE notifications > 0", [])
    return {(str(row["channel"]), str(row["result"])): int(str(row["notifications"])) for row in found}


def until(look: Callable[[], object], wanted: object) -> None:
    """Wait until what is looked at is as it has to be."""
    deadline = time.monotonic() + 10
    while (found := look()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)


def settle(tale: Story, *states: tuple[object, ...]) -> None:
    until(lambda: tale.outbox("ops", "state", "attempts"), list(states))


def failed(tale: Story, times: int) -> None:
    until(lambda: tallies(tale.ledger).get(("ops", "failed"), 0), times)


def test_a_failure_and_a_recovery_arrive_in_this_order(tale: Story, receiver: Receiver) -> None:
    tale.use(subscribed(webhook(receiver), on=frozenset({"failure", "recovery"})))
    tale.run("failed")
    tale.run("succeeded")
    assert [json.loads(receiver.next().body)["kind"] for _ in range(2)] == ["failure", "recovery"]
    settle(tale, ("delivered", 1), ("delivered", 1))
    assert tallies(tale.ledger) == {("ops", "delivered"): 2}
    assert receiver.got.empty()


def test_what_failed_is_tried_again_later_and_counted_and_said(tale: Story, receiver: Receiver) -> None:
    receiver.status = 503
    tale.use(subscribed(webhook(receiver)))
    tale.run("failed")
    failed(tale, 1)
    assert tale.recorder.warnings[0][0] == "a notification failed"
    tale.clock.forward(seconds=14)
    tale.notifier.look()
    receiver.next()
    assert receiver.got.empty()
    receiver.status = 204
    tale.clock.forward(seconds=2)
    tale.notifier.look()
    settle(tale, ("delivered", 2))
    assert tallies(tale.ledger) == {("ops", "failed"): 1, ("ops", "delivered"): 1}


def test_it_waits_as_long_as_it_is_asked_to(tale: Story, receiver: Receiver) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "120"}
    tale.use(subscribed(webhook(receiver)))
    tale.run("failed")
    failed(tale, 1)
    at = outbox.next_try(tale.ledger, "ops")
    assert at is not None
    assert at >= tale.clock.now() + timedelta(seconds=119)


@pytest.mark.extended
def test_it_is_given_up_after_a_day(tale: Story, receiver: Receiver) -> None:
    receiver.status = 500
    tale.use(subscribed(webhook(receiver)))
    tale.run("failed")
    for attempt in range(1, 60):
        failed(tale, attempt)
        tale.clock.forward(hours=1)
        if attempt * timedelta(hours=1) >= timedelta(hours=24):
            break
        tale.notifier.look()
    tale.notifier.look()
    settle(tale, ("gave_up", attempt + 1))
    assert tallies(tale.ledger)["ops", "gave_up"] == 1


def test_what_follows_of_the_same_target_waits_and_others_do_not(tale: Story) -> None:
    channel = RecordingChannel(failures=1)
    tale.use(subscribed(channel, on=frozenset({"failure", "recovery"})))
    tale.run("failed")
    failed(tale, 1)
    tale.end(tale.begin(), "succeeded")
    tale.end(tale.begin(target="other"))
    assert channel.got.get(timeout=5).target == "other"
    tale.clock.forward(seconds=20)
    tale.notifier.look()
    assert [channel.got.get(timeout=5).kind for _ in range(2)] == ["failure", "recovery"]


def test_a_hanging_endpoint_holds_up_neither_runs_nor_other_channels_nor_the_end(
    tale: Story, receiver: Receiver
) -> None:
    receiver.hang = True
    patient = Webhook(name="ops", url=receiver.url)
    with http_receiver() as other:
        tale.use(subscribed(patient), subscribed(webhook(other, "other")))
        began = time.monotonic()
        tale.run("failed")
        assert time.monotonic() - began < 1
        receiver.next()
        assert json.loads(other.next(2).body)["kind"] == "failure"
        tale.notifier.close()
        assert time.monotonic() - began < 4


def test_what_a_process_could_not_deliver_the_next_one_does(tale: Story, receiver: Receiver) -> None:
    receiver.status = 500
    tale.use(subscribed(webhook(receiver)))
    tale.run("failed")
    failed(tale, 1)
    tale.notifier.close()
    receiver.status = 200
    tale.clock.forward(minutes=1)
    with restarted(tale, webhook(receiver)) as next_one:
        next_one.look()
        settle(tale, ("delivered", 2))


@pytest.mark.fault("kill.notify")
def test_what_a_killed_process_was_sending_is_sent_when_its_lease_is_over(
    tale: Story, receiver: Receiver
) -> None:
    outbox.put(tale.ledger, "ops", "failure 1.", event("failure", at=tale.clock.now()))
    assert outbox.claim(tale.ledger, "ops", tale.clock.now(), lease=timedelta(minutes=2)) is not None
    tale.use(subscribed(webhook(receiver)))
    tale.notifier.look()
    time.sleep(0.1)
    assert receiver.got.empty()
    tale.clock.forward(minutes=2)
    tale.notifier.look()
    receiver.next()


def test_two_processes_deliver_each_notification_once(
    tale: Story, receiver: Receiver, tmp_path: Path
) -> None:
    tale.use(subscribed(webhook(receiver)))
    with (
        Ledger.open(tmp_path / "ledger.sqlite", now=tale.clock.now()) as ledger,
        Notifier(ledger=ledger, clock=tale.clock, reporter=tale.recorder, host="db1", seconds=5) as second,
    ):
        second.use([subscribed(webhook(receiver))])
        for number in range(10):
            outbox.put(ledger, "ops", f"failure {number}.", event("failure", target=f"t{number}"))
        tale.notifier.look()
        second.look()
        settle(tale, *[("delivered", 1)] * 10)
    assert receiver.got.qsize() == 10


def test_a_channel_that_is_no_more_is_given_up(tale: Story) -> None:
    outbox.put(tale.ledger, "gone", "failure 1.", event("failure", at=tale.clock.now()))
    tale.use(subscribed(RecordingChannel()))
    tale.notifier.look()
    assert tale.outbox("gone", "state") == [("pending",)]
    tale.clock.forward(days=2)
    tale.notifier.look()
    assert tale.outbox("gone", "state") == [("gave_up",)]


def test_the_counters_of_a_channel_exist_from_the_start(tale: Story) -> None:
    tale.use(subscribed(RecordingChannel()))
    tale.notifier.look()
    found = tale.ledger.read("SELECT channel, result, notifications FROM notification_tallies", [])
    assert sorted(tuple(row.values()) for row in found) == [
        ("ops", "delivered", 0),
        ("ops", "failed", 0),
        ("ops", "gave_up", 0),
    ]


def test_routine_is_forgotten_after_a_week_and_what_tells_of_trouble_is_kept(tale: Story) -> None:
    channel = RecordingChannel()
    tale.use(subscribed(channel))
    tale.run("failed")
    tale.run("succeeded")
    settle(tale, *[("delivered", 1)] * 3)
    tale.clock.forward(days=8)
    tale.notifier.look()
    assert tale.outbox() == [("failure",), ("recovery",)]


def test_a_monitor_that_was_away_is_told_only_how_things_are_now(tale: Story, receiver: Receiver) -> None:
    receiver.status = 500
    tale.use(subscribed(Heartbeat(name="ops", url=receiver.url, limits=QUICK)))
    tale.run("failed")
    tale.run("succeeded")
    until(lambda: tale.outbox("ops", "state", "error IS NULL")[-1], ("pending", 0))
    while not receiver.got.empty():
        receiver.next()
    receiver.status = 200
    tale.clock.forward(minutes=10)
    tale.notifier.look()
    assert urlsplit(receiver.next().path).path == "/"
    left = {kind for kind, state in tale.outbox("ops", "kind", "state") if state != "superseded"}
    assert left == {"success"}


def test_a_monitor_gets_the_log_of_the_run_without_secrets(
    tale: Story, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_secrets", set())
    logs.register_secret("hunter2")
    tale.clock.at = SystemClock().now()  # the log has its own
    tale.use(subscribed(Heartbeat(name="ops", url=receiver.url)))
    run = tale.begin()
    logs.get_logger().info("stored", target="shop", part="app", key="hunter2")
    logs.get_logger().info("stored", target="other", part="elsewhere")
    tale.end(run)
    receiver.next()
    body = receiver.next().body.decode()
    assert "part=app" in body
    assert "hunter2" not in body
    assert "elsewhere" not in body


def restarted(tale: Story, channel: Webhook) -> Notifier:
    made = Notifier(ledger=tale.ledger, clock=tale.clock, reporter=tale.recorder, host="db1", seconds=5)
    made.use([subscribed(channel)])
    return made
