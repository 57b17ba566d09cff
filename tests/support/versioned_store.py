"""A store in memory that keeps versions and marks of deletions, as a bucket of S3 does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from holdfast.model.errors import NotFoundError
from holdfast.stores.base import ExistsError, RefusedError, Stored, check_key, check_prefix, check_range
from holdfast.stores.locking import Lock, LockedError, LockRule, Version


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class _Kept:
    version: Version
    data: bytes
    lock: Lock


class VersionedMemoryStore:
    """`may_delete` and `may_delete_versions` are rights that a test may take away. `asked` counts listings of versions."""

    def __init__(self, name: str = "memory", *, now: Callable[[], datetime] = _now) -> None:
        self.name = name
        self.location = f"memory://{name}"
        self.may_delete = True
        self.may_delete_versions = True
        self.may_see_versions = True
        self.asked = 0
        self.kept: list[_Kept] = []
        self._now = now

    @property
    def objects(self) -> dict[str, bytes]:
        """What is there to see."""
        return {
            each.version.key: each.data
            for each in self.kept
            if each.version.current and not each.version.removal
        }

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        check_key(key)
        data = b"".join(chunks)
        if absent and key in self.objects:
            raise ExistsError(f"{self.location}: {key} exists already")
        self._add(key, data, removal=False)
        return True

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        check_range(start, length)
        return self._read(check_key(key), start, length)

    def _read(self, key: str, start: int, length: int | None) -> Iterator[bytes]:
        if key not in self.objects:
            raise NotFoundError(f"{self.location}: there is no {key}")
        yield from _pieces(self.objects[key], start, length)

    def stat(self, key: str) -> Stored | None:
        check_key(key)
        return next((each for each in self.list(key) if each.key == key), None)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        check_prefix(prefix)
        found = [each.version for each in self.kept if each.version.current and not each.version.removal]
        return iter(
            Stored(key=each.key, size=each.size, modified_at=each.modified_at)
            for each in sorted(found, key=lambda each: each.key)
            if each.key.startswith(prefix)
        )

    def delete(self, key: str) -> None:
        check_key(key)
        if not self.may_delete:
            raise RefusedError(f"{self.location}: no right to delete {key}")
        self._add(key, b"", removal=True)

    def locks(self) -> MemoryLocks:
        return MemoryLocks(self)

    def _add(self, key: str, data: bytes, *, removal: bool) -> None:
        for each in self.kept:
            if each.version.key == key:
                each.version = replace(each.version, current=False)
        version = Version(
            key=key,
            id=str(len(self.kept)),
            size=len(data),
            modified_at=self._now(),
            current=True,
            removal=removal,
        )
        self.kept.append(_Kept(version, data, Lock()))


class MemoryLocks:
    """See Locks."""

    rule: LockRule | None = None

    def __init__(self, store: VersionedMemoryStore) -> None:
        self._store = store

    def kept(self) -> bool:
        return True

    def versions(self, prefix: str = "") -> Iterator[Version]:
        self._store.asked += 1
        if not self._store.may_see_versions:
            raise RefusedError("no right to list versions")
        found = [each.version for each in self._store.kept if each.version.key.startswith(prefix)]
        yield from sorted(found, key=lambda each: (each.key, int(each.id)))

    def get(self, version: Version, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        check_range(start, length)
        return iter(list(_pieces(self._find(version).data, start, length)))

    def lock_of(self, version: Version) -> Lock:
        return self._find(version).lock

    def lock(self, version: Version, until: datetime) -> Lock:
        found = self._find(version)
        found.lock = replace(found.lock, until=until, mode="compliance")
        return found.lock

    def hold(self, version: Version, *, on: bool) -> None:
        found = self._find(version)
        found.lock = replace(found.lock, held=on)

    def delete(self, version: Version, *, bypass: bool = False) -> None:  # noqa: ARG002 - the contract's
        found = next((each for each in self._store.kept if each.version.id == version.id), None)
        if found is None:
            return
        if found.lock != Lock():
            raise LockedError(f"{version.key} is locked")
        if not self._store.may_delete_versions:
            raise RefusedError(f"no right to delete a version of {version.key}")
        self._store.kept.remove(found)
        left = [each for each in self._store.kept if each.version.key == version.key]
        if left and found.version.current:
            left[-1].version = replace(left[-1].version, current=True)

    def _find(self, version: Version) -> _Kept:
        found = next((each for each in self._store.kept if each.version.id == version.id), None)
        if found is None:
            raise NotFoundError(f"there is no such version of {version.key}")
        return found


def _pieces(data: bytes, start: int, length: int | None) -> Iterator[bytes]:
    end = len(data) if length is None else min(len(data), start + length)
    for at in range(start, end, 65536):
        yield data[at : min(end, at + 65536)]
