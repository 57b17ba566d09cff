"""People are told of backups that cron or another host has stopped taking, and of a ledger that lost what it knew."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.ledger import losses, scheduling
from holdfast.model import layout, manifest
from holdfast.model.codec import time_text
from support.model_values import sample_backup
from support.telling import RecordingChannel, Story, story, subscribed


@pytest.fixture
def tale(tmp_path: Path) -> Iterator[Story]:
    """A daemon that has a target, and no schedule for it."""
    with story(tmp_path) as begun:
        begun.use(subscribed(RecordingChannel()))
        scheduling.configure(begun.ledger, ["shop"], {}, begun.clock.now())
        yield begun


def came_to_light(tale: Story) -> None:
    """Let a backup be found that another host took now."""
    now = tale.clock.now()
    made = sample_backup(layout.new_backup_id(now, "0000"))
    made = dataclasses.replace(made, started_at=now, finished_at=now)
    tale.ledger.record_backup(made, manifest=manifest.dump(made), signature=b"", coverage=None)


def test_a_cron_job_that_stopped_is_told_once_and_its_end_too(tale: Story) -> None:
    for _ in range(4):
        tale.run("succeeded")
        tale.clock.forward(hours=24)
    tale.clock.forward(hours=49)
    tale.notifier.look()
    assert tale.told() == []
    tale.clock.forward(hours=2)
    tale.notifier.look()
    tale.notifier.look()
    assert tale.told() == ["overdue"]
    tale.run("succeeded")
    tale.notifier.look()
    assert tale.told() == ["overdue", "recovery"]
    tale.clock.forward(days=4)
    tale.notifier.look()
    assert tale.told() == ["overdue", "recovery", "overdue"]


def test_a_prover_tells_of_the_backups_that_another_host_took_no_more(tale: Story) -> None:
    for _ in range(5):
        came_to_light(tale)
        tale.clock.forward(hours=24)
        tale.notifier.look()
    assert tale.told() == []
    tale.clock.forward(hours=51)
    tale.notifier.look()
    tale.notifier.look()
    assert tale.told() == ["overdue"]
    for _ in range(2):
        came_to_light(tale)
        tale.clock.forward(hours=24)
        tale.notifier.look()
        assert tale.told() == ["overdue", "recovery"]


def test_nothing_is_missed_that_is_not_usual_or_while_the_target_is_paused(tale: Story) -> None:
    for _ in range(3):
        came_to_light(tale)
        tale.clock.forward(hours=24)
    tale.clock.forward(days=30)
    tale.notifier.look()
    assert tale.told() == []
    came_to_light(tale)
    scheduling.pause(tale.ledger, "shop", now=tale.clock.now(), until=None)
    tale.clock.forward(days=90)
    tale.notifier.look()
    assert tale.told() == []


def test_a_loss_of_the_ledger_is_told_once_and_its_end_too(tale: Story) -> None:
    tale.use(subscribed(RecordingChannel(), jobs=frozenset({"verify"}), targets=frozenset({"other"})))
    losses.record(tale.ledger, "vanished", tale.clock.now())
    tale.notifier.look()
    tale.run("succeeded")
    tale.notifier.look()
    assert tale.told() == ["loss"]
    tale.clock.forward(hours=1)
    tale.ledger.meta_set(losses.SETTLE_AFTER, time_text(tale.clock.now()))
    tale.notifier.look()
    tale.notifier.look()
    assert tale.told() == ["loss", "recovery"]


def test_who_wants_no_failures_or_was_told_of_no_loss_hears_of_none(tale: Story) -> None:
    quiet = subscribed(RecordingChannel("quiet"), on=frozenset({"success", "anomaly"}))
    losses.record(tale.ledger, "damaged", tale.clock.now())
    tale.use(quiet, subscribed(RecordingChannel("monitor", monitors=True)))
    tale.notifier.look()
    tale.clock.forward(hours=1)
    tale.ledger.meta_set(losses.SETTLE_AFTER, time_text(tale.clock.now() + timedelta(hours=1)))
    tale.use(quiet, subscribed(RecordingChannel()))
    tale.notifier.look()
    assert (tale.told("quiet"), tale.told("monitor"), tale.told()) == ([], [], [])
