"""A yard whose stores lock what belongs to backups, as the config does by default."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from holdfast.jobs import locking
from support.locked_store import LockedStore, days
from support.yard import Yard, yard


@contextmanager
def vault(folder: Path, names: Sequence[str] = ("a",)) -> Iterator[Yard]:
    with yard(
        folder, names, lambda name, clock: LockedStore(name, rule=days(clock.now), now=clock.now)
    ) as made:
        yield made


def store_of(place: Yard, name: str = "a") -> LockedStore:
    found = place.stores[name]
    assert isinstance(found, LockedStore)
    return found


def ends(place: Yard, backup_id: str, store: str = "a") -> set[datetime | None]:
    """Until when the objects of a backup are locked, as the store knows it."""
    history = store_of(place, store).history
    return {
        history[key][0].lock.until
        for key in history
        if backup_id in key and "tombstone" not in key and not history[key][0].version.removal
    }


def held(place: Yard, backup_id: str, store: str = "a") -> set[bool]:
    history = store_of(place, store).history
    return {history[key][0].lock.held for key in history if backup_id in key and "tombstone" not in key}


def begin(place: Yard, backup_id: str, store: str = "a") -> str | None:
    return locking.begin(place.services, place.target, backup_id, store, place.made.stop)


def calls(place: Yard) -> dict[str, int]:
    """What was asked of the locks since the last time."""
    asked = store_of(place).asked
    found = dict(asked.calls)
    asked.calls.clear()
    return found


def after(place: Yard, **delta: float) -> datetime:
    return (place.clock.now() + timedelta(**delta)).replace(microsecond=0)
