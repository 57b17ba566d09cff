"""When a backup expires is told as it then comes about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from holdfast.model.expiry import Course, expiries
from holdfast.model.retention import FOREVER, Candidate, Policy, judge

DAY = timedelta(days=1)
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
NOTHING = Policy(daily=0, weekly=0, monthly=0, yearly=0, minimum=1)


def taken(at: datetime, **more: object) -> Candidate:
    return Candidate(id=f"{at:%Y-%m-%dT%H:%M}", at=at, **more)  # type: ignore[arg-type] # its own fields


def history(every: timedelta, count: int, gap: slice = slice(0)) -> list[Candidate]:
    """Backups up to an hour ago, some of which are missing."""
    found = [taken(NOW - timedelta(hours=1) - number * every) for number in range(count)]
    del found[gap]
    return found[::-1]


def comes_about(backups: list[Candidate], policy: Policy, every: timedelta, days: int) -> dict[str, datetime]:
    """Go on for so many days; note before which backup each one is kept no more."""
    at, gone, all_of_them = NOW - timedelta(hours=1), dict[str, datetime](), list(backups)
    while at < NOW + days * DAY:
        at += every
        all_of_them.append(taken(at))
        for verdict in judge(all_of_them, policy, at):
            if not verdict.kept:
                gone.setdefault(verdict.backup.id, at)
    return gone


@pytest.mark.parametrize(
    ("policy", "every", "gap", "days"),
    [
        (replace(NOTHING, daily=7), DAY, slice(0), 20),
        (replace(NOTHING, daily=7, weekly=4), DAY, slice(3, 9), 60),
        (replace(NOTHING, daily=3, monthly=4), DAY, slice(20, 70), 160),
        (replace(NOTHING, keep_last=5, weekly=3), timedelta(hours=12), slice(0), 40),
        (replace(NOTHING, daily=5, monthly=2), 7 * DAY, slice(0), 90),
        (replace(NOTHING, hourly=30), timedelta(hours=1), slice(5, 12), 4),
        (replace(NOTHING, within=timedelta(days=9), minimum=3), DAY, slice(0), 15),
        (replace(NOTHING, yearly=2, zone=ZoneInfo("Asia/Kathmandu")), 20 * DAY, slice(0), 900),
    ],
)
def test_what_is_told_comes_about(policy: Policy, every: timedelta, gap: slice, days: int) -> None:
    backups = history(every, 90, gap)
    course = Course(every=every, proving=30 * DAY)
    told = expiries(backups, policy, course, NOW)
    found = comes_about(backups, policy, every, days)
    kept = {each.backup.id for each in judge(backups, policy, NOW) if each.kept}
    assert set(told) == {each.id for each in backups}
    assert kept <= found.keys()  # or too few days were waited for
    for backup in backups:
        until = told[backup.id]
        assert until is not None
        if backup.id in kept:  # the next backup after that time pushes it out
            assert until <= found[backup.id] <= until + every
        else:
            assert until == NOW


def test_what_stays_for_good_has_no_date() -> None:
    backups = history(DAY, 5)
    course = Course(every=DAY, proving=30 * DAY, pins={backups[1].id: NOW + 3 * DAY})
    backups[0] = replace(backups[0], pinned="audit")
    backups[1] = replace(backups[1], pinned="for a while")
    told = expiries(backups, NOTHING, course, NOW)
    assert told[backups[0].id] is None
    assert told[backups[1].id] == NOW + 3 * DAY
    assert told[backups[4].id] == backups[4].at + DAY
    assert expiries(backups[2:3], replace(NOTHING, yearly=FOREVER), course, NOW) == {backups[2].id: None}


def test_the_newest_proven_stays_until_another_is() -> None:
    backups = history(DAY, 5)
    backups[0] = replace(backups[0], proven=True)
    told = expiries(backups, NOTHING, Course(every=DAY, proving=30 * DAY), NOW)
    assert told[backups[0].id] == NOW + 30 * DAY
    future = taken(NOW + DAY)
    assert expiries([*backups, future], NOTHING, Course(every=DAY, proving=DAY), NOW)[future.id] is None


def test_a_parent_stays_as_long_as_its_child() -> None:
    backups = history(DAY, 6)
    backups[3] = replace(backups[3], parent=backups[0].id)
    told = expiries(backups, replace(NOTHING, daily=4), Course(every=DAY, proving=DAY), NOW)
    assert told[backups[0].id] == told[backups[3].id]
    assert told[backups[1].id] == NOW
