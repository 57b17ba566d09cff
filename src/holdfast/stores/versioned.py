"""A store that keeps versions, seen as it was written: a wrapper that looks past deletions and later versions.

Of what is written once the oldest version is the truth. Whoever may put and delete can lay something over it, and
cannot remove it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, groupby
from typing import Protocol

from holdfast.stores.base import (
    ExistsError,
    RefusedError,
    Store,
    Stored,
    check_key,
    check_prefix,
    check_range,
    is_read_only,
    layers,
)
from holdfast.stores.locking import LockedError, Locks, Version
from holdfast.system.clock import SystemClock

_LASTING = 300.0  # seconds that a look at a folder is good for; a listing looks anew


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """An object that somebody deleted, or wrote over, while its `version` lies beneath. None: not told since when."""

    version: Version
    deleted: bool
    since: datetime | None


class Folders(Protocol):
    """What the store is to know of its keys."""

    def of(self, key: str) -> str | None:
        """Give the folder, with its `/`, of a key that is written once; None for one that may be written again."""
        ...

    def count(self, folder: str, *, written: Collection[str], there: Collection[str]) -> bool:
        """Whether what lies beneath still counts: of these keys some version was written, these are there to see."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """What was seen of a folder at that second: what is covered, and whether that counts."""

    at: float
    covered: dict[str, Covered]
    counts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Object:
    """The oldest version of a key and the one that is there to see; none of the one or of both."""

    key: str
    first: Version | None
    current: Version | None
    covered: Covered | None


class VersionedStore:
    """Gives of what is written once the oldest version, and removes every version of what it deletes.

    Where a folder does not count, and in a store that keeps no versions or shows them not, all is as it seems.
    May be used from several threads. `only_hides` tells that something was deleted, of which a version stayed,
    as these credentials may delete none.
    """

    read_only = False

    def __init__(self, inner: Store, locks: Locks, folders: Folders) -> None:
        self.inner = inner
        self.name = inner.name
        self.location = inner.location
        self.only_hides = False
        self._locks = locks
        self._folders = folders
        self._keeps: bool | None = None
        self._seen: dict[str, _Seen] = {}

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        """Store the object; see Store. What was deleted without right exists."""
        covered = self._covered(key)
        if absent and covered is not None:
            raise ExistsError(f"{self.location}: {key} exists already, beneath what was laid over it")
        vouched = self.inner.put(key, chunks, absent=absent)
        if not absent:
            self._keep_newest(key)
        elif self._is_beneath(key):  # the rest of a try that broke off
            with contextlib.suppress(RefusedError):
                self._keep_newest(key)
        return vouched

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the object's bytes; see Store."""
        check_range(start, length)
        return self._get(check_key(key), start, length)

    def _get(self, key: str, start: int, length: int | None) -> Iterator[bytes]:
        covered = self._covered(key)
        if covered is None:
            yield from self.inner.get(key, start=start, length=length)
        else:
            yield from self._locks.get(covered.version, start=start, length=length)

    def stat(self, key: str) -> Stored | None:
        """Tell of the object; see Store."""
        covered = self._covered(check_key(key))
        return self.inner.stat(key) if covered is None else _stored(covered.version)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Tell of the objects in order; see Store."""
        return self._list(check_prefix(prefix))

    def _list(self, prefix: str) -> Iterator[Stored]:
        start = self._folders.of(prefix + "x") or prefix  # a folder is looked at as a whole
        versions = self._versions(start)
        if versions is None:
            yield from self.inner.list(prefix)
            return
        for each in self._looked_at(versions):
            if each.key.startswith(prefix):
                yield each

    def delete(self, key: str) -> None:
        """Remove the object for ever, where these credentials may, else from sight; see Store.

        Raise LockedError for one of which a version is kept.
        """
        check_key(key)
        versions = None if is_read_only(self.inner) else self._versions(key)
        if versions is None:
            self.inner.delete(key)
            return
        try:
            for each in reversed(found := [each for each in versions if each.key == key]):
                self._locks.delete(each)
        except LockedError:
            raise
        except RefusedError:
            if any(each.current and not each.removal for each in found):
                self.inner.delete(key)
            self.only_hides = True
        finally:
            self._seen.pop(self._folders.of(key) or "", None)

    def covered(self, folder: str) -> tuple[Covered, ...]:
        """Tell what of a folder that counts was deleted or written over, by keys; as it was seen last."""
        return tuple(seen.covered.values()) if (seen := self._look(folder)) and seen.counts else ()

    def beneath(self, folder: str) -> dict[str, Iterator[bytes]]:
        """Give by key what lies beneath there, looked at anew: once the folder counts, that is what is read."""
        self._seen.pop(folder, None)
        covered = {} if (seen := self._look(folder)) is None else seen.covered
        return {key: self._locks.get(each.version) for key, each in covered.items()}

    def uncover(self, folder: str, *, but: Collection[str] = ()) -> tuple[str, ...]:
        """Remove what lies over the objects of a folder, `but` some; give their keys. Raise RefusedError without the right to."""
        done = []
        for each in (one for one in self.covered(folder) if one.version.key not in but):
            key = each.version.key
            if is_read_only(self.inner):
                raise RefusedError(f"{self.location}: {key} stays covered: the store is read-only")
            over = [found for found in self._locks.versions(key) if found.key == key]
            for later in reversed(over[over.index(each.version) + 1 :]):
                self._locks.delete(later)
            if self.inner.stat(key) is None:
                self._bring_up(each.version)
            done.append(key)
        self._seen.pop(folder, None)
        return tuple(done)

    def _bring_up(self, version: Version) -> None:
        """Write a version again, where the service lets none come back by itself when those after it are gone."""
        kept = self._locks.lock_of(version)
        if kept.held or (kept.until is not None and kept.until > SystemClock().now()):
            raise LockedError(
                f"{self.location}: {version.key} is locked{'' if kept.until is None else f' until {kept.until}'},"
                " and comes to light again only after that"
            )
        self.inner.put(version.key, self._locks.get(version), absent=True)
        self._locks.delete(version)

    def wasted(self, prefix: str) -> dict[str, datetime | None]:
        """Tell in which folders, as they were seen last, room is taken by what nobody sees and does not count.

        With each since when at most, where the service tells.
        """
        return {
            folder: max((each.since for each in seen.covered.values() if each.since), default=None)
            for folder, seen in sorted(self._seen.items())
            if folder.startswith(prefix) and seen.covered and not seen.counts
        }

    def purge(self, folder: str) -> bool:
        """Remove for ever what takes room there, unless the folder counts; return False when something stays."""
        if (seen := self._look(folder)) is None or seen.counts or not seen.covered:
            return True
        try:
            for each in self._versions(folder) or ():
                if self._folders.of(each.key) == folder and not each.current:
                    self._locks.delete(each)
        except RefusedError:
            self.only_hides = True
            return False
        self._seen.pop(folder, None)
        return True

    def _covered(self, key: str) -> Covered | None:
        """Give what is covered and counts."""
        folder = self._folders.of(key)
        seen = None if folder is None else self._look(folder)
        return seen.covered.get(key) if seen is not None and seen.counts else None

    def _is_beneath(self, key: str) -> bool:
        folder = self._folders.of(key)
        return folder is not None and (seen := self._look(folder)) is not None and key in seen.covered

    def _look(self, folder: str) -> _Seen | None:
        """Look at a folder, unless that was done just now; None where there are no versions."""
        known = self._seen.get(folder)
        if known is not None and time.monotonic() < known.at + _LASTING:
            return known
        versions = self._versions(folder)
        if versions is None:
            return None
        self._seen[folder] = _Seen(at=time.monotonic(), covered={}, counts=False)  # an empty one
        for _ in self._looked_at(versions):
            pass
        return self._seen[folder]

    def _versions(self, prefix: str) -> Iterator[Version] | None:
        """Begin to list versions; None where there are none to see."""
        if self._keeps is None:
            try:
                self._keeps = self._locks.kept()
            except RefusedError:  # whatever is wrong, what is asked for next tells it better
                return None
        if not self._keeps:
            return None
        found = self._locks.versions(prefix)
        try:
            first = next(found, None)
        except RefusedError:
            self._keeps = False
            return None
        return iter(()) if first is None else chain([first], found)

    def _looked_at(self, versions: Iterator[Version]) -> Iterator[Stored]:
        """Give the objects as they were written, a folder at a time, and remember what is covered."""
        folder: str | None = None
        gathered: list[_Object] = []
        for key, found in groupby(versions, key=lambda each: each.key):
            own = self._folders.of(key)
            if own not in (None, folder):
                yield from self._settled(folder, gathered)
                folder, gathered = own, []
            gathered.append(_object(key, list(found), once=own is not None))
        yield from self._settled(folder, gathered)

    def _settled(self, folder: str | None, found: Collection[_Object]) -> Iterator[Stored]:
        covered = {each.key: each.covered for each in found if each.covered is not None}
        counts = False
        if folder is not None and covered:
            counts = self._folders.count(
                folder,
                written={each.key for each in found if each.first is not None},
                there={each.key for each in found if each.current is not None},
            )
        if folder is not None:
            self._seen[folder] = _Seen(at=time.monotonic(), covered=covered, counts=counts)
        for each in found:
            shown = each.first if counts and each.covered is not None else each.current
            if shown is not None:
                yield _stored(shown)

    def _keep_newest(self, key: str) -> None:
        """Remove the versions beneath what was just written in the place of a damaged object."""
        folder = self._folders.of(key)
        versions = None if folder is None else self._versions(key)
        for each in versions or ():
            if each.key == key and not each.current:
                self._locks.delete(each)
        self._seen.pop(folder or "", None)


def versioned(store: Store) -> VersionedStore | None:
    """Give what looks past deletions in this store, if anything does."""
    return next((one for one in layers(store) if isinstance(one, VersionedStore)), None)


def _object(key: str, versions: list[Version], *, once: bool) -> _Object:
    first = next((each for each in versions if not each.removal), None)
    current = next((each for each in versions if each.current and not each.removal), None)
    covered = None
    if once and first is not None and (current is None or current.id != first.id):
        over = versions[versions.index(first) + 1 :]
        covered = Covered(version=first, deleted=current is None, since=over[0].modified_at if over else None)
    return _Object(key=key, first=first, current=current, covered=covered)


def _stored(version: Version) -> Stored:
    told = version.checksum or version.id
    return Stored(key=version.key, size=version.size, modified_at=version.modified_at, checksum=told)
