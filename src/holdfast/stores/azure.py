"""A store in a container of Azure Blob Storage. Its libraries are an extra: holdfast[azure]."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from holdfast.stores import azure_errors
from holdfast.stores.base import Conditions, ExistsError, Stored, check_key, check_prefix, check_range
from holdfast.stores.locking import LockRule
from holdfast.stores.places import location, our_key, root_of, turned
from holdfast.stores.requests import AnswerError, Requests

if TYPE_CHECKING:
    from holdfast.stores.azure_lock import AzureLocks

BLOCK_BYTES = (
    8 * 1024**2
)  # 50,000 of them (Azure's limit) hold 390 GiB, more than a segment; two are in memory
_PAGE = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureSettings:
    """How to reach a container. Without a key or a signature, Azure's own chain finds a login.

    That is a workload identity, a managed identity (`client_id` names one of several), AZURE_* variables, the login
    of `az`. Times are in seconds, as in a store of S3.
    """

    name: str
    account: str
    container: str
    prefix: str = ""
    endpoint_url: str | None = None
    account_key: str | None = field(default=None, repr=False)
    sas_token: str | None = field(default=None, repr=False)
    client_id: str | None = None
    access_tier: Literal["Hot", "Cool", "Cold"] | None = None
    ca_bundle: str | None = None
    deadline: float = 900
    patience: float = 60
    retry_pause: float = 0.5
    connect_timeout: float = 20
    read_timeout: float = 90
    block_bytes: int = BLOCK_BYTES
    lock: LockRule | None = None


class AzureStore:
    """Keeps each object as a block blob under the prefix of a container. May be used from several threads.

    There are no half-written uploads to look for: blocks that are not committed are no blob, and the service drops
    them after a week itself.
    """

    def __init__(self, settings: AzureSettings) -> None:
        """Raise ConfigError for settings that make no sense, and where the libraries are missing."""
        from holdfast.stores.azure_client import Client  # noqa: PLC0415 - only where such a store is used

        self.name = settings.name
        self._settings = settings
        self._root = root_of(settings.name, settings.prefix)
        place = f"azblob://{settings.account}/{settings.container}/{self._root}"
        self.location = location(settings.name, place, settings.endpoint_url)
        self._client = Client(settings)
        self._requests = Requests(
            dialect=azure_errors,
            where=self.location,
            patience=settings.patience,
            pause=settings.retry_pause,
        )

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        """Store the object; see Store. True when the service's MD5 of what it holds is ours."""
        from holdfast.stores.azure_upload import Destination, upload  # noqa: PLC0415 - needs the library

        path = self._path(key)
        if absent and self.stat(key) is not None:
            raise ExistsError(f"{self.location}: {key} exists already")
        return upload(
            Destination(
                requests=self._requests,
                client=self._client,
                path=path,
                key=key,
                block_bytes=self._settings.block_bytes,
                patience=self._settings.deadline,
                absent=absent,
                retention=self._retention(key),
            ),
            chunks,
        )

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Give the object's bytes in chunks of at most 1 MiB, of one version; see Store."""
        from holdfast.stores.azure_download import Origin, download  # noqa: PLC0415 - needs the library

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
            found = self._requests.send(
                lambda: self._client.look(path), f"look at {key}", expected=azure_errors.MISSING
            )
        except AnswerError:
            return None
        return Stored(key=key, size=found.size, modified_at=found.last_modified)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Tell of the objects in order, a page of 1,000 at a time; see Store."""
        return self._listed(prefix, self._root + check_prefix(prefix))

    def _listed(self, prefix: str, path: str) -> Iterator[Stored]:
        token: str | None = None
        while True:
            before = token
            found, token = self._page(prefix, path, before)
            turned(self.location, before, token)
            for blob in found:
                key = our_key(self.location, self._root, path, blob.name)
                if key is not None and not _is_folder(blob):
                    yield Stored(key=key, size=blob.size, modified_at=blob.last_modified, checksum=blob.etag)
            if not token:
                return

    def _page(self, prefix: str, path: str, token: str | None) -> tuple[Sequence[Any], str | None]:
        return self._requests.send(
            lambda: self._client.page(path, token, _PAGE), f"list {prefix or 'the container'}"
        )

    def delete(self, key: str) -> None:
        """Remove the object; see Store."""
        path = self._path(key)
        with contextlib.suppress(AnswerError):
            self._requests.send(
                lambda: self._client.delete(path), f"delete {key}", expected=azure_errors.MISSING
            )

    def conditions(self, key: str) -> Conditions:
        """Try to overwrite a blob on the condition that there is none; see Conditional."""
        path = self._path(key)
        return self._requests.refusal(
            lambda: self._client.put(path, b"second", {}, absent=True), f"write {key}", azure_errors.TAKEN
        )

    def locks(self) -> AzureLocks:
        """Give the versions of the blobs, and their locks; see Lockable."""
        from holdfast.stores.azure_lock import AzureLocks  # noqa: PLC0415 - needs the library

        return AzureLocks(
            requests=self._requests,
            client=self._client,
            root=self._root,
            patience=self._settings.deadline,
            rule=self._settings.lock,
        )

    def _retention(self, key: str) -> tuple[str, datetime] | None:
        from holdfast.stores.azure_lock import MODES  # noqa: PLC0415 - needs the library

        rule = self._settings.lock
        until = None if rule is None else rule.at_put(key)
        return None if rule is None or until is None else (MODES[rule.mode], until)

    def hurry(self) -> None:
        """Wait no longer for a store that does not answer; see Hurrying."""
        self._requests.hurry()

    def _path(self, key: str) -> str:
        return self._root + check_key(key)


def _is_folder(blob: Any) -> bool:  # noqa: ANN401 - past the adapter it is a Stored
    """Whether it is what an account with a hierarchical namespace keeps for a folder."""
    return (blob.metadata or {}).get("hdi_isfolder") == "true"
