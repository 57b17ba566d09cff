"""A store in a bucket of S3, or of anything that speaks its protocol."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from holdfast.model.errors import StoreError
from holdfast.stores import s3_errors
from holdfast.stores.base import Conditions, ExistsError, Stored, check_key, check_prefix, check_range
from holdfast.stores.locking import LockRule
from holdfast.stores.places import location, our_key, root_of, turned
from holdfast.stores.requests import AnswerError, Requests

if TYPE_CHECKING:
    from holdfast.stores.s3_lock import S3Locks

PART_BYTES = (
    8 * 1024**2
)  # 10,000 of them (S3's limit) hold 78 GiB, more than a segment; two are kept in memory
_OF_A_LIST = frozenset({"Name", "IsTruncated", "KeyCount", "MaxKeys", "Contents"})


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """How to reach a bucket. What is None is found by boto3's own chain (environment, profile, instance role).

    Times are in seconds: `patience` is how long a request is tried at most, `deadline` the same within a running
    upload or download, `retry_pause` the first pause between two tries.
    """

    name: str
    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    path_style: bool = False
    profile: str | None = None
    role_arn: str | None = None
    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    storage_class: str | None = None
    sse: Literal["AES256", "aws:kms"] | None = None
    kms_key_id: str | None = None
    checksum: Literal["sha256", "none"] = "sha256"
    verify_tls: bool = True
    ca_bundle: str | None = None
    deadline: float = 900
    patience: float = 60
    retry_pause: float = 0.5
    connect_timeout: float = 20
    read_timeout: float = 90
    part_bytes: int = PART_BYTES
    lock: LockRule | None = None


class S3Store:
    """Keeps each object under the prefix of a bucket. May be used from several threads."""

    def __init__(self, settings: S3Settings) -> None:
        """Raise ConfigError for settings that make no sense, StoreError for those that boto3 refuses."""
        from holdfast.stores.s3_client import connect  # noqa: PLC0415 - boto3 is slow to import

        self.name = settings.name
        self._settings = settings
        self._root = root_of(settings.name, settings.prefix)
        self.location = location(settings.name, f"s3://{settings.bucket}/{self._root}", settings.endpoint_url)
        self._client = connect(settings)
        self._requests = Requests(
            dialect=s3_errors,
            where=self.location,
            patience=settings.patience,
            pause=settings.retry_pause,
        )

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        """Store the object; see Store. True when the store's MD5 of the content is ours."""
        from holdfast.stores.s3_upload import Destination, upload  # noqa: PLC0415 - boto3 is slow to import

        if absent and self.stat(key) is not None:
            raise ExistsError(f"{self.location}: {key} exists already")
        destination = Destination(
            requests=self._requests,
            client=self._client,
            bucket=self._settings.bucket,
            path=self._path(key),
            key=key,
            options={**_options(self._settings), **_lock_options(self._settings.lock, key)},
            part_bytes=self._settings.part_bytes,
            checksums=self._settings.checksum == "sha256",
            patience=self._settings.deadline,
            absent=absent,
        )
        vouched = upload(destination, chunks)
        self.locks().make_sure(key)
        return vouched

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the object's bytes in chunks of at most 1 MiB, going on where a connection broke; see Store."""
        from holdfast.stores.s3_download import Origin, download  # noqa: PLC0415 - boto3 is slow to import

        check_range(start, length)
        origin = Origin(
            requests=self._requests,
            client=self._client,
            bucket=self._settings.bucket,
            path=self._path(key),
            key=key,
            patience=self._settings.deadline,
        )
        return download(origin, start=start, length=length)

    def stat(self, key: str) -> Stored | None:
        """Tell of the object; see Store."""
        path = self._path(key)
        try:
            head = self._send("look at " + key, "head_object", expected=s3_errors.MISSING, Key=path)
        except AnswerError:
            return None
        size, modified_at = self._told(head, key, "ContentLength", "LastModified")
        return Stored(key=key, size=size, modified_at=modified_at)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Tell of the objects in order, a page of 1,000 at a time; see Store."""
        path = self._root + check_prefix(prefix)
        return self._listed(prefix, path)

    def _listed(self, prefix: str, path: str) -> Iterator[Stored]:
        page: dict[str, Any] = {}
        while True:
            more = {"ContinuationToken": page["NextContinuationToken"]} if page else {}
            page = self._send(f"list {prefix or 'the bucket'}", "list_objects_v2", Prefix=path, **more)
            more_to_come = page.get("IsTruncated") and not page.get("NextContinuationToken")
            if (
                more_to_come or not page.keys() & _OF_A_LIST
            ):  # the library takes any XML, and none, for an answer
                raise StoreError(
                    f"{self.location}: what came is not a listing",
                    hint="Does something else answer at this address, such as a proxy?",
                )
            turned(self.location, more.get("ContinuationToken"), page.get("NextContinuationToken"))
            for found in page.get("Contents", ()):
                key = our_key(self.location, self._root, path, found["Key"])
                if key is not None:
                    size, modified_at = self._told(found, key, "Size", "LastModified")
                    yield Stored(key=key, size=size, modified_at=modified_at, checksum=found.get("ETag"))
            if not page.get("IsTruncated"):
                return

    def delete(self, key: str) -> None:
        """Remove the object; see Store."""
        path = self._path(key)
        with contextlib.suppress(AnswerError):
            self._send("delete " + key, "delete_object", expected=s3_errors.MISSING, Key=path)

    def abort_stale(self, prefix: str, before: datetime) -> int:
        """Abort multipart uploads under `prefix` begun before `before`; see Housekeeping."""
        stale = [
            found for found in self._uploads(self._root + check_prefix(prefix)) if found["Initiated"] < before
        ]
        count = 0
        for found in stale:
            named = {"Key": found["Key"], "UploadId": found["UploadId"]}
            doing = f"abort the upload of {found['Key']}"
            with contextlib.suppress(AnswerError):
                self._send(doing, "abort_multipart_upload", expected=s3_errors.NO_UPLOAD, **named)
                count += 1
        return count

    def _uploads(self, path: str) -> Iterator[dict[str, Any]]:
        more: dict[str, Any] = {}
        while True:
            page = self._send("list unfinished uploads", "list_multipart_uploads", Prefix=path, **more)
            # Some services do not look at the prefix here, and others' uploads are none of our business.
            yield from (found for found in page.get("Uploads", ()) if found["Key"].startswith(path))
            if not page.get("IsTruncated"):
                return
            names = self._told(page, "unfinished uploads", "NextKeyMarker", "NextUploadIdMarker")
            following = dict(zip(("KeyMarker", "UploadIdMarker"), names, strict=True))
            turned(self.location, more, following)
            more = following

    def conditions(self, key: str) -> Conditions:
        """Try to overwrite an object on the condition that there is none; see Conditional."""
        from holdfast.stores.s3_probe import conditions  # noqa: PLC0415 - boto3 is slow to import

        return conditions(self._requests, self._client, self._settings.bucket, self._path(key))

    def locks(self) -> S3Locks:
        """Give the versions of the objects, and their locks; see Lockable."""
        from holdfast.stores.s3_lock import S3Locks  # noqa: PLC0415 - boto3 is slow to import

        return S3Locks(
            requests=self._requests,
            client=self._client,
            bucket=self._settings.bucket,
            root=self._root,
            patience=self._settings.deadline,
            rule=self._settings.lock,
        )

    def hurry(self) -> None:
        """Wait no longer for a store that does not answer; see Hurrying."""
        self._requests.hurry()

    def _send(self, doing: str, method: str, *, expected: frozenset[str] = frozenset(), **told: Any) -> Any:  # noqa: ANN401
        request = getattr(self._client, method)
        return self._requests.send(
            lambda: request(Bucket=self._settings.bucket, **told), doing, expected=expected
        )

    def _told(self, answer: dict[str, Any], key: str, *names: str) -> tuple[Any, ...]:
        return s3_errors.told(answer, f"{self.location}: {key}", *names)

    def _path(self, key: str) -> str:
        return self._root + check_key(key)


def _options(settings: S3Settings) -> dict[str, str]:
    """Give what every new object is made with."""
    told = {
        "StorageClass": settings.storage_class,
        "ServerSideEncryption": settings.sse,
        "SSEKMSKeyId": settings.kms_key_id,
    }
    return {name: value for name, value in told.items() if value is not None}


def _lock_options(rule: LockRule | None, key: str) -> dict[str, Any]:
    """Give what locks a new object from the start."""
    until = None if rule is None else rule.at_put(key)
    if rule is None or until is None:
        return {}
    return {"ObjectLockMode": rule.mode.upper(), "ObjectLockRetainUntilDate": until}
