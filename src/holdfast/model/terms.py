"""How long the locks of a backup have to last, by the reasons that keep it. Pure; docs/how-to/object-lock.md tells it to people.

Retention counts backups, not days; so a term is the earliest time at which a rule may let go if backups go on as they
do. What is kept beyond its term, or by a rule that no date can be told of, has a short lock that is renewed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from holdfast.model.retention import FOREVER, PERIODS, Policy, Reason, Verdict

_NEVER = datetime.max.replace(tzinfo=UTC)
_MONTHS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """Until when a backup is kept at least; None for a day that cannot be told. With `hold` it is kept for good, or pinned."""

    until: datetime | None = None
    hold: bool = False

    def joined(self, other: Term) -> Term:
        """The longer of both."""
        known = [each.until for each in (self, other) if each.until is not None]
        return Term(until=max(known, default=None), hold=self.hold or other.hold)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """How locks are laid: for `first` when an object is new, never beyond `longest` from now."""

    first: timedelta
    longest: timedelta

    def wanted(self, term: Term, now: datetime) -> datetime:
        """Until when a backup of that term, which is kept now, is to be locked."""
        least = _later(now, self.first)
        until = least if term.until is None else max(least, term.until)
        return min(until, _later(now, self.longest)).replace(microsecond=0)

    def is_due(self, known: datetime | None, wanted: datetime, now: datetime) -> bool:
        """Whether a lock that lasts until `known` is to be extended: half of what it is laid for is over, not each day anew."""
        if known is None:
            return True
        share = (self.longest if wanted > _later(now, self.first) else self.first) / 2
        return known < wanted and known - now < share


def terms(verdicts: Sequence[Verdict], policy: Policy, every: timedelta | None) -> Mapping[str, Term]:
    """Give the terms of the kept ones among all verdicts of a target in a store, which are in the order of time.

    `every` is the time from one backup to the next by the schedule; None where there is none: then it is as it was.
    """
    good = [each for each in verdicts if each.backup.good and not _is_suspect(each)]
    every = every if every is not None else _usual(good)
    newer = {each.backup.id: place for place, each in enumerate(reversed(good))}
    slotted = [each for each in good if each.backup.pinned is None]
    newer_slotted = {each.backup.id: place for place, each in enumerate(reversed(slotted))}
    last = good[-1].backup.at if good else None
    found: dict[str, Term] = {}
    for verdict in reversed(verdicts):  # a parent is older than its children
        backup = verdict.backup
        term = Term()
        for reason in verdict.reasons:
            if reason.rule == "parent":
                term = term.joined(found.get(reason.detail, Term()))
            elif (count := _counted(reason, policy)) is not None:
                places = newer_slotted if reason.rule == "last" else newer
                ahead = count - places.get(backup.id, 0)
                if last is not None and every is not None:
                    term = term.joined(Term(until=_after(last, ahead, every)))
            else:
                term = term.joined(_term(reason, backup.at, policy))
        if verdict.kept:
            found[backup.id] = term
    return found


def _is_suspect(verdict: Verdict) -> bool:
    return any(reason.rule == "suspect" for reason in verdict.reasons)


def _usual(good: Sequence[Verdict]) -> timedelta | None:
    if len(good) < 2:  # noqa: PLR2004 - from one to the next
        return None
    return (good[-1].backup.at - good[0].backup.at) / (len(good) - 1)


def _counted(reason: Reason, policy: Policy) -> int | None:
    """Of how many newer backups one lets this go, where a rule counts them."""
    match reason.rule:
        case "newest":
            return 1
        case "minimum":
            return policy.minimum
        case "last" if policy.keep_last < FOREVER:
            return policy.keep_last
        case _:
            return None


def _term(reason: Reason, at: datetime, policy: Policy) -> Term:
    if reason.rule == "pinned" or (reason.rule == "last" and policy.keep_last >= FOREVER):
        return Term(hold=True)
    if reason.rule == "within" and policy.within is not None:
        return Term(until=_later(at, policy.within))
    if reason.rule in PERIODS:
        count: int = getattr(policy, reason.rule)
        return Term(hold=True) if count >= FOREVER else Term(until=period_end(reason.rule, at, count, policy))
    return Term()


def period_end(rule: str, at: datetime, count: int, policy: Policy) -> datetime:
    """When so many further periods can have begun at the earliest, as one that `at` lies in is the first."""
    try:
        local = at.astimezone(policy.zone)
        if rule == "hourly":
            return at.replace(minute=0, second=0, microsecond=0) + timedelta(hours=count)
        day = _first_day(rule, local.date(), count)
        return datetime.combine(day, time(), policy.zone).astimezone(UTC)
    except (OverflowError, ValueError):  # beyond the end of the calendar
        return _NEVER


def _first_day(rule: str, day: date, count: int) -> date:
    match rule:
        case "daily":
            return day + timedelta(days=count)
        case "weekly":
            return day - timedelta(days=day.weekday()) + timedelta(weeks=count)
        case "monthly":
            months = day.year * _MONTHS + day.month - 1 + count
            return date(months // _MONTHS, months % _MONTHS + 1, 1)
        case _:
            return date(day.year + count, 1, 1)


def _after(at: datetime, count: int, every: timedelta) -> datetime:
    try:
        return at + count * every
    except OverflowError:
        return _NEVER


def _later(at: datetime, by: timedelta) -> datetime:
    try:
        return at + by
    except OverflowError:
        return _NEVER
