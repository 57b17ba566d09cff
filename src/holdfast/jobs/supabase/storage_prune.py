"""Lets snapshots of files go with the backups that they belong to, and contents that no snapshot needs any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime

from holdfast.jobs import fence
from holdfast.jobs.lease import LostError
from holdfast.jobs.prune_steps import STRAYS_AFTER
from holdfast.jobs.services import Services
from holdfast.jobs.supabase.storage_shelf import Shelf, contents, locked, open_snapshot
from holdfast.model import layout
from holdfast.model.errors import BusyError, IntegrityError, KeyFileError, NotFoundError
from holdfast.model.storage import needed
from holdfast.stores.base import RefusedError, Store, Stored
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """What lies in a store of a target's files: objects by snapshot, and contents by id."""

    snapshots: dict[str, dict[str, Stored]]
    contents: dict[str, list[Stored]]


def prune(
    services: Services, store: Store, target: str, backups: Collection[str], stop: Stop, now: datetime
) -> None:
    """Remove what is not needed for `backups`, those that are left in the store; and what a run that died left there.

    What is not older than two days may belong to somebody at work, and stays. Where files are just being saved, on whatever
    host, nothing is done: what is about to be named must not go. The next time will do.
    """
    shelf = Shelf(store=store, target=target)
    if next(iter(store.list(shelf.key(""))), None) is None:
        return
    try:
        with locked(services, target), fence.fenced(services, store, target, "objects") as held:
            _prune(services, replace(shelf, store=held), backups, stop, now)
    except LostError:
        raise
    except BusyError as busy:
        services.reporter.info("left to the next time", store=store.name, why=str(busy))


def _prune(services: Services, shelf: Shelf, backups: Collection[str], stop: Stop, now: datetime) -> None:
    found = _look(shelf)
    whole = [each for each, objects in found.snapshots.items() if layout.MANIFEST in objects]
    # What is not believed stays, and takes no other's place: whoever may only write could have us remove ours.
    doubtful = {each for each in whole if not _is_believed(services, shelf, each)}
    kept = needed((each for each in whole if each not in doubtful), backups) | doubtful
    young = {
        each
        for each, objects in found.snapshots.items()
        if not all(_is_old(one, now) for one in objects.values())
    }
    removed = [each for each in found.snapshots if each not in kept and each not in young]
    for each in sorted(removed):
        stop.check()
        services.stage("objects:removing")
        # The manifest first: what it named must not look whole from now on.
        objects = found.snapshots[each]
        for name in sorted(objects, key=lambda name: (name != layout.MANIFEST, name)):
            _delete(services, shelf, objects[name].key)
    named = _named(services, shelf, [each for each in whole if each not in removed], stop)
    if named is None:
        return
    count = 0
    for content, same in sorted(found.contents.items()):
        stop.check()
        for one in same:
            if content not in named and _is_old(one, now):
                services.stage("objects:sweeping")
                _delete(services, shelf, one.key)
                count += 1
    if removed or count:
        services.reporter.info(
            "removed files that no backup needs",
            store=shelf.store.name,
            snapshots=len(removed),
            contents=count,
        )


def _look(shelf: Shelf) -> Listed:
    found = Listed(snapshots={}, contents={})
    for stored in shelf.store.list(shelf.key("")):
        if (content := layout.parse_content_key(stored.key)) is not None:
            found.contents.setdefault(content, []).append(stored)
        elif (member := layout.parse_snapshot_key(stored.key)) is not None:
            found.snapshots.setdefault(member[0], {})[member[1]] = stored
    return found


def _is_believed(services: Services, shelf: Shelf, snapshot: str) -> bool:
    try:
        open_snapshot(shelf, snapshot, services.keys)
    except (IntegrityError, KeyFileError, NotFoundError):  # told of where its contents are asked for
        return False
    return True


def _named(services: Services, shelf: Shelf, snapshots: list[str], stop: Stop) -> set[str] | None:
    """The contents that snapshots name; None where one of them cannot be read: then nothing may go."""
    named: set[str] = set()
    for each in snapshots:
        stop.check()
        try:
            snapshot, _, _ = open_snapshot(shelf, each, services.keys)
            named.update(content for content, _ in contents(shelf, snapshot))
        except (IntegrityError, KeyFileError, NotFoundError) as error:
            services.reporter.warn(
                "a snapshot of files cannot be read, so none of their contents is removed",
                store=shelf.store.name,
                snapshot=each,
                error=error.message,
            )
            return None
    return named


def _is_old(stored: Stored, now: datetime) -> bool:
    return stored.modified_at < now - STRAYS_AFTER


def _delete(services: Services, shelf: Shelf, key: str) -> None:
    try:
        shelf.store.delete(key)
    except RefusedError as error:
        services.reporter.warn(
            "the store keeps a file's content", store=shelf.store.name, key=key, error=error.message
        )
