"""What retention makes of backups that are not in as many stores yet as they have to be."""

from __future__ import annotations

from datetime import UTC, datetime

from holdfast.model.retention import Candidate, Policy, judge


def on(day: int, *, waiting: bool) -> Candidate:
    at = datetime(2026, 11, day, 2, tzinfo=UTC)
    return Candidate(id=f"{day}", at=at, good=not waiting, waiting=waiting)


def test_what_waits_for_copies_pushes_out_nobody_and_does_not_pile_up() -> None:
    days = [on(day, waiting=day >= 20) for day in range(16, 26)]
    policy = Policy(daily=3, weekly=0, monthly=0, yearly=0, minimum=2)
    found = {
        each.backup.id: [reason.text for reason in each.reasons]
        for each in judge(days, policy, datetime(2026, 11, 26, tzinfo=UTC))
    }
    assert [each for each in found if found[each]] == ["17", "18", "19", "23", "24", "25"]
    assert found["23"] == ["waiting for copies; were they made: daily 2026-11-23"]
    assert found["24"] == [*found["24"][:1], "waiting for copies; were they made: the newest"]
