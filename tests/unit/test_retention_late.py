"""What came into its store long after its date takes no place of what came in time: somebody may have dated it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from holdfast.model.retention import Candidate, Policy, judge

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
NOTHING = Policy(daily=0, weekly=0, monthly=0, yearly=0, minimum=1)


def rules(backups: Sequence[Candidate], policy: Policy, now: datetime = NOW) -> dict[str, list[str]]:
    return {
        each.backup.id: [f"{reason.rule} {reason.detail}".strip() for reason in each.reasons]
        for each in judge(backups, policy, now)
    }


def kept(backups: Sequence[Candidate], policy: Policy) -> list[str]:
    return [backup_id for backup_id, reasons in rules(backups, policy).items() if reasons]


def test_what_was_dated_back_takes_no_place_of_what_came_in_time() -> None:
    at = [datetime(2026, 11, day, 2, tzinfo=UTC) for day in range(1, 27)]
    real = [Candidate(id=f"real {each:%d}", at=each, stored_at=each) for each in at]
    planted = [
        Candidate(id=f"planted {each:%d}", at=each.replace(hour=0), stored_at=NOW - timedelta(hours=1))
        for each in at[:-1]
    ]
    for policy in (Policy(), Policy(keep_last=5, daily=0), replace(NOTHING, monthly=1)):
        assert set(kept(real, policy)) <= set(kept([*real, *planted], policy))
    told = rules([*real, *planted], replace(NOTHING, monthly=1))
    assert told["real 01"] == ["monthly 2026-11 among those that came in time"]
    later = NOW + timedelta(days=2)
    copied = [replace(each, stored_at=later) for each in real]  # into a store that was empty until then
    assert rules(copied, Policy(), later) == rules(real, Policy(), later)
