"""Whether a target is safe: by its own schedule, by where its copies are, and by what went wrong last."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs.status import TargetStatus, status
from holdfast.ledger import probes, restore_tests, retention, scheduling
from holdfast.ledger.probes import Tried
from holdfast.model import layout, manifest
from holdfast.model.planning import Pause, Timetable
from holdfast.model.proof import Outcome, Proof
from holdfast.model.pruning import Refusal
from holdfast.model.run import Run, Status
from holdfast.model.schedule import parse
from holdfast.model.target import Whereabouts, needed
from holdfast.model.testing import RestoreTesting
from holdfast.render import status as render_status
from support.clock import FakeClock
from support.model_values import NOW, restore_test, sample_backup
from support.world import World, world

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "postgresql:///x") as made:
        made.services = dataclasses.replace(made.services, clock=FakeClock(NOW))
        yield made


def told(shop: World, rule: str = "") -> TargetStatus:
    timetable = Timetable(schedule=parse(rule)) if rule else None
    [found] = status(shop.services, [dataclasses.replace(shop.target, backup=timetable)])
    return found


def took(shop: World, at: datetime, signer: str = "") -> None:
    made = sample_backup(layout.new_backup_id(at, "7f3a"))
    made = dataclasses.replace(made, signer=signer or shop.services.keys.trusted[0].text)
    ledger = shop.services.ledger
    ledger.record_backup(made, manifest=manifest.dump(made), signature=b"s", coverage=None)
    ledger.record_copy(made.id, "a", "complete", at)


def ended(shop: World, at: datetime, how: Status) -> None:
    shop.services.ledger.begin(
        Run(job="backup", target="shop", status=how, started_at=at, finished_at=at, host="h")
    )


@pytest.mark.parametrize(
    ("rule", "age", "problems"),
    [
        ("", 47 * HOUR, ()),
        ("", 3 * DAY, ("the last good backup is 3 days old",)),
        ("@daily", 2 * DAY, ()),
        ("@daily", 2 * DAY + HOUR, ("the last good backup is 2 days old",)),
        ("@weekly", 13 * DAY, ()),
        ("@weekly", 15 * DAY, ("the last good backup is 15 days old",)),
        ("@hourly", 2 * HOUR, ()),
        ("@hourly", 3 * HOUR, ("the last good backup is 3 h old",)),
        ("every 10m", 31 * HOUR / 60, ("the last good backup is 31 min old",)),
    ],
)
def test_how_old_a_backup_may_be_is_a_matter_of_the_schedule(
    shop: World, rule: str, age: timedelta, problems: tuple[str, ...]
) -> None:
    took(shop, NOW - age)
    found = told(shop, rule)
    assert (found.problems, found.age_seconds) == (problems, age.total_seconds())
    assert (found.limit_seconds < age.total_seconds()) == bool(problems)


def test_a_backup_that_waits_for_copies_is_none_yet(shop: World) -> None:
    shop.target = dataclasses.replace(shop.target, stores=("a", "b"), require_copies=2)
    shop.services.ledger.needed = needed([shop.target])
    took(shop, NOW - 2 * HOUR)
    first = told(shop)
    assert (first.last_good, first.age_seconds, first.backups) == (None, None, 0)
    assert first.problems == (
        "no good backup",
        "the newest backup is in 1 of 2 stores, and not good until then: it is not in b",
    )
    assert first.waiting is not None
    shop.services.ledger.record_copy(first.waiting.backup.id, "b", "complete", NOW)
    took(shop, NOW - HOUR)
    later = told(shop)
    assert (later.last_good is not None, later.age_seconds) == (True, 2 * HOUR.total_seconds())
    assert later.problems == first.problems[1:]


def test_it_is_said_how_the_rule_of_3_2_1_is_met(shop: World, capsys: pytest.CaptureFixture[str]) -> None:
    places = {"a": Whereabouts(), "b": Whereabouts(off_site=True, lock="compliance")}
    shop.target = dataclasses.replace(shop.target, places=places)
    took(shop, NOW - HOUR)
    alone = told(shop)
    assert alone.spread is not None
    assert (alone.spread.met, alone.spread.copies, alone.spread.off_site) == (False, ("a",), ())
    shop.services.ledger.record_copy(alone.spread.backup_id, "b", "complete", NOW)
    proof = Proof(
        backup_id=alone.spread.backup_id, target="shop", level="proven", method="restored", at=NOW, store="a"
    )
    shop.services.ledger.record_proof(proof)
    both = told(shop)
    assert both.spread is not None
    assert both.spread.met
    render_status.status([alone, both])
    lines = [line.strip() for line in capsys.readouterr().out.splitlines() if "3-2-1" in line]
    assert lines == [
        "3-2-1      NOT met: 1 copy (a), NOT off-site, not locked, encrypted, not proven",
        "3-2-1      met: 2 copies (a, b), off-site (b), locked (b: compliance), encrypted, proven 2026-11-22 02:00:00Z",
    ]


def test_without_a_backup_nothing_is_safe(shop: World) -> None:
    assert told(shop).problems == ("no good backup",)


@pytest.mark.parametrize(
    ("how", "word"), [("failed", "failed"), ("lost", "died"), ("cancelled", "cancelled"), ("missed", None)]
)
def test_what_went_wrong_after_the_last_backup_is_said(shop: World, how: Status, word: str | None) -> None:
    ended(shop, NOW - 3 * HOUR, how)
    took(shop, NOW - 2 * HOUR)
    assert told(shop).problems == ()
    ended(shop, NOW - HOUR, how)
    assert told(shop).problems == ((f"the last run {word}",) if word else ())


def test_a_store_without_the_last_backup_is_said(shop: World) -> None:
    took(shop, NOW - HOUR)
    shop.target = dataclasses.replace(shop.target, stores=("a", "b"))
    assert told(shop).problems == ("the last good backup is not in b",)


def test_a_pause_is_told_as_long_as_it_holds(shop: World, capsys: pytest.CaptureFixture[str]) -> None:
    took(shop, NOW - HOUR)
    scheduling.pause(shop.services.ledger, "shop", now=NOW - HOUR, until=None)
    found = told(shop)
    assert found.problems == ()
    assert found.paused == Pause(since=NOW - HOUR)
    render_status.status([found])
    assert "until it is resumed: nothing is backed up" in capsys.readouterr().out
    scheduling.pause(shop.services.ledger, "shop", now=NOW - HOUR, until=NOW - HOUR / 2)
    assert told(shop).paused is None


@pytest.mark.parametrize(
    ("every", "fine", "late"),
    [(HOUR, 25 * HOUR, 27 * HOUR), (DAY, 73 * HOUR, 75 * HOUR), (7 * DAY, 21 * DAY, 22 * DAY)],
)
def test_without_a_schedule_what_is_usual_tells_what_is_late(
    shop: World, every: timedelta, fine: timedelta, late: timedelta
) -> None:
    took(shop, NOW)
    for number in range(5):
        ended(shop, NOW - (4 - number) * every, "succeeded")
    assert isinstance(shop.services.clock, FakeClock)
    shop.services.clock.set(NOW + fine)
    assert told(shop).problems == ()
    shop.services.clock.set(NOW + late)
    assert [each.endswith("old") for each in told(shop).problems] == [True]


def test_a_restore_test_that_failed_is_said_until_one_passes(shop: World) -> None:
    took(shop, NOW - DAY)
    took(shop, NOW - 2 * HOUR)
    newest, older = (row.backup.id for row in shop.services.ledger.backups("shop"))

    def tested(backup_id: str, minutes: int, outcome: Outcome, *, whole: bool = True) -> tuple[str, ...]:
        at = NOW - HOUR + timedelta(minutes=minutes)
        proof = restore_test(at=at, outcome=outcome, seconds=30, restore_seconds=20, size=500)
        assert proof.tested is not None
        proof = dataclasses.replace(
            proof, backup_id=backup_id, tested=dataclasses.replace(proof.tested, whole=whole)
        )
        shop.services.ledger.record_proof(proof)
        return told(shop).problems

    failed = (f"backup {newest} failed its restore test, and none has passed since",)
    assert tested(newest, 1, "failed") == failed
    assert tested(older, 2, "passed") == failed
    assert tested(newest, 3, "passed", whole=False) == failed  # one database of several
    assert restore_tests.last_passed(shop.services.ledger)["shop"] < NOW - HOUR + timedelta(minutes=3)
    assert tested(newest, 4, "passed") == ()


def test_a_restore_test_that_is_overdue_is_said_where_it_is_planned(shop: World) -> None:
    took(shop, NOW)
    timetable = Timetable(schedule=parse("@monthly"))
    scheduling.configure(
        shop.services.ledger, ["shop"], {("restore_test", "shop"): timetable}, NOW - 70 * DAY
    )
    assert told(shop).problems == ()  # this host makes none
    shop.target = dataclasses.replace(shop.target, restore_test=RestoreTesting(timetable=timetable))
    assert told(shop).problems == ("no restore test has passed since 2026-09-13",)


def test_what_is_unusual_is_said_until_somebody_looked(shop: World) -> None:
    ledger = shop.services.ledger
    for number in range(6):
        made = sample_backup(layout.new_backup_id(NOW - (6 - number) * HOUR, "7f3a"))
        [part] = made.parts
        size = 1000 if number == 5 else 900_000_000
        signer = shop.services.keys.trusted[0].text
        made = dataclasses.replace(made, parts=(dataclasses.replace(part, size=size),), signer=signer)
        ledger.record_backup(made, manifest=manifest.dump(made), signature=b"s", coverage=None)
        ledger.record_copy(made.id, "a", "complete", NOW)
    newest = ledger.backups("shop")[0].backup.id
    assert told(shop).problems == (
        f"unusual, and acknowledged by nobody: {newest} (`holdfast anomaly list`)",
    )
    refusal = Refusal(cause="anomaly", text="what was a lot is little", hint="")
    retention.record(ledger, "shop", "a", retention.Done(), [refusal], NOW)
    assert told(shop).problems == ("retention refuses to go on in a: what was a lot is little",)


def test_a_store_that_does_not_answer_is_said_while_that_is_known(shop: World) -> None:
    took(shop, NOW - HOUR)
    found = [Tried(store=name, at=NOW - HOUR / 2, error="/mnt: gone") for name in ("a", "another")]
    probes.record(shop.services.ledger, found)
    assert told(shop).problems == ("store a: /mnt: gone",)
    probes.record(shop.services.ledger, [dataclasses.replace(found[0], at=NOW - 2 * HOUR)])
    assert told(shop).problems == ()


def test_other_jobs_that_keep_failing_are_said_without_their_secrets(shop: World) -> None:
    took(shop, NOW - HOUR)
    error = "no: postgresql://u:hunter2@h/x\nand more"
    for number in range(3):
        run = Run(job="prune", target="shop", status="failed", started_at=NOW, error=error, host="h")
        shop.services.ledger.begin(run)
        problems = ("the last {} runs of prune failed: no: postgresql://u:***@h/x",) * (number > 0)
        assert told(shop).problems == tuple(each.format(number + 1) for each in problems)


def test_a_database_of_the_config_that_was_never_backed_up_is_said(shop: World) -> None:
    took(shop, NOW - HOUR)
    shop.target = dataclasses.replace(shop.target, databases=("app", "billing"))
    assert told(shop).problems == ("not in the last good backup, but in the config: billing",)


def test_backups_of_a_signer_that_is_trusted_no_more_are_said(shop: World) -> None:
    for number in range(5):
        took(shop, NOW - number * HOUR, signer="RWlost" if number else "")
    [problem] = told(shop).problems
    assert problem.startswith("signed by a key that is not trusted here any more: 20261122T010000Z-")
    assert " and 1 more (" in problem
