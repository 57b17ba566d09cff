"""A store in memory that keeps the contract: what tests use where the store is not their subject."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime

from holdfast.model.errors import NotFoundError
from holdfast.stores.base import ExistsError, Stored, check_key, check_prefix, check_range


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    """`objects` may be looked into, and broken, by a test. `vouches` is what put returns."""

    def __init__(
        self,
        name: str = "memory",
        *,
        vouches: bool = False,
        chunk_bytes: int = 65536,
        now: Callable[[], datetime] = _now,
    ) -> None:
        self.name = name
        self.location = f"memory://{name}"
        self.objects: dict[str, bytes] = {}
        self.vouches = vouches
        self._times: dict[str, datetime] = {}
        self._chunk_bytes = chunk_bytes
        self._now = now
        self._lock = threading.Lock()

    @property
    def backups(self) -> dict[str, bytes]:
        """The objects but leases."""
        return {key: data for key, data in self.objects.items() if not key.startswith(".holdfast-lease/")}

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        check_key(key)
        data = b"".join(chunks)
        with self._lock:
            if absent and key in self.objects:
                raise ExistsError(f"{self.location}: {key} exists already")
            self.objects[key] = data
            self._times[key] = self._now()
        return self.vouches

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        check_range(start, length)
        return self._read(check_key(key), start, length)

    def _read(self, key: str, start: int, length: int | None) -> Iterator[bytes]:
        with self._lock:
            data = self.objects.get(key)
        if data is None:
            raise NotFoundError(f"{self.location}: there is no {key}")
        end = len(data) if length is None else min(len(data), start + length)
        for at in range(start, end, self._chunk_bytes):
            yield data[at : min(end, at + self._chunk_bytes)]

    def stat(self, key: str) -> Stored | None:
        check_key(key)
        with self._lock:
            data = self.objects.get(key)
            return None if data is None else self._stored(key, data)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        check_prefix(prefix)
        with self._lock:
            found = [self._stored(key, data) for key, data in self.objects.items() if key.startswith(prefix)]
        return iter(sorted(found, key=lambda stored: stored.key))

    def delete(self, key: str) -> None:
        check_key(key)
        with self._lock:
            self.objects.pop(key, None)

    def _stored(self, key: str, data: bytes) -> Stored:
        return Stored(
            key=key,
            size=len(data),
            modified_at=self._times.get(key) or self._now(),
            checksum=hashlib.sha256(data).hexdigest(),
        )
