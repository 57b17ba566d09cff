"""What is locked, and for how long, is told before it matters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import keeping
from holdfast.jobs.checks.locks import check_locks
from holdfast.jobs.status import status
from holdfast.ledger import facts, retention, scheduling
from holdfast.ledger import locks as known_locks
from holdfast.ledger.locks import CopyLock, Held
from holdfast.ledger.scheduling import Key
from holdfast.metrics import stores
from holdfast.metrics.scene import Scene
from holdfast.model import schedule
from holdfast.model.codec import time_text
from holdfast.model.overview import Configured
from holdfast.model.planning import Timetable
from holdfast.model.target import Whereabouts
from holdfast.stores.base import RefusedError
from support.locked_store import days
from support.vault import after, begin, ends, store_of, vault
from support.yard import DAY, Yard

DAILY = Timetable(schedule=schedule.parse("45 5 * * *", zone="UTC"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with vault(tmp_path) as made:
        yield made


def test_what_is_to_go_and_is_locked_longer_than_its_grace_is_named(place: Yard) -> None:
    taken = place.take(2)
    place.rules(monthly=12)
    begin(place, taken[0])
    place.take(4)
    place.rules()
    keeping.pin(place.services, place.row(taken[1]), why="audit", until=None)
    keeping.unpin(place.services, place.row(taken[1]), why="done")
    said = verdicts(place)
    assert said[taken[0]] == ("hide", "2031-04-06T02:00:00Z", False)
    assert said[taken[1]] == ("hide", None, True)
    assert [each for each in said.values() if each[0] == "keep"] == [("keep", None, False)] * 3
    place.prune()
    assert verdicts(place)[taken[0]] == ("hidden", "2031-04-06T02:00:00Z", False)
    assert verdicts(place)[taken[1]] == ("hidden", None, False)


def verdicts(place: Yard) -> dict[str, tuple[str, str | None, bool]]:
    """What a dry run tells of each backup: its fate, until when it is locked, whether it is held."""
    (result,) = place.prune(dry_run=True)
    assert result.plan is not None
    return {
        each.backup_id: (
            each.fate,
            None if each.lock is None or each.lock.until is None else time_text(each.lock.until),
            each.lock is not None and each.lock.held != "no",
        )
        for each in result.plan.decisions
    }


def test_what_is_locked_no_more_is_a_problem(place: Yard) -> None:
    (taken,) = place.take(1)
    place.target = replace(place.target, places={"a": Whereabouts(off_site=True, lock="compliance")})
    begin(place, taken)
    place.clock.sleep(2 * DAY)
    assert problems(place) == []
    place.clock.sleep(2 * DAY)
    assert problems(place) == []  # nothing prunes here: who does renews, and we do not know it
    place.target = replace(place.target, prune=DAILY)
    assert f"no longer locked in a: {taken}" in problems(place)
    place.target = replace(place.target, places={})
    assert f"no longer locked in a: {taken}" not in problems(place)


def problems(place: Yard) -> list[str]:
    (found,) = status(place.services, [place.target])
    return [each for each in found.problems if each.startswith("no longer locked")]


def test_the_end_of_a_lock_that_could_not_be_extended_is_seen_coming(place: Yard) -> None:
    (taken,) = place.take(1)
    store_of(place).asked.fault = RefusedError("no right to lock")
    begin(place, taken)
    (known,) = known_locks.of_backup(place.services.ledger, taken)
    assert (known.until, known.kept) == (place.clock.now() + 3 * DAY, True)
    store_of(place).asked.fault = None
    place.rules(daily=14)
    place.prune()
    assert ends(place, taken) == {after(place, days=14).replace(hour=0)}


def test_what_does_not_go_together_is_found(place: Yard) -> None:
    place.target = replace(place.target, prune=DAILY)
    assert list(check_locks(place.services, (place.target,))) == []
    rule = days(place.clock.now, first=4, longest=5)
    store_of(place).asked.rule = rule
    (found,) = check_locks(place.services, (place.target,))
    assert (found.level, found.subject) == ("warn", "target shop")
    assert found.message.startswith(
        "store a locks for 4 days, and retention wants to remove what it hides after 3 days"
    )
    store_of(place).asked.rule = replace(rule, first=timedelta(days=1), longest=timedelta(days=1.5))
    texts = [each.message for each in check_locks(place.services, (place.target,))]
    assert [text.partition(" may end")[0] for text in texts] == [
        "a lock of 1 days in store a (object_lock_first)",
        "a lock of 36 hours in store a (object_lock_max)",
    ]
    place.target = replace(place.target, prune=None)
    (told,) = check_locks(place.services, (place.target,))
    assert told.level == "ok"
    store_of(place).asked.rule = None
    assert list(check_locks(place.services, (place.target,))) == []


def remaining(place: Yard, *locking: str) -> dict[str, float]:
    """What the metric tells, in hours, by store."""
    configured = Configured(targets={"shop": ("a",)}, stores=("a", "b"), locking=locking)
    now = place.clock.now()
    scene = Scene(
        overview=facts.overview(place.services.ledger.path, now), configured=configured, now=now.timestamp()
    )
    (samples,) = (found for family, found in stores.families(scene) if family is stores.LOCKED)
    return {labels[0]: value / 3600 for labels, value in samples}


def test_how_long_what_is_kept_is_locked_still_is_a_metric(place: Yard) -> None:
    prunes: dict[Key, Timetable] = {("prune", "shop"): DAILY}
    scheduling.configure(place.services.ledger, ["shop"], prunes, place.clock.now())
    assert math.isnan(remaining(place, "a")["a"])
    taken = place.take(5)
    ledger, now = place.services.ledger, place.clock.now()
    known: dict[int, tuple[float, Held, bool]] = {
        0: (10, "no", True),
        1: (8, "no", True),
        2: (6, "ours", True),
        3: (4, "no", False),
    }
    for number, (hours, held, kept) in known.items():
        until = now + timedelta(hours=hours)
        lock = CopyLock(
            backup_id=taken[number],
            store="a",
            at=now,
            until=until,
            held=held,
            objects=3,
            kept=kept,
        )
        known_locks.record(ledger, lock)
    place.clock.sleep(timedelta(hours=1))
    assert remaining(place, "a") == {"a": 7}
    scheduling.configure(place.services.ledger, ["shop"], {}, place.clock.now())
    assert math.isnan(remaining(place, "a")["a"]), "who prunes renews, and we do not know it"
    retention.record(ledger, "shop", "a", retention.Done(), (), place.clock.now())
    assert remaining(place, "a") == {"a": 7}
    assert math.isnan(remaining(place, "a", "b")["b"])
    assert remaining(place) == {}
    known_locks.record(ledger, replace(lock, kept=True, until=None))  # it was never locked
    assert remaining(place, "a") == {"a": -1}
    ledger.record_copy(lock.backup_id, "a", "hidden", now)
    assert remaining(place, "a") == {"a": 7}
