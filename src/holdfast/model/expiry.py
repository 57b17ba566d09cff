"""When each backup expires, if backups go on as planned and the rules stay as they are. Pure.

Unlike a term, which is the earliest time at which a rule may let go, this counts what lies there already: a keeper
goes when as many newer periods hold a backup as its rule counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from holdfast.model.retention import FOREVER, PERIODS, Candidate, Policy, Reason, judge
from holdfast.model.terms import period_end

_NEVER = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How things are to go on: a backup each `every`, one of them proven each `proving`; `pins` end then (None: never)."""

    every: timedelta
    proving: timedelta
    pins: Mapping[str, datetime | None] = field(default_factory=dict)


def expiries(
    backups: Sequence[Candidate], policy: Policy, course: Course, now: datetime
) -> Mapping[str, datetime | None]:
    """When no rule keeps each of the backups any more; None for never. What nothing keeps expires now.

    All of them count as good: what is damaged or waits for copies may be mended, and is kept as if it were.
    """
    verdicts = judge(backups, policy, now)
    scale = _Scale([each.backup for each in verdicts if not each.backup.suspect(now)], policy, course, now)
    found: dict[str, datetime] = {}
    for verdict in reversed(verdicts):  # a parent is older than its children
        ends = [
            found.get(reason.detail, now) if reason.rule == "parent" else scale.end(verdict.backup, reason)
            for reason in verdict.reasons
        ]
        found[verdict.backup.id] = max([now, *ends])
    return {key: None if until == _NEVER else until for key, until in found.items()}


class _Scale:
    """What the ends are reckoned from: the backups that count, in the order of time."""

    def __init__(self, sound: Sequence[Candidate], policy: Policy, course: Course, now: datetime) -> None:
        self._policy, self._course, self._now = policy, course, now
        self._last = sound[-1].at if sound else now
        self._newer = {each.id: number for number, each in enumerate(reversed(sound))}
        slotted = [each for each in sound if each.pinned is None]
        self._newer_slotted = {each.id: number for number, each in enumerate(reversed(slotted))}
        self._starts = {
            rule: sorted({period_end(rule, each.at, 0, policy) for each in slotted}) for rule in PERIODS
        }

    def end(self, backup: Candidate, reason: Reason) -> datetime:
        """When a reason keeps a backup no more."""
        policy, course, until = self._policy, self._course, _NEVER  # what is suspect: until somebody looked
        match reason.rule:
            case "pinned":
                until = course.pins.get(backup.id) or _NEVER
            case "newest":
                until = self._backups_on(1)
            case "minimum":
                until = self._backups_on(policy.minimum - self._newer[backup.id])
            case "last":
                until = self._counted(policy.keep_last, self._newer_slotted[backup.id])
            case "within" if policy.within is not None:
                until = _later(backup.at, policy.within)
            case "newest_proven" | "unproven":
                until = _later(self._now, course.proving)
            case rule if rule in PERIODS:
                until = self._period(rule, backup)
        return until

    def _counted(self, count: int, newer: int) -> datetime:
        return _NEVER if count >= FOREVER else self._backups_on(count - newer)

    def _backups_on(self, count: int) -> datetime:
        return _later(self._last, count * self._course.every)

    def _period(self, rule: str, backup: Candidate) -> datetime:
        """When enough newer periods hold a backup: those that do, and those to come, of which a rare backup makes fewer."""
        count: int = getattr(self._policy, rule)
        if count >= FOREVER:
            return _NEVER
        own, starts = period_end(rule, backup.at, 0, self._policy), self._starts[rule]
        missing = count - sum(1 for start in starts if start > own)
        by_calendar = period_end(rule, starts[-1], missing, self._policy)
        return max(by_calendar, self._backups_on(missing)) if self._is_rare(rule) else by_calendar

    def _is_rare(self, rule: str) -> bool:
        first = period_end(rule, self._last, 0, self._policy)
        return self._course.every > period_end(rule, self._last, 1, self._policy) - first


def _later(at: datetime, by: timedelta) -> datetime:
    try:
        return at + by
    except OverflowError:
        return _NEVER
