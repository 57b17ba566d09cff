"""Checks that the locks of a store, its retention and the schedule of prune go together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from holdfast.jobs.checks.finding import Finding
from holdfast.jobs.services import Services
from holdfast.model.target import Target
from holdfast.stores.locking import LockRule, locks_of


def check_locks(services: Services, targets: tuple[Target, ...]) -> Iterator[Finding]:
    """Look at each target in each of its stores that locks objects."""
    for target in targets:
        for name in target.stores:
            store = services.stores.get(name)
            locks = None if store is None else locks_of(store)
            if locks is not None and locks.rule is not None:
                yield from _check(target, name, locks.rule)


def _check(target: Target, store: str, rule: LockRule) -> Iterator[Finding]:
    subject, grace = f"target {target.name}", target.rules(store).grace
    if grace < rule.first:
        yield Finding(
            level="warn",
            subject=subject,
            message=f"store {store} locks for {_text(rule.first)}, and retention wants to remove what it hides after"
            f" {_text(grace)}: until the lock ends it cannot",
            hint="Make object_lock_first of the store shorter, or the grace of the retention there longer.",
        )
    if target.prune is None:
        yield Finding(
            level="ok",
            subject=subject,
            message=f"the locks in store {store} are renewed by the host that prunes: here nothing prunes by itself",
        )
        return
    interval = target.prune.schedule.interval
    for key, length in (("object_lock_first", rule.first), ("object_lock_max", rule.longest)):
        if length / 2 < interval:  # a lock is renewed when half of it is over
            yield Finding(
                level="warn",
                subject=subject,
                message=f"a lock of {_text(length)} in store {store} ({key}) may end before it is renewed:"
                f" prune runs every {_text(interval)}",
                hint=f"Make {key} twice as long as that at least, or prune more often (prune_schedule).",
            )


def _text(length: timedelta) -> str:
    hours = length.total_seconds() / 3600
    return f"{hours / 24:g} days" if hours % 24 == 0 else f"{hours:g} hours"
