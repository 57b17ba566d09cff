"""The generations of the objects in a bucket of Google Cloud Storage, and their locks (object retention, holds).

`compliance` is a Locked retention, `governance` an Unlocked one; a hold is a temporary hold. Nothing marks a deletion.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from holdfast.model.errors import NotFoundError
from holdfast.stores.base import RefusedError, check_key, check_prefix, check_range
from holdfast.stores.gcs_client import Client
from holdfast.stores.gcs_download import Origin, download
from holdfast.stores.gcs_errors import MISSING
from holdfast.stores.locking import Lock, LockedError, LockMode, LockRule, Version
from holdfast.stores.places import our_key, turned
from holdfast.stores.requests import AnswerError, Requests

T = TypeVar("T")
_PAGE = 1000
MODES: dict[LockMode, str] = {"compliance": "Locked", "governance": "Unlocked"}
_OURS: dict[str, LockMode] = {theirs: ours for ours, theirs in MODES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsLocks:
    """See Locks. `root` is what every name in the bucket begins with; `patience` is in seconds."""

    requests: Requests
    client: Client = field(repr=False)
    root: str
    patience: float
    rule: LockRule | None

    def kept(self) -> bool:
        """Whether generations are kept; see Locks. To ask takes a right that most roles for objects lack."""
        try:
            return self.requests.send(self.client.keeps_versions, "ask whether versions are kept")
        except RefusedError:
            return True

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """Tell of every generation; see Locks."""
        return self._versions(prefix, self.root + check_prefix(prefix))

    def _versions(self, prefix: str, path: str) -> Iterator[Version]:
        token: str | None = None
        while True:
            before = token
            found, token = self._page(prefix, path, before)
            turned(self.requests.where, before, token)
            for blob in found:
                key = our_key(self.requests.where, self.root, path, blob.name)
                if key is not None:
                    yield Version(
                        key=key,
                        id=str(blob.generation),
                        size=blob.size,
                        modified_at=blob.time_created,
                        current=blob.time_deleted is None,
                    )
            if token is None:
                return

    def _page(self, prefix: str, path: str, token: str | None) -> tuple[list[Any], str | None]:
        return self.requests.send(
            lambda: self.client.page(path, token, _PAGE, versions=True),
            f"list the versions of {prefix or 'the bucket'}",
        )

    def get(self, version: Version, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the bytes of a generation; see Locks."""
        check_range(start, length)
        origin = Origin(
            requests=self.requests,
            client=self.client,
            path=self.root + check_key(version.key),
            key=version.key,
            patience=self.patience,
            generation=int(version.id),
        )
        return download(origin, start=start, length=length)

    def lock_of(self, version: Version) -> Lock:
        """Tell what keeps a generation; see Locks."""
        path, generation = self._named(version)
        blob = self._of(version, "look at", lambda: self.client.look(path, generation))
        return Lock(
            until=blob.retention.retain_until_time,
            mode=_OURS.get(blob.retention.mode),
            held=bool(blob.temporary_hold or blob.event_based_hold),
        )

    def lock(self, version: Version, until: datetime) -> Lock:
        """Keep a generation until then at least; see Locks."""
        if self.rule is None:
            raise ValueError("the config asks for no locks")
        found = self.lock_of(version)
        wanted = self.rule.longer(found, until)
        if wanted is None:
            return found
        later, mode = wanted
        path, generation = self._named(version)
        self._of(version, "lock", lambda: self.client.retain(path, generation, MODES[mode], later))
        return Lock(until=later, mode=mode, held=found.held)

    def hold(self, version: Version, *, on: bool) -> None:
        """Put a generation under a temporary hold, or release it; see Locks."""
        path, generation = self._named(version)
        self._of(version, "hold" if on else "release", lambda: self.client.hold(path, generation, on=on))

    def delete(self, version: Version, *, bypass: bool = False) -> None:
        """Remove a generation for ever; see Locks. To bypass is to lift the retention first."""
        path, generation = self._named(version)
        with contextlib.suppress(NotFoundError):
            if bypass:
                self._of(version, "unlock", lambda: self.client.retain(path, generation, None, None))
            try:
                self._of(version, "delete", lambda: self.client.delete(path, generation))
            except RefusedError as error:
                kept = self.lock_of(version)
                if not kept.held and kept.until is None:
                    raise
                raise LockedError(
                    f"{self.requests.where}: {version.key} is locked: {error.message}", hint=error.hint
                ) from error

    def _of(self, version: Version, doing: str, request: Callable[[], T]) -> T:
        try:
            return self.requests.send(request, f"{doing} a version of {version.key}", expected=MISSING)
        except AnswerError as answer:
            raise NotFoundError(
                f"{self.requests.where}: there is no such version of {version.key}"
            ) from answer

    def _named(self, version: Version) -> tuple[str, int]:
        return self.root + check_key(version.key), int(version.id)
