"""Retention: which backups of a target in a store a policy keeps, and why. Pure; docs/explanation/retention.md has the rules.

A period is kept by the first good backup in it. The policy counts periods that hold a good backup, not days of the
clock: when backups stop, nothing ages out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

FOREVER = 2**63 - 1
LATE = timedelta(hours=1)  # so much later than its store's own time a backup may be dated
IN_TIME = timedelta(days=1)  # so long after its date a backup comes into its store, unless it is a later copy
PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")

Rule = Literal[
    "newest",
    "newest_proven",
    "minimum",
    "last",
    "within",
    "hourly",
    "daily",
    "weekly",
    "monthly",
    "yearly",
    "pinned",
    "parent",
    "unproven",
    "damaged",
    "waiting",
    "suspect",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How many backups, or periods with a backup, are kept. `within` counts back from the newest good backup."""

    keep_last: int = 0
    hourly: int = 0
    daily: int = 7
    weekly: int = 4
    monthly: int = 12
    yearly: int = FOREVER
    within: timedelta | None = None
    minimum: int = 2
    require: Literal["good", "proven"] = "good"
    zone: tzinfo = UTC

    @property
    def text(self) -> str:
        """The policy on one line."""
        counts = [("last", self.keep_last), *((name, getattr(self, name)) for name in PERIODS)]
        said = [f"{name} {'forever' if count >= FOREVER else count}" for name, count in counts if count]
        if self.within is not None:
            said.append(f"within {_length(self.within)}")
        said.append(f"minimum {self.minimum}")
        if self.require == "proven":
            said.append("only what is older than the newest proven")
        return f"{', '.join(said)} ({self.zone})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A committed backup as retention sees it. `stored_at` is when its manifest came into the store, by the store's own clock.

    `pinned` is why somebody pinned it; `proven` counts only where the backup is `good`. One that is `waiting` is whole,
    and not good: it is not in as many stores yet as it has to be.
    """

    id: str
    at: datetime
    good: bool = True
    proven: bool = False
    pinned: str | None = None
    parent: str | None = None
    stored_at: datetime | None = None
    waiting: bool = False

    def suspect(self, now: datetime) -> bool:
        """Whether its date cannot be true: some clock was wrong, or somebody wants the others to expire."""
        return self.at > now or (self.stored_at is not None and self.at > self.stored_at + LATE)

    @property
    def came_late(self) -> bool:
        """Whether it came long after its date: a later copy, an import, or one that somebody dated back."""
        return self.stored_at is not None and self.stored_at - self.at > IN_TIME


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule that keeps a backup, and of which period, or for whose sake."""

    rule: Rule
    detail: str = ""

    @property
    def text(self) -> str:
        """For people."""
        return f"{_WORDS.get(self.rule, self.rule)} {self.detail}".rstrip()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What is to become of a backup. No reason: it expires."""

    backup: Candidate
    reasons: tuple[Reason, ...]

    @property
    def kept(self) -> bool:
        """Whether it stays."""
        return bool(self.reasons)


_WORDS: Mapping[Rule, str] = {
    "newest": "the newest good one",
    "newest_proven": "the newest proven one",
    "minimum": "one of the fewest that stay",
    "last": "one of the last",
    "pinned": "pinned:",
    "parent": "parent of",
    "unproven": "newer than the newest proven one",
    "damaged": "damaged; were it whole:",
    "waiting": "waiting for copies; were they made:",
    "suspect": "suspect: its date cannot be true",
}


def judge(backups: Iterable[Candidate], policy: Policy, now: datetime) -> tuple[Verdict, ...]:
    """Judge all committed backups of a target in a store; the verdicts are in the order of time."""
    ordered = sorted(backups, key=_order)
    reasons: dict[str, list[Reason]] = {each.id: [] for each in ordered}
    sound: list[Candidate] = []
    for each in ordered:
        if each.pinned is not None:
            reasons[each.id].append(Reason("pinned", each.pinned))
        if each.suspect(now):
            reasons[each.id].append(Reason("suspect"))
        else:
            sound.append(each)
    good = [each for each in sound if each.good]
    _newest(good, policy, reasons)
    for backup_id, reason in _slots([each for each in good if each.pinned is None], good, policy):
        reasons[backup_id].append(reason)
    _not_good(sound, policy, reasons)
    if policy.require == "proven":
        _unproven(good, ordered, reasons)
    _parents(ordered, reasons)
    return tuple(Verdict(backup=each, reasons=tuple(reasons[each.id])) for each in ordered)


def _order(each: Candidate) -> tuple[datetime, str]:
    return each.at, each.id


def _newest(good: Sequence[Candidate], policy: Policy, reasons: dict[str, list[Reason]]) -> None:
    """Keep what is kept whatever the policy counts."""
    if good:
        reasons[good[-1].id].append(Reason("newest"))
    proven = next((each for each in reversed(good) if each.proven), None)
    if proven is not None:
        reasons[proven.id].append(Reason("newest_proven"))
    for each in good[len(good) - min(policy.minimum, len(good)) :]:
        reasons[each.id].append(Reason("minimum"))


def _slots(
    slotted: Sequence[Candidate], good: Sequence[Candidate], policy: Policy
) -> Iterable[tuple[str, Reason]]:
    """Give the keepers among those that take slots; both are in the order of time.

    What came late takes no place of what was there in time: that is judged once more without it.
    """
    found = list(_keepers(slotted, good, policy))
    if any(each.came_late for each in slotted):
        known = {(backup_id, reason.rule) for backup_id, reason in found}
        found += [
            (backup_id, Reason(reason.rule, f"{reason.detail} among those that came in time".lstrip()))
            for backup_id, reason in _keepers([each for each in slotted if not each.came_late], good, policy)
            if (backup_id, reason.rule) not in known
        ]
    return found


def _keepers(
    slotted: Sequence[Candidate], good: Sequence[Candidate], policy: Policy
) -> Iterable[tuple[str, Reason]]:
    yield from (
        (each.id, Reason("last")) for each in slotted[len(slotted) - min(policy.keep_last, len(slotted)) :]
    )
    if policy.within is not None and good:
        since = _earlier(good[-1].at, policy.within)
        yield from (
            (each.id, Reason("within", _length(policy.within))) for each in slotted if each.at >= since
        )
    wanted = [(rule, period, count) for rule, period in _PERIODS.items() if (count := getattr(policy, rule))]
    local = [_local(each.at, policy.zone) for each in slotted] if wanted else []
    for rule, period, count in wanted:
        keepers: dict[object, int] = {}
        for number, at in enumerate(local):
            keepers.setdefault(period.key(at), number)
        held = list(keepers.values())
        for number in held[len(held) - min(count, len(held)) :]:
            yield slotted[number].id, Reason(rule, period.name(local[number]))


def _not_good(sound: Sequence[Candidate], policy: Policy, reasons: dict[str, list[Reason]]) -> None:
    """Keep what is damaged, or waits for copies, as long as it would be kept if it were good; it takes nobody's slot."""
    rules: dict[str, Rule] = {
        each.id: "waiting" if each.waiting else "damaged" for each in sound if not each.good
    }
    if not rules:
        return
    unpinned = [each for each in sound if each.pinned is None]
    for backup_id, reason in _slots(unpinned, sound, policy):
        if backup_id in rules:
            reasons[backup_id].append(Reason(rules[backup_id], reason.text))
    newest_good = next((each for each in reversed(sound) if each.good), None)
    newer = [
        each
        for each in sound
        if each.id in rules and (newest_good is None or _order(each) > _order(newest_good))
    ]
    # A store that is away for months must not fill the others: of what waits, the fewest that stay are enough.
    waiting = [each for each in newer if each.waiting]
    kept = waiting[len(waiting) - min(policy.minimum, len(waiting)) :]
    for each in newer:
        if not each.waiting or each in kept:
            reasons[each.id].append(Reason(rules[each.id], "the newest"))


def _unproven(
    good: Sequence[Candidate], ordered: Sequence[Candidate], reasons: dict[str, list[Reason]]
) -> None:
    newest = next((each for each in reversed(good) if each.proven), None)
    for each in ordered:
        if newest is None or _order(each) > _order(newest):
            reasons[each.id].append(Reason("unproven"))


def _parents(ordered: Sequence[Candidate], reasons: dict[str, list[Reason]]) -> None:
    """Keep what a kept backup builds on, and what that builds on."""
    parents = {each.id: each.parent for each in ordered}
    for each in ordered:
        child, parent = each.id, each.parent
        while parent is not None and parent in reasons and reasons[child]:
            reason = Reason("parent", child)
            if reason in reasons[parent]:
                break
            reasons[parent].append(reason)
            child, parent = parent, parents[parent]


def _local(at: datetime, zone: tzinfo) -> datetime:
    try:
        return at.astimezone(zone)
    except OverflowError:  # at either end of the calendar
        return at.astimezone(UTC)


def _earlier(at: datetime, by: timedelta) -> datetime:
    try:
        return at - by
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class _Period:
    """A kind of period: what two times of the same one have in common (cheap to tell), and what it is called."""

    key: Callable[[datetime], object]
    name: Callable[[datetime], str]


def _week(at: datetime) -> str:
    year, week, _ = at.isocalendar()
    return f"{year:04}-W{week:02}"


_PERIODS: Mapping[Rule, _Period] = {
    # With the offset: the hour that comes twice in autumn is two.
    "hourly": _Period(
        lambda at: (at.toordinal(), at.hour, at.utcoffset()), lambda at: at.isoformat(timespec="hours")
    ),
    "daily": _Period(datetime.toordinal, lambda at: f"{at.year:04}-{at.month:02}-{at.day:02}"),
    "weekly": _Period(lambda at: (at.toordinal() - 1) // 7, _week),  # the day 1 of the calendar is a Monday
    "monthly": _Period(lambda at: (at.year, at.month), lambda at: f"{at.year:04}-{at.month:02}"),
    "yearly": _Period(lambda at: at.year, lambda at: f"{at.year:04}"),
}


def _length(delta: timedelta) -> str:
    hours, rest = divmod(round(delta.total_seconds()), 3600)
    if rest:
        return f"{round(delta.total_seconds())}s"
    return f"{hours // 24}d" if hours % 24 == 0 else f"{hours}h"
