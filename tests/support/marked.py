"""Marks put beside backups, as another host with our key would."""

from __future__ import annotations

from datetime import datetime, timedelta

from holdfast.jobs import marks, writing
from holdfast.jobs.services import Services
from holdfast.ledger.marks import Kept
from holdfast.model.mark import Tombstone
from holdfast.stores.base import Store


def bury(
    services: Services, store: Store, backup_id: str, *, target: str = "shop", at: datetime | None = None
) -> Kept:
    """Hide a backup in a store; its objects may go three days later."""
    when = at or services.clock.now()
    place = writing.Place(store=store, target=target, backup_id=backup_id)
    stone = Tombstone(store=store.name, why="not kept", remove_after=when + timedelta(days=3))
    return marks.put(services, place, stone, at=when)
