"""Tells what the rules would keep on a later day, if backups go on as they are planned and none fails."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice, takewhile

from holdfast.jobs.prune_look import pinned
from holdfast.jobs.services import Services
from holdfast.ledger import marks as kept_marks
from holdfast.model.errors import UsageError
from holdfast.model.retention import Candidate, Verdict, judge
from holdfast.model.target import Target

_MOST = 500_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Future:
    """The verdicts of a day to come in a store. The ids of `planned` are those of no backup yet."""

    target: str
    store: str
    at: datetime
    verdicts: tuple[Verdict, ...]
    planned: frozenset[str]


def future(services: Services, target: Target, at: datetime) -> tuple[Future, ...]:
    """Judge for that day, by the ledger and the target's schedule (one a day where it has none).

    Raise UsageError for a day that is over, or too far away to count all backups until then.
    """
    now = services.clock.now()
    if at <= now:
        raise UsageError("that day is over", hint="`holdfast prune --dry-run` tells what is kept now.")
    planned = list(islice(_planned(target, now, at), _MOST + 1))
    if len(planned) > _MOST:
        raise UsageError(
            f"until then there would be more than {_MOST:,} backups", hint="Give an earlier day."
        )
    found = []
    for store in target.stores:
        there = _present(services, target.name, store, at)
        verdicts = judge([*there, *planned], target.rules(store).policy, at)
        ids = frozenset(each.id for each in planned)
        found.append(Future(target=target.name, store=store, at=at, verdicts=verdicts, planned=ids))
    return tuple(found)


def _present(services: Services, target: str, store: str, at: datetime) -> list[Candidate]:
    known = kept_marks.of_target(services.ledger, target, "pin")
    found = []
    for row in services.ledger.backups(target):
        copy = next((each for each in row.copies if each.store == store), None)
        if copy is None or copy.state not in {"complete", "damaged"}:
            continue
        found.append(
            Candidate(
                id=row.backup.id,
                at=row.backup.started_at,
                good=copy.whole,  # what waits for copies has them by then
                proven=row.proof == "proven",
                pinned=pinned(known.get(row.backup.id, []), at),
                parent=row.backup.parent,
            )
        )
    return found


def _planned(target: Target, now: datetime, at: datetime) -> Iterator[Candidate]:
    slots: Iterator[datetime]
    if target.backup is not None:
        slots = takewhile(lambda slot: slot <= at, target.backup.schedule.slots(now))
    else:
        slots = (now + timedelta(days=number) for number in range(1, (at - now).days + 1))
    for slot in slots:
        yield Candidate(id=f"{slot:%Y%m%dT%H%M%SZ}-planned", at=slot)
