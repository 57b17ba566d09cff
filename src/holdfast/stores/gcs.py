"""A store in a bucket of Google Cloud Storage. Its library is an extra: holdfast[gcs]."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from holdfast.stores import gcs_errors
from holdfast.stores.base import Conditions, ExistsError, Stored, check_key, check_prefix, check_range
from holdfast.stores.locking import LockRule
from holdfast.stores.places import location, our_key, root_of, turned
from holdfast.stores.requests import AnswerError, Requests

if TYPE_CHECKING:
    from holdfast.stores.gcs_lock import GcsLocks

PART_BYTES = 8 * 1024**2  # a multiple of 256 KiB, as the protocol asks; two are kept in memory
_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsSettings:
    """How to reach a bucket. What is None is found by Google's own chain.

    That is GOOGLE_APPLICATION_CREDENTIALS, gcloud's login, workload identity, the machine's service account.
    `credentials` is the text of a JSON file: the key of a service account, or a workload identity federation.
    Times are in seconds, as in a store of S3.
    """

    name: str
    bucket: str
    prefix: str = ""
    endpoint_url: str | None = None
    project: str | None = None
    credentials: str | None = field(default=None, repr=False)
    anonymous: bool = False
    storage_class: str | None = None
    kms_key_name: str | None = None
    ca_bundle: str | None = None
    deadline: float = 900
    patience: float = 60
    retry_pause: float = 0.5
    connect_timeout: float = 20
    read_timeout: float = 90
    part_bytes: int = PART_BYTES
    lock: LockRule | None = None


class GcsStore:
    """Keeps each object under the prefix of a bucket. May be used from several threads.

    There are no half-written uploads to look for: the service cannot list them, and drops them after a week itself.
    """

    def __init__(self, settings: GcsSettings) -> None:
        """Raise ConfigError for settings that make no sense, and where the library is missing."""
        from holdfast.stores.gcs_client import Client  # noqa: PLC0415 - only where such a store is used

        self.name = settings.name
        self._settings = settings
        self._root = root_of(settings.name, settings.prefix)
        self.location = location(settings.name, f"gs://{settings.bucket}/{self._root}", settings.endpoint_url)
        self._client = Client(settings)
        self._requests = Requests(
            dialect=gcs_errors,
            where=self.location,
            patience=settings.patience,
            pause=settings.retry_pause,
        )

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        """Store the object; see Store. True when the service's MD5 of the content is ours."""
        from holdfast.stores.gcs_upload import Destination, upload  # noqa: PLC0415 - needs the library

        path = self._path(key)
        if absent and self.stat(key) is not None:
            raise ExistsError(f"{self.location}: {key} exists already")
        return upload(
            Destination(
                requests=self._requests,
                client=self._client,
                path=path,
                key=key,
                storage_class=self._settings.storage_class,
                part_bytes=self._settings.part_bytes,
                patience=self._settings.deadline,
                absent=absent,
                retention=self._retention(key),
            ),
            chunks,
        )

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the object's bytes in chunks of at most 1 MiB, of one generation; see Store."""
        from holdfast.stores.gcs_download import Origin, download  # noqa: PLC0415 - needs the library

        check_range(start, length)
        origin = Origin(
            requests=self._requests,
            client=self._client,
            path=self._path(key),
            key=key,
            patience=self._settings.deadline,
        )
        return download(origin, start=start, length=length)

    def stat(self, key: str) -> Stored | None:
        """Tell of the object; see Store."""
        path = self._path(key)
        try:
            blob = self._requests.send(
                lambda: self._client.look(path), f"look at {key}", expected=gcs_errors.MISSING
            )
        except AnswerError:
            return None
        return Stored(key=key, size=blob.size, modified_at=blob.updated)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Tell of the objects in order, a page of 1,000 at a time; see Store."""
        return self._listed(prefix, self._root + check_prefix(prefix))

    def _listed(self, prefix: str, path: str) -> Iterator[Stored]:
        token: str | None = None
        while True:
            before = token
            blobs, token = self._page(prefix, path, before)
            turned(self.location, before, token)
            for blob in blobs:
                key = our_key(self.location, self._root, path, blob.name)
                if key is not None:
                    yield Stored(key=key, size=blob.size, modified_at=blob.updated, checksum=blob.crc32c)
            if token is None:
                return

    def _page(self, prefix: str, path: str, token: str | None) -> tuple[Sequence[Any], str | None]:
        return self._requests.send(
            lambda: self._client.page(path, token, _PAGE), f"list {prefix or 'the bucket'}"
        )

    def delete(self, key: str) -> None:
        """Remove the object; see Store."""
        path = self._path(key)
        with contextlib.suppress(AnswerError):
            self._requests.send(
                lambda: self._client.delete(path), f"delete {key}", expected=gcs_errors.MISSING
            )

    def conditions(self, key: str) -> Conditions:
        """Try to overwrite an object on the condition that there is none; see Conditional."""
        blob = self._client.new(self._path(key))
        return self._requests.refusal(
            lambda: self._client.put(blob, b"second", absent=True), f"write {key}", gcs_errors.TAKEN
        )

    def locks(self) -> GcsLocks:
        """Give the generations of the objects, and their locks; see Lockable."""
        from holdfast.stores.gcs_lock import GcsLocks  # noqa: PLC0415 - needs the library

        return GcsLocks(
            requests=self._requests,
            client=self._client,
            root=self._root,
            patience=self._settings.deadline,
            rule=self._settings.lock,
        )

    def _retention(self, key: str) -> tuple[str, datetime] | None:
        from holdfast.stores.gcs_lock import MODES  # noqa: PLC0415 - needs the library

        rule = self._settings.lock
        until = None if rule is None else rule.at_put(key)
        return None if rule is None or until is None else (MODES[rule.mode], until)

    def hurry(self) -> None:
        """Wait no longer for a store that does not answer; see Hurrying."""
        self._requests.hurry()

    def _path(self, key: str) -> str:
        return self._root + check_key(key)
