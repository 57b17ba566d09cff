"""Checks what a store can do, by doing it with a probe object."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta

from holdfast.jobs import conditions
from holdfast.jobs.checks.finding import Finding, guarded, room
from holdfast.model import layout
from holdfast.model.errors import IntegrityError, StoreError
from holdfast.stores.base import (
    Conditions,
    RefusedError,
    Store,
    Stored,
    is_read_only,
    read_all,
    space,
)
from holdfast.stores.locking import Lock, LockedError, LockRule, Locks, Version, locks_of, versions_of

_PROBE_LOCK = timedelta(minutes=1)
_STALE_PROBE = timedelta(hours=1)
_ONE_WRITER = "Two hosts that write the same key at once would not notice: let only one host write there."
_ONE_PRUNER = "Two hosts that write the same key at once would not notice: set `pruner` of the store to the one that prunes there."


def check_store(store: Store, learn: Callable[[Conditions], None] = lambda _: None) -> Iterator[Finding]:
    """Write, read, list and delete a probe object in a store; only list one that is read-only.

    `learn` is told whether the store keeps two writers of one key apart.
    """
    subject = f"store {store.name}"
    probe = _look(store, subject) if is_read_only(store) else _probe(store, subject, learn)
    failed = False
    for finding in guarded(subject, probe):
        failed = failed or finding.level == "fail"
        yield finding
    if not failed and (versions := versions_of(store)) is not None:
        yield from guarded(subject, _look_at_versions(versions, subject))
    locks = locks_of(store)
    if locks is not None and locks.rule is not None:
        yield from guarded(subject, _probe_lock(store, locks, locks.rule, subject))
    if (finite := space(store)) is not None:
        yield from guarded(subject, iter([room(subject, store.location, finite.free_bytes())]))


def _look(store: Store, subject: str) -> Iterator[Finding]:
    next(store.list(), None)
    yield Finding(
        level="ok", subject=subject, message=f"{store.location}: can be listed; the config says read-only"
    )


def _probe(store: Store, subject: str, learn: Callable[[Conditions], None]) -> Iterator[Finding]:
    key, data = f"{layout.PROBE_PREFIX}/{secrets.token_hex(8)}", secrets.token_bytes(64)
    may_delete = False
    store.put(key, [data], absent=True)
    try:
        if read_all(store, key) != data:
            raise IntegrityError(f"{store.location}: reads back differently from what was written")
        probes = {each.key: each for each in store.list(f"{layout.PROBE_PREFIX}/")}
        if key not in probes:
            raise IntegrityError(
                f"{store.location}: does not list what was written", hint="Its listing is not consistent."
            )
        found = conditions.probe(store, key)
        learn(found)
    finally:
        may_delete = _deleted(store, key)
    if may_delete:
        yield from _gone(store, key, probes, subject)
    else:
        yield Finding(
            level="ok",
            subject=subject,
            message=f"{store.location}: write, read and list work; deleting is refused, as is right for a mere writer",
        )
    if found == "ignored":
        yield Finding(
            level="warn",
            subject=subject,
            message="does not refuse to overwrite (no conditional put)",
            hint=_ONE_PRUNER,
        )
    elif found == "honoured for small objects":
        yield Finding(
            level="warn",
            subject=subject,
            message="does not refuse to overwrite by an upload in parts (conditional put of small objects only)",
            hint=_ONE_WRITER,
        )


def _look_at_versions(versions: Locks, subject: str) -> Iterator[Finding]:
    """See whether these credentials may look beneath what somebody deletes or writes over."""
    if not versions.kept():
        return
    try:
        next(versions.versions(f"{layout.PROBE_PREFIX}/"), None)
    except RefusedError as error:
        yield Finding(
            level="warn",
            subject=subject,
            message=f"may not list versions: should somebody delete a backup, nobody looks beneath: {error.message}",
            hint="Grant the right to list and read versions (S3: ListBucketVersions, GetObjectVersion, GetBucketVersioning).",
        )


def _deleted(store: Store, key: str) -> bool:
    """Delete the probe; return False when these credentials may not."""
    try:
        store.delete(key)
    except RefusedError:
        return False
    return True


def _gone(store: Store, key: str, probes: Mapping[str, Stored], subject: str) -> Iterator[Finding]:
    """See that the probe is gone, and remove those that hosts without the right to delete left, by the store's clock."""
    if store.stat(key) is not None:
        raise IntegrityError(f"{store.location}: still has what was deleted")
    for old in probes.values():
        if old.modified_at < probes[key].modified_at - _STALE_PROBE:
            store.delete(old.key)
    yield Finding(level="ok", subject=subject, message=f"{store.location}: write, read, list and delete work")


def _probe_lock(store: Store, locks: Locks, rule: LockRule, subject: str) -> Iterator[Finding]:
    """Lock a probe for a moment, and try to delete it. What is left of it is removed by a later check."""
    may_delete = all([_clean(locks, layout.PROBE_PREFIX), _clean(locks, layout.LOCK_PROBE_PREFIX)])
    key = f"{layout.LOCK_PROBE_PREFIX}/{secrets.token_hex(8)}"
    store.put(key, [secrets.token_bytes(64)], absent=True)
    version = next(locks.versions(key))
    lock = locks.lock(version, rule.now() + _PROBE_LOCK)
    with contextlib.suppress(RefusedError):  # Azure lets nobody delete a current version, locked or not
        store.put(key, [b"laid over it"])
    try:
        locks.delete(version)
    except LockedError:
        if may_delete:
            yield _bypass(locks, version, lock, subject)
        else:
            yield Finding(
                level="ok",
                subject=subject,
                message=f"the service says that a probe is locked ({lock.mode}); these credentials may delete no version,"
                " so that only a host that may can prove it",
            )
        return
    raise StoreError(
        f"{store.location}: a locked probe could be deleted: object_lock protects nothing there",
        hint="Make the bucket anew with Object Lock (versioning, and locks of single objects) switched on.",
    )


def _clean(locks: Locks, prefix: str) -> bool:
    """Remove the versions of earlier probes; return False when these credentials may delete no version at all."""
    for old in locks.versions(f"{prefix}/"):
        try:
            locks.delete(old)
        except LockedError:
            continue
        except RefusedError:
            return False
    return True


def _bypass(locks: Locks, version: Version, lock: Lock, subject: str) -> Finding:
    if lock.mode == "governance":
        try:
            locks.delete(version, bypass=True)
        except StoreError:
            pass
        else:
            return Finding(
                level="warn",
                subject=subject,
                message="the lock holds, but these credentials may lift it (governance)",
                hint="Take the right to bypass governance from this host, or lock in compliance.",
            )
    return Finding(level="ok", subject=subject, message=f"a locked probe could not be deleted ({lock.mode})")
