"""What a policy promises, said the slow and obvious way: one question for each backup, and no line of the program's own."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from holdfast.model.retention import Candidate, Policy

_STAMPS = {
    "hourly": "%Y-%m-%d %H %z",
    "daily": "%Y-%m-%d",
    "weekly": "%G week %V",
    "monthly": "%Y-%m",
    "yearly": "%Y",
}


def kept(backups: Sequence[Candidate], policy: Policy, now: datetime) -> set[str]:
    """Give the ids of the backups that stay."""
    true = [
        b
        for b in backups
        if b.at <= now and (b.stored_at is None or b.at <= b.stored_at + timedelta(hours=1))
    ]
    good = [b for b in true if b.good]
    slotted = [b for b in good if b.pinned is None]
    found = {b.id for b in backups if b not in true or b.pinned is not None}
    found |= {b.id for b in good if _newer(b, good) < max(policy.minimum, 1)}
    found |= {b.id for b in good if b.proven and _newer(b, [o for o in good if o.proven]) == 0}
    whole = [b for b in true if b.pinned is None]
    for counted in (lambda _: True, _in_time):  # what came late takes no place of what was there in time
        some = [b for b in slotted if counted(b)]
        found |= {b.id for b in some if _by_rules(b, some, good, policy)}
        some = [b for b in whole if counted(b)]
        found |= {b.id for b in some if not b.good and _by_rules(b, some, true, policy)}
    newer = [b for b in true if not b.good and _newer(b, good) == 0]
    waiting = [b for b in newer if b.waiting]
    found |= {b.id for b in newer if not b.waiting or _newer(b, waiting) < policy.minimum}
    if policy.require == "proven":
        found |= {
            b.id
            for b in backups
            if _newer(b, [o for o in good if o.proven]) == 0 and not (b.proven and b.good and b in true)
        }
    while more := {b.parent for b in backups if b.id in found and b.parent is not None} - found:
        if not more & {b.id for b in backups}:
            break
        found |= more
    return found & {b.id for b in backups}


def _in_time(one: Candidate) -> bool:
    return one.stored_at is None or one.stored_at <= one.at + timedelta(days=1)


def _newer(one: Candidate, among: Sequence[Candidate]) -> int:
    return sum(1 for other in among if (other.at, other.id) > (one.at, one.id))


def _by_rules(
    one: Candidate, slotted: Sequence[Candidate], good: Sequence[Candidate], policy: Policy
) -> bool:
    if _newer(one, slotted) < policy.keep_last:
        return True
    if policy.within is not None and one.at >= max(b.at for b in good) - policy.within:
        return True
    for rule, stamp in _STAMPS.items():
        own = one.at.astimezone(policy.zone).strftime(stamp)
        same = [b for b in slotted if b.at.astimezone(policy.zone).strftime(stamp) == own]
        if any((b.at, b.id) < (one.at, one.id) for b in same):
            continue  # not the first of its period
        later = {
            b.at.astimezone(policy.zone).strftime(stamp) for b in slotted if (b.at, b.id) > (one.at, one.id)
        } - {own}
        if len(later) < getattr(policy, rule):
            return True
    return False
