"""The versions of the blobs in a container of Azure, and their locks (version-level immutability, legal holds).

`compliance` is a locked policy, `governance` an unlocked one. Nothing marks a deletion.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from holdfast.model.errors import NotFoundError
from holdfast.stores.azure_client import Client
from holdfast.stores.azure_download import Origin, download
from holdfast.stores.azure_errors import CURRENT, MISSING
from holdfast.stores.base import RefusedError, check_key, check_prefix, check_range
from holdfast.stores.locking import Lock, LockedError, LockMode, LockRule, Version
from holdfast.stores.places import our_key, turned
from holdfast.stores.requests import AnswerError, Requests
from holdfast.system.clock import SystemClock

T = TypeVar("T")
_PAGE = 1000
_NO_VERSION = ""
MODES: dict[LockMode, str] = {"compliance": "Locked", "governance": "Unlocked"}
_OURS: dict[str, LockMode] = {theirs.lower(): ours for ours, theirs in MODES.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureLocks:
    """See Locks. `root` is what every name in the container begins with; `patience` is in seconds."""

    requests: Requests
    client: Client = field(repr=False)
    root: str
    patience: float
    rule: LockRule | None

    def kept(self) -> bool:
        """Whether versions are kept; see Locks. Only the blobs tell: those that have one were put since."""
        found, _ = self._page("", self.root, None)
        return not found or any(blob.version_id is not None for blob in found)

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """Tell of every version; see Locks."""
        return self._versions(prefix, self.root + check_prefix(prefix))

    def _versions(self, prefix: str, path: str) -> Iterator[Version]:
        token: str | None = None
        while True:
            before = token
            found, token = self._page(prefix, path, before)
            turned(self.requests.where, before, token)
            for blob in found:
                key = our_key(self.requests.where, self.root, path, blob.name)
                if key is not None:  # one from before versions were kept has none, until it is written over
                    yield Version(
                        key=key,
                        id=blob.version_id or _NO_VERSION,
                        size=blob.size,
                        modified_at=blob.last_modified,
                        current=blob.version_id is None or bool(blob.is_current_version),
                        checksum=blob.etag if blob.version_id is None else None,
                    )
            if not token:
                return

    def _page(self, prefix: str, path: str, token: str | None) -> tuple[list[Any], str | None]:
        return self.requests.send(
            lambda: self.client.page(path, token, _PAGE, versions=True),
            f"list the versions of {prefix or 'the container'}",
        )

    def get(self, version: Version, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the bytes of a version; see Locks."""
        check_range(start, length)
        origin = Origin(
            requests=self.requests,
            client=self.client,
            path=self.root + check_key(version.key),
            key=version.key,
            patience=self.patience,
            version=version.id or None,
        )
        return download(origin, start=start, length=length)

    def lock_of(self, version: Version) -> Lock:
        """Tell what keeps a version; see Locks."""
        path = self.root + check_key(version.key)
        found = self._of(version, "look at", lambda: self.client.look(path, version.id or None))
        policy = found.immutability_policy
        return Lock(
            until=policy.expiry_time,
            mode=_OURS.get((policy.policy_mode or "").lower()),
            held=bool(found.has_legal_hold),
        )

    def lock(self, version: Version, until: datetime) -> Lock:
        """Keep a version until then at least; see Locks."""
        if self.rule is None:
            raise ValueError("the config asks for no locks")
        found = self.lock_of(version)
        wanted = self.rule.longer(found, until)
        if wanted is None:
            return found
        later, mode = wanted
        path = self.root + check_key(version.key)
        self._of(version, "lock", lambda: self.client.retain(path, version.id, MODES[mode], later))
        return Lock(until=later, mode=mode, held=found.held)

    def hold(self, version: Version, *, on: bool) -> None:
        """Put a version under a legal hold, or release it; see Locks."""
        path = self.root + check_key(version.key)
        self._of(version, "hold" if on else "release", lambda: self.client.hold(path, version.id, on=on))

    def delete(self, version: Version, *, bypass: bool = False) -> None:
        """Remove a version for ever; see Locks. To bypass is to lift the policy first."""
        path = self.root + check_key(version.key)
        with contextlib.suppress(NotFoundError):
            if bypass:
                self._of(version, "unlock", lambda: self.client.unlock(path, version.id))
            try:
                self._delete(version, path)
            except RefusedError as error:
                kept = self.lock_of(version)
                if not kept.held and kept.until is None:
                    raise
                raise LockedError(
                    f"{self.requests.where}: {version.key} is locked: {error.message}", hint=error.hint
                ) from error

    def _delete(self, version: Version, path: str) -> None:
        """Remove a version; the current one by way of the blob, as the service asks for, unless it is locked."""
        doing = f"delete a version of {version.key}"
        try:
            self.requests.send(
                lambda: self.client.delete(path, version=version.id or None),
                doing,
                expected=CURRENT | MISSING,
            )
        except AnswerError as answer:
            kept = self.lock_of(version)  # a NotFoundError, where it is gone
            if kept.held or (kept.until is not None and kept.until > SystemClock().now()):
                raise RefusedError(f"{self.requests.where}: {version.key} is kept") from answer
            self.requests.send(lambda: self.client.delete(path), doing)
            self._of(version, "delete", lambda: self.client.delete(path, version=version.id or None))

    def _of(self, version: Version, doing: str, request: Callable[[], T]) -> T:
        try:
            return self.requests.send(request, f"{doing} a version of {version.key}", expected=MISSING)
        except AnswerError as answer:
            raise NotFoundError(
                f"{self.requests.where}: there is no such version of {version.key}"
            ) from answer
