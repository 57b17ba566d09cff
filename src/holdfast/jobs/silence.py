"""What is news of targets without a schedule here: none of the backups that cron or another host usually takes, and one again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from holdfast.jobs.news import Desk, News, trouble_key
from holdfast.ledger import habits, scheduling, standings
from holdfast.ledger.standings import Key, Last
from holdfast.model.codec import time_text
from holdfast.model.event import Event


def news(desk: Desk, lasts: Mapping[Key, Last]) -> Iterator[News]:
    """Tell of each such target whose last backup is older than is usual, or which has one again that no run here took."""
    pauses = scheduling.pauses(desk.ledger)
    for target, finished in standings.unscheduled(desk.ledger).items():
        usual, pause = habits.interval(desk.ledger, target), pauses.get(target)
        if usual is None:
            continue
        key: Key = ("backup", target)
        good = lasts[key].good if key in lasts else 0
        since = max(
            filter(None, [*finished[:1], desk.ended_at(good), pause.until if pause else None]), default=None
        )
        if since is None or (pause is not None and pause.holds(desk.now)):
            continue
        if desk.now - since > habits.allowed(usual):
            yield desk.overdue_event(key, good, since, since, round(usual.total_seconds()))
        else:
            yield from _again(desk, key, good, finished)


def _again(desk: Desk, key: Key, good: int, finished: Sequence[datetime]) -> Iterator[News]:
    """For those who were told that there was none since one of the earlier ones. What a run of this host ends, that run tells."""
    for before in finished[1:]:
        event = Event(
            kind="recovery",
            job=key[0],
            target=key[1],
            host=desk.host,
            at=desk.now,
            finished_at=finished[0],
            last_success_at=before,
        )
        at = time_text(before)
        told = f"{trouble_key('overdue', key, good)} {at}"
        yield News(event=event, key=f"{trouble_key('recovery', key, good)} {at}", after=(told,))
