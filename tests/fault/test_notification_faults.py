"""A process that dies while it notifies loses nothing and changes no run."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs.notifying import Notifier
from holdfast.ledger.ledger import Ledger
from holdfast.notify.webhook import Webhook
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.scratch import Cluster
from holdfast.system.clock import SystemClock
from support.home import Home
from support.oracle import asked_of
from support.receivers import Receiver, http_receiver
from support.runs import home, last_run
from support.telling import HandClock, subscribed
from support.world import Recorder, argv, environment


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with http_receiver() as running:
        yield running


@pytest.fixture
def place(tmp_path: Path, database: Conninfo, receiver: Receiver) -> Home:
    made = home(tmp_path, database)
    keys = f'[notify.ops]\ntype = "webhook"\nurl = "{receiver.url}"\non = ["success"]\n'
    made.config.write_text(made.config.read_text() + keys)
    return made


@pytest.mark.fault("kill.notify")
def test_a_command_that_is_killed_while_it_notifies_has_its_backup_and_is_heard_later(
    place: Home, cluster: Cluster, receiver: Receiver
) -> None:
    receiver.hang = True
    with subprocess.Popen(argv("backup", "--config", place.config), env=environment()) as process:
        first = json.loads(receiver.next(60).body)
        process.kill()
        process.wait(10)
    assert last_run(place) == ("succeeded", None)
    receiver.hang = False
    clock = HandClock(SystemClock().now() + timedelta(minutes=3))
    with (
        Ledger.open(place.state / "ledger.sqlite", now=clock.now()) as ledger,
        Notifier(ledger=ledger, clock=clock, reporter=Recorder(), host="db1", seconds=10) as notifier,
    ):
        notifier.use([subscribed(Webhook(name="ops", url=receiver.url))])
        notifier.look()
        again = json.loads(receiver.next(10).body)
    assert (again["id"], again["kind"]) == (first["id"], "success")
    with asked_of(place.config, cluster=cluster, source=place.database) as oracle:
        oracle.visible("backup", "succeeded")


def test_an_endpoint_that_is_away_does_not_fail_a_backup(place: Home, receiver: Receiver) -> None:
    receiver.status = 500
    done = place.run("backup")
    assert "a notification failed" in done.stderr
    assert last_run(place) == ("succeeded", None)
