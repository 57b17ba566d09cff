"""Looks, before something is written, whether a store has lost all that it should hold: a disk that is not mounted."""

from __future__ import annotations

from holdfast.jobs.services import Services
from holdfast.ledger.ledger import GONE
from holdfast.model import layout
from holdfast.model.errors import StoreError
from holdfast.stores.base import Store, space


def look(services: Services, store: Store, target: str) -> None:
    """Raise StoreError where a directory holds nothing of a target, and should: what is written there would lie on the wrong disk.

    A bucket is not unmounted: there it is told, recorded as gone, and a new backup is all the more wanted.
    """
    known = [
        row.backup.id
        for row in services.ledger.backups(target)
        if any(copy.store == store.name and copy.state == "complete" for copy in row.copies)
    ]
    if not known or next(iter(store.list(layout.target_prefix(target))), None) is not None:
        return
    count = f"{len(known)} backup{'' if len(known) == 1 else 's'}"
    text = f"{store.location}: holds nothing of target {target}, and should hold {count}"
    if space(store) is not None:
        raise StoreError(
            f"{text}: nothing is written there",
            hint="Is the disk mounted, and the path right? If the backups are gone for good, or this is a new place,"
            f" `holdfast catalog rebuild --store {store.name}` forgets them, and backups go on.",
        )
    now = services.clock.now()
    for backup_id in known:
        services.ledger.record_copy(backup_id, store.name, "missing", now, GONE)
    services.reporter.warn("a store has lost its backups", problem=f"{text}: is the bucket or prefix right?")
