"""The versions of the objects in a bucket of S3, and their locks (Object Lock)."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from holdfast.model.errors import NotFoundError
from holdfast.stores.base import check_key, check_prefix, check_range
from holdfast.stores.locking import Lock, LockedError, LockMode, LockRule, Version, in_order
from holdfast.stores.places import our_key, turned
from holdfast.stores.requests import AnswerError, Requests
from holdfast.stores.s3_client import Client
from holdfast.stores.s3_download import Origin, download
from holdfast.stores.s3_errors import DENIED, MISSING, NOT_IMPLEMENTED

_NO_VERSION = "null"  # of what was put before versions were kept, or while that is suspended


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Locks:
    """See Locks. `root` is what every key in the bucket begins with; `patience` is in seconds."""

    requests: Requests
    client: Client = field(repr=False)
    bucket: str
    root: str
    patience: float
    rule: LockRule | None

    def kept(self) -> bool:
        """Whether versions are kept; see Locks. Those from before versioning was suspended are there still."""
        try:
            told = self.requests.send(
                lambda: self.client.get_bucket_versioning(Bucket=self.bucket),
                "ask whether versions are kept",
                expected=DENIED | NOT_IMPLEMENTED,
            )
        except AnswerError as answer:
            return answer.code in DENIED
        return "Status" in told

    def versions(self, prefix: str = "") -> Iterator[Version]:
        """Tell of every version, and of every mark of a deletion; see Locks."""
        return in_order(self._newest_first(prefix, self.root + check_prefix(prefix)))

    def get(self, version: Version, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the bytes of a version; see Locks."""
        check_range(start, length)
        origin = Origin(
            requests=self.requests,
            client=self.client,
            bucket=self.bucket,
            path=self.root + check_key(version.key),
            key=version.key,
            patience=self.patience,
            version=version.id,
        )
        return download(origin, start=start, length=length)

    def lock_of(self, version: Version) -> Lock:
        """Tell what keeps a version; see Locks."""
        head = self._of(version, "look at", self.client.head_object)
        mode = head.get("ObjectLockMode")
        return Lock(
            until=head.get("ObjectLockRetainUntilDate"),
            mode=None if mode is None else cast("LockMode", mode.lower()),
            held=head.get("ObjectLockLegalHoldStatus") == "ON",
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
        told = {"Mode": mode.upper(), "RetainUntilDate": later}
        self._of(version, "lock", self.client.put_object_retention, Retention=told)
        return Lock(until=later, mode=mode, held=found.held)

    def make_sure(self, key: str) -> None:
        """Lock an object that was put with a lock, where the service took that and forgot it."""
        until = None if self.rule is None else self.rule.at_put(key)
        if until is None:
            return
        named = {"Bucket": self.bucket, "Key": self.root + check_key(key)}
        head = self.requests.send(lambda: self.client.head_object(**named), f"look at the lock of {key}")
        if "ObjectLockRetainUntilDate" not in head:
            version = Version(
                key=key,
                id=head.get("VersionId", _NO_VERSION),
                size=head["ContentLength"],
                modified_at=head["LastModified"],
                current=True,
            )
            self.lock(version, until)

    def hold(self, version: Version, *, on: bool) -> None:
        """Put a version under a legal hold, or release it; see Locks."""
        status = {"Status": "ON" if on else "OFF"}
        self._of(version, "hold" if on else "release", self.client.put_object_legal_hold, LegalHold=status)

    def delete(self, version: Version, *, bypass: bool = False) -> None:
        """Remove a version for ever; see Locks."""
        told = {"BypassGovernanceRetention": True} if bypass else {}
        doing = f"delete a version of {version.key}"
        named = self._named(version)
        try:
            self.requests.send(
                lambda: self.client.delete_object(**named, **told), doing, expected=MISSING | DENIED
            )
        except AnswerError as answer:
            if answer.code in MISSING:
                return
            kept = self.lock_of(version) if not version.removal else Lock()
            if kept.held or kept.until is not None:
                raise LockedError(
                    f"{self.requests.where}: {version.key} is locked{f' until {kept.until}' if kept.until else ''}",
                    hint="That is what a lock is for: wait until its time is over.",
                ) from answer
            # Not the lock, so that it is a right that is missing: ask once more for the whole story.
            self.requests.send(lambda: self.client.delete_object(**named, **told), doing)

    def _of(self, version: Version, doing: str, request: Any, **told: Any) -> Any:  # noqa: ANN401 - boto3's
        named = self._named(version)
        try:
            return self.requests.send(
                lambda: request(**named, **told), f"{doing} a version of {version.key}", expected=MISSING
            )
        except AnswerError as answer:
            raise NotFoundError(
                f"{self.requests.where}: there is no such version of {version.key}"
            ) from answer

    def _named(self, version: Version) -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": self.root + check_key(version.key), "VersionId": version.id}

    def _newest_first(self, prefix: str, path: str) -> Iterator[Version]:
        more: dict[str, Any] = {}
        while True:
            page = self.requests.send(
                lambda more=more: self.client.list_object_versions(  # type: ignore[misc]
                    Bucket=self.bucket, Prefix=path, **more
                ),
                f"list the versions of {prefix or 'the bucket'}",
            )
            yield from self._merged(page, path)
            if not page.get("IsTruncated"):
                return
            following = {
                theirs: page[f"Next{theirs}"]
                for theirs in ("KeyMarker", "VersionIdMarker")
                if page.get(f"Next{theirs}")
            }
            turned(self.requests.where, more, following)
            more = following

    def _merged(self, page: dict[str, Any], path: str) -> Iterator[Version]:
        """Bring versions and marks together: each come by keys, the newest first. Times are in whole seconds."""
        contents = [self._version(one) for one in page.get("Versions", ()) if self._ours(one, path)]
        marks = [
            self._version(one, removal=True) for one in page.get("DeleteMarkers", ()) if self._ours(one, path)
        ]
        yield from heapq.merge(
            marks, contents, key=lambda one: (one.key, not one.current, -one.modified_at.timestamp())
        )

    def _ours(self, found: dict[str, Any], path: str) -> bool:
        return our_key(self.requests.where, self.root, path, found["Key"]) is not None

    def _version(self, found: dict[str, Any], *, removal: bool = False) -> Version:
        return Version(
            key=found["Key"].removeprefix(self.root),
            id=found["VersionId"],
            size=found.get("Size", 0),
            modified_at=found["LastModified"],
            current=found["IsLatest"],
            removal=removal,
            checksum=found.get("ETag") if found["VersionId"] == _NO_VERSION else None,
        )
