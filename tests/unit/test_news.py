"""People are told what changes, once; monitors are told of every run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from holdfast.ledger import scheduling
from holdfast.ledger.rows import CopyState
from holdfast.ledger.standings import Key
from holdfast.model import manifest
from holdfast.model.run import Status
from support.model_values import NOW, sample_backup
from support.telling import DAILY, RecordingChannel, Story, story, subscribed

KEY: Key = ("backup", "shop")
SLOT = NOW.replace(hour=0)


@pytest.fixture
def tale(tmp_path: Path) -> Iterator[Story]:
    with story(tmp_path) as begun:
        begun.use(subscribed(RecordingChannel()), timetables={KEY: DAILY})
        yield begun


def test_a_failure_that_nothing_tries_again_is_told_at_once_and_once(tale: Story) -> None:
    tale.run("failed")
    assert tale.told() == ["failure"]
    tale.run("failed")
    tale.clock.forward(days=1)
    tale.run("lost")
    tale.notifier.look()
    assert tale.told() == ["failure"]


def test_a_failure_that_is_tried_again_is_told_after_the_last_attempt(tale: Story) -> None:
    for attempt in (1, 2):
        tale.run("failed", slot=SLOT, attempt=attempt)
        tale.notifier.look()
        assert tale.told() == []
    tale.run("failed", slot=SLOT, attempt=3)
    assert tale.told() == ["failure"]


def test_a_failure_that_makes_no_sense_to_try_again_is_told_at_once(tale: Story) -> None:
    run = tale.begin(slot=SLOT)
    tale.end(run, code="config")
    assert tale.told() == ["failure"]


def test_a_failure_that_lasts_is_told_though_it_is_tried_again(tale: Story) -> None:
    configured(tale)
    tale.run("failed", slot=SLOT)
    tale.clock.forward(minutes=14)
    tale.notifier.look()
    assert tale.told() == []
    tale.clock.forward(minutes=1)
    tale.notifier.look()
    tale.notifier.look()
    assert tale.told() == ["failure"]


def test_as_long_as_an_attempt_runs_it_may_mend_the_failure(tale: Story) -> None:
    configured(tale)
    tale.run("failed", slot=SLOT)
    second = tale.begin(slot=SLOT, attempt=2)
    tale.clock.forward(hours=2)
    tale.notifier.look()
    assert tale.told() == []
    tale.end(second, "succeeded")
    tale.notifier.look()
    assert tale.told() == []


def test_a_recovery_is_told_once_and_the_next_failure_anew(tale: Story) -> None:
    tale.run("succeeded")
    for _ in range(2):
        tale.run("failed")
        tale.run("failed")
        tale.run("succeeded")
        tale.run("succeeded")
        tale.notifier.look()
    assert tale.told() == ["failure", "recovery", "failure", "recovery"]


def test_what_is_told_says_since_when_and_how_often(tale: Story) -> None:
    channel = RecordingChannel("new")
    tale.use(subscribed(channel))
    good = tale.run("succeeded")
    tale.clock.forward(days=1)
    first = tale.run("failed", watched=False)
    tale.clock.forward(days=1)
    tale.run("failed")
    tale.run("succeeded")
    told = {channel.got.get(timeout=5).kind: None for _ in range(1)}
    assert told == {"success": None}
    failure, recovery = channel.got.get(timeout=5), channel.got.get(timeout=5)
    assert (failure.kind, failure.failures, failure.since) == ("failure", 2, first.started_at)
    assert failure.last_success_at == good.started_at + timedelta(minutes=1)
    assert (failure.error_code, failure.error) == ("store", "it broke")
    assert (recovery.kind, recovery.failures, recovery.since) == ("recovery", 2, first.started_at)


@pytest.mark.parametrize("status", ["cancelled", "missed"])
def test_a_run_that_showed_nothing_changes_nothing(tale: Story, status: Status) -> None:
    tale.run(status)
    assert tale.told() == []
    tale.run("failed")
    tale.run(status)
    tale.notifier.look()
    assert tale.told() == ["failure"]


def test_another_hosts_backup_of_the_slot_is_a_recovery_too(tale: Story) -> None:
    tale.run("failed")
    tale.run("skipped")
    assert tale.told() == ["failure", "recovery"]


def test_who_was_not_told_of_a_failure_is_not_told_of_its_end(tale: Story) -> None:
    tale.run("failed")
    tale.use(subscribed(RecordingChannel("new")), subscribed(RecordingChannel()))
    tale.run("succeeded")
    assert (tale.told(), tale.told("new")) == (["failure", "recovery"], [])


def test_a_new_channel_is_told_of_what_fails_already(tale: Story) -> None:
    configured(tale)
    tale.run("failed")
    tale.use(subscribed(RecordingChannel("new")))
    tale.notifier.look()
    assert tale.told("new") == ["failure"]


def test_what_a_dead_process_could_not_tell_is_told_at_the_next_look(tale: Story) -> None:
    configured(tale)
    tale.run("failed", watched=False)
    assert tale.told() == []
    tale.notifier.look()
    assert tale.told() == ["failure"]
    tale.run("succeeded", watched=False)
    tale.notifier.look()
    tale.notifier.look()
    assert [kind for (kind,) in tale.outbox()] == ["failure", "recovery", "success"]


def test_a_channel_is_told_what_it_wants_to_be(tale: Story) -> None:
    def channel(name: str, **changes: frozenset[str]) -> None:
        subscriptions.append(subscribed(RecordingChannel(name), **changes))

    subscriptions = [subscribed(RecordingChannel())]
    channel("successes", on=frozenset({"success"}))
    channel("other", targets=frozenset({"other"}))
    channel("copies", jobs=frozenset({"copy"}))
    tale.use(*subscriptions)
    tale.run("failed")
    tale.run("succeeded")
    assert tale.outbox("ops") == [("failure",), ("recovery",), ("success",)]
    assert tale.outbox("successes") == [("success",)]
    assert tale.outbox("other") == tale.outbox("copies") == []


def test_an_old_success_is_not_told_at_a_start(tale: Story) -> None:
    configured(tale)
    tale.run("succeeded", watched=False)
    tale.clock.forward(hours=2)
    tale.notifier.look()
    assert tale.outbox() == []


def test_monitors_are_told_of_every_run_that_is_not_tried_again(tale: Story) -> None:
    monitor = RecordingChannel("hc", monitors=True)
    tale.use(subscribed(monitor), timetables={KEY: DAILY})
    tale.run("failed", slot=SLOT)
    tale.run("succeeded", slot=SLOT, attempt=2)
    tale.run("failed")
    tale.run("failed")
    kinds = [kind for (kind,) in tale.outbox("hc")]
    assert kinds == ["start", "start", "success", "start", "failure", "start", "failure"]


def test_copies_to_one_store_that_fail_do_not_recover_by_those_to_another(tale: Story) -> None:
    def night(number: int) -> None:
        made = dataclasses.replace(sample_backup(), id=f"2026112{number}T020000Z-7f3a")
        tale.ledger.record_backup(made, manifest=manifest.dump(made), signature=b"", coverage=None)
        for store, works in stores.items():
            run = tale.begin("copy", backup_id=made.id)
            state: CopyState = "complete" if works else "missing"
            error = None if works else "it broke"
            tale.ledger.record_copy(made.id, store, state, tale.clock.now(), error)
            tale.end(run, "succeeded" if works else "failed")
        tale.clock.forward(days=1)

    stores = {"b": True, "c": False, "d": True}
    night(1)
    night(2)
    assert tale.told() == ["failure"]
    stores["c"] = True
    night(3)
    night(4)
    told = tale.outbox("ops", "kind", "event ->> '$.store'", "event ->> '$.failures'")
    assert [row for row in told if row[0] != "success"] == [("failure", "c", 1), ("recovery", "c", 2)]


def test_a_copy_that_was_cancelled_has_not_failed(tale: Story) -> None:
    made = sample_backup()
    tale.ledger.record_backup(made, manifest=manifest.dump(made), signature=b"", coverage=None)
    run = tale.begin("copy", backup_id=made.id)
    tale.ledger.record_copy(made.id, "b", "missing", tale.clock.now(), "it broke")
    tale.end(run, "cancelled")
    assert tale.told() == []


def test_verifying_is_told_as_a_whole_and_not_by_each_copy(tale: Story) -> None:
    def night(first: Status, second: Status) -> None:
        tale.clock.forward(days=1)
        run = tale.begin("verify", slot=tale.clock.now())
        tale.run(first, "verify")
        tale.run(second, "verify")
        tale.end(run, "failed" if "failed" in {first, second} else "succeeded", "integrity")

    monitor = RecordingChannel("hc", monitors=True)
    tale.use(subscribed(RecordingChannel()), subscribed(monitor))
    for _ in range(2):
        night("succeeded", "failed")
    assert tale.told() == ["failure"]
    night("succeeded", "succeeded")
    assert [kind for (kind,) in tale.outbox()] == ["failure", "recovery", "success"]
    pings = ["start", "failure", "start", "failure", "start", "success"]
    assert [kind for (kind,) in tale.outbox("hc")] == pings


def test_what_is_overdue_is_told_once_and_its_end_too(tale: Story) -> None:
    configured(tale)
    tale.run("succeeded")
    tale.clock.forward(hours=47)
    tale.notifier.look()
    assert tale.told() == []
    tale.clock.forward(hours=2)
    tale.notifier.look()
    tale.notifier.look()
    assert tale.told() == ["overdue"]
    tale.run("succeeded")
    assert tale.told() == ["overdue", "recovery"]
    tale.clock.forward(hours=49)
    tale.notifier.look()
    assert tale.told() == ["overdue", "recovery", "overdue"]


def test_a_new_target_and_a_paused_one_are_not_overdue(tale: Story) -> None:
    configured(tale)
    tale.clock.forward(hours=47)
    tale.notifier.look()
    assert tale.told() == []
    scheduling.pause(tale.ledger, "shop", now=tale.clock.now(), until=None)
    tale.clock.forward(days=5)
    tale.notifier.look()
    assert tale.told() == []
    scheduling.resume(tale.ledger, "shop", now=tale.clock.now())
    tale.clock.forward(hours=47)
    tale.notifier.look()
    assert tale.told() == []
    tale.clock.forward(hours=2)
    tale.notifier.look()
    assert tale.told() == ["overdue"]


def test_a_backup_of_another_host_is_a_success_that_was_expected(tale: Story) -> None:
    configured(tale)
    tale.clock.forward(hours=30)
    made = dataclasses.replace(sample_backup(), finished_at=tale.clock.now())
    tale.ledger.record_backup(made, manifest=manifest.dump(made), signature=b"", coverage=None)
    tale.clock.forward(hours=40)
    tale.notifier.look()
    assert tale.told() == []


def test_an_anomaly_is_told_when_it_begins(tale: Story) -> None:
    for number, score in enumerate((0.2, 3.0, 2.5, -4.0, 0.1)):
        backup_id = f"2026112{number}T020000Z-7f3a"
        with tale.ledger.writing() as connection:
            connection.execute(
                "INSERT INTO measures VALUES ('shop', 'app', 'rows', ?, 5, 10.0, ?)", [backup_id, score]
            )
        tale.run("succeeded", backup_id=backup_id)
    found = tale.outbox("ops", "kind", "event ->> '$.backup_id'")
    assert [row for row in found if row[0] == "anomaly"] == [
        ("anomaly", "20261121T020000Z-7f3a"),
        ("anomaly", "20261123T020000Z-7f3a"),
    ]


def test_no_secret_of_an_error_is_put_into_the_outbox(tale: Story) -> None:
    run = tale.begin()
    tale.ledger.finish(
        run.id, status="failed", now=NOW, error_code="source", error="postgresql://u:hunter2@db failed"
    )
    tale.notifier.ended(run)
    [(event,)] = tale.outbox("ops", "event")
    assert "hunter2" not in str(event)
    assert "failed" in str(event)


def test_a_broken_outbox_changes_no_run_and_is_said(tale: Story) -> None:
    run = tale.begin()
    with tale.ledger.writing() as connection:
        connection.execute("DROP TABLE notifications")
    tale.end(run)
    tale.notifier.begun(run)
    tale.notifier.look()
    assert "outbox" in tale.recorder.warnings[0][0]
    tale.recorder.warnings.clear()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["succeeded", "failed", "lost", "cancelled", "skipped"]),
            st.booleans(),
            st.integers(0, 180),
        ),
        max_size=8,
    )
)
def test_failures_and_recoveries_take_turns_whatever_happens(
    tale: Story, steps: list[tuple[Status, bool, int]]
) -> None:
    """Whether the process lived to tell, or the daemon looked later: each failing is told, and told once."""
    target = f"t{tale.clock.now():%Y%m%d%H%M%S}"
    scheduling.configure(tale.ledger, [target], {("backup", target): DAILY}, tale.clock.now())
    expected: list[str] = []
    for status, watched, minutes in steps:
        tale.run(status, watched=watched, target=target)
        tale.notifier.look()
        tale.clock.forward(minutes=minutes)
        failing = expected[-1:] == ["failure"]
        if status in {"failed", "lost"} and not failing:
            expected.append("failure")
        if status in {"succeeded", "skipped"} and failing:
            expected.append("recovery")
    tale.clock.forward(seconds=1)
    told = tale.outbox("ops", "target", "kind")
    assert [kind for about, kind in told if about == target and kind != "success"] == expected


def configured(tale: Story) -> None:
    """Let the daemon look after daily backups of the target."""
    scheduling.configure(tale.ledger, ["shop"], {KEY: DAILY}, tale.clock.now())
