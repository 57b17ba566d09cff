"""The files of somebody's own buckets, by S3: names of any kind, with what is kept of them besides their bytes.

A store has keys of our making; these are the owner's files, which are read, and written back on request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from holdfast.model.errors import StoreError
from holdfast.model.storage import File, Properties
from holdfast.stores import s3_errors
from holdfast.stores.requests import Requests
from holdfast.stores.s3 import PART_BYTES, S3Settings

_FIELDS = {
    "content_type": "ContentType",
    "cache_control": "CacheControl",
    "content_disposition": "ContentDisposition",
    "content_encoding": "ContentEncoding",
    "content_language": "ContentLanguage",
}
_UNDATED = datetime(1970, 1, 1, tzinfo=UTC)  # the platform may keep no date of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class BucketAccess:
    """How to reach the buckets. Times are in seconds, as those of S3Settings."""

    url: str
    region: str
    access_key_id: str = field(repr=False)
    secret_access_key: str = field(repr=False)
    patience: float = 60
    deadline: float = 900


class BucketFiles:
    """All files of all buckets at one address. Every method raises StoreError, with a hint, for what is refused."""

    def __init__(self, access: BucketAccess) -> None:
        """Nothing is contacted yet."""
        from holdfast.stores.s3_client import connect  # noqa: PLC0415 - boto3 is slow to import

        self._deadline = access.deadline
        self._client = connect(
            S3Settings(
                name="the project's buckets",
                bucket="",
                endpoint_url=access.url,
                region=access.region,
                path_style=True,
                access_key_id=access.access_key_id,
                secret_access_key=access.secret_access_key,
            )
        )
        self._requests = Requests(dialect=s3_errors, where=access.url, patience=access.patience, pause=0.5)

    def hurry(self) -> None:
        """Try every request once from now on: the work is to end."""
        self._requests.hurry()

    def buckets(self) -> tuple[str, ...]:
        """The names of the buckets, in order."""
        found = self._requests.send(self._client.list_buckets, "list the buckets")
        if (
            "Owner" not in found and "Buckets" not in found
        ):  # the library takes any XML, and none, for an answer
            raise self._no_list("the list of the buckets")
        return tuple(sorted(str(each["Name"]) for each in found.get("Buckets", ())))

    def files(self, bucket: str) -> Iterator[File]:
        """The files of a bucket, a page of 1,000 at a time."""
        page: dict[str, Any] = {}
        while True:
            more = {"ContinuationToken": page["NextContinuationToken"]} if page else {}
            page = self._requests.send(
                lambda more=more: self._client.list_objects_v2(Bucket=bucket, **more),  # type: ignore[misc]
                f"list bucket {bucket}",
            )
            if "Name" not in page or (page.get("IsTruncated") and not page.get("NextContinuationToken")):
                raise self._no_list(f"the list of bucket {bucket}")
            for found in page.get("Contents", ()):
                yield File(
                    bucket=bucket,
                    name=found["Key"],
                    size=found["Size"],
                    etag=str(found.get("ETag", "")).strip('"'),
                    modified_at=found.get("LastModified", _UNDATED),
                )
            if not page.get("IsTruncated"):
                return

    def _no_list(self, what: str) -> StoreError:
        """Files that were not told of would be missing in a snapshot, and nobody would know."""
        return StoreError(
            f"{self._requests.where}: what came is not {what}",
            hint="Does something else answer at this address? Compare storage_url with Storage > S3 in the dashboard.",
        )

    def open(self, bucket: str, name: str) -> tuple[File, Properties, Iterator[bytes]]:
        """Begin to read a file, as it is now: it, its properties, and its bytes. Raise NotFoundError when it is gone."""
        from holdfast.stores.s3_download import Origin, opened  # noqa: PLC0415 - boto3 is slow to import

        origin = Origin(
            requests=self._requests,
            client=self._client,
            bucket=bucket,
            path=name,
            key=f"{bucket}/{name}",
            patience=self._deadline,
        )
        answer, chunks = opened(origin)
        file = File(
            bucket=bucket,
            name=name,
            size=int(answer["ContentLength"]),
            etag=str(answer.get("ETag", "")).strip('"'),
            modified_at=answer.get("LastModified", _UNDATED),
        )
        told = {ours: answer.get(theirs) for ours, theirs in _FIELDS.items()}
        metadata = {str(key): str(value) for key, value in answer.get("Metadata", {}).items()}
        return file, Properties(metadata=metadata, **told), chunks

    def put(self, bucket: str, name: str, properties: Properties, chunks: Iterable[bytes]) -> None:
        """Write a file, whole or not at all, over one of that name."""
        from holdfast.stores.s3_upload import Destination, upload  # noqa: PLC0415 - boto3 is slow to import

        told = {theirs: getattr(properties, ours) for ours, theirs in _FIELDS.items()}
        destination = Destination(
            requests=self._requests,
            client=self._client,
            bucket=bucket,
            path=name,
            key=f"{bucket}/{name}",
            options={
                **{key: value for key, value in told.items() if value is not None},
                "Metadata": dict(properties.metadata),
            },
            part_bytes=PART_BYTES,
            checksums=False,
            patience=self._deadline,
            absent=False,
            token=None,
        )
        upload(destination, chunks)

    def make_bucket(self, bucket: str) -> bool:
        """Make a bucket; return whether it was not there."""
        if bucket in self.buckets():  # some services say yes to making it again
            return False
        self._requests.send(lambda: self._client.create_bucket(Bucket=bucket), f"make bucket {bucket}")
        return True
