"""Looks, before something is written, whether a store has lost all that it should hold: a disk that is not mounted."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

from holdfast.jobs.checks.finding import Finding
from holdfast.jobs.services import Services
from holdfast.ledger.ledger import GONE
from holdfast.model import layout
from holdfast.model.errors import StoreError
from holdfast.model.target import Target
from holdfast.stores.base import Store, space


def look(services: Services, store: Store, target: str) -> None:
    """Raise StoreError where a directory holds nothing of a target, and should: what is written there would lie on the wrong disk.

    A bucket is not unmounted: there it is told, recorded as gone, and a new backup is all the more wanted.
    """
    known = _lost(services, store, target)
    if not known:
        return
    if space(store) is not None:
        raise StoreError(f"{_told(store, target, known)}: nothing is written there", hint=_hint(store))
    now = services.clock.now()
    for row in services.ledger.backups(target):
        if any(copy.store == store.name and copy.state == "complete" for copy in row.copies):
            services.ledger.record_copy(row.backup.id, store.name, "missing", now, GONE)
    services.reporter.warn("a store has lost its backups", problem=_told(store, target, known))


def check(services: Services, targets: Sequence[Target]) -> Iterator[Finding]:
    """Find stores that have lost all that they should hold of a target."""
    for target in targets:
        for store in (services.stores[name] for name in target.stores if name in services.stores):
            with suppress(StoreError):  # one that does not answer is told of by who checks the stores
                yield from _found(services, store, target.name)


def _found(services: Services, store: Store, target: str) -> Iterator[Finding]:
    subject = f"target {target}, store {store.name}"
    if known := _lost(services, store, target):
        yield Finding(level="fail", subject=subject, message=_told(store, target, known), hint=_hint(store))


def _lost(services: Services, store: Store, target: str) -> list[str]:
    """The backups that should be in the store, where nothing at all of the target is."""
    known = [
        row.backup.id
        for row in services.ledger.backups(target)
        # Those that were found to be gone, too: who looked before saw the same empty folder.
        if any(copy.store == store.name and (copy.state == "complete" or copy.gone) for copy in row.copies)
    ]
    if not known or next(iter(store.list(layout.target_prefix(target))), None) is not None:
        return []
    newest = layout.key(
        target, max(known), layout.MANIFEST
    )  # a list may be cut short; the object itself is asked for
    return known if store.stat(newest) is None else []


def _told(store: Store, target: str, known: Sequence[str]) -> str:
    count = f"{len(known)} backup{'' if len(known) == 1 else 's'}"
    return f"{store.location}: holds nothing of target {target}, and should hold {count}"


def _hint(store: Store) -> str:
    return (
        "Is the disk mounted, and the path, bucket or prefix right? If the backups are gone for good, or this is a new place,"
        f" `holdfast catalog rebuild --store {store.name}` forgets them, and backups go on."
    )
