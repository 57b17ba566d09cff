"""Azure's client for one container: made when first needed, and its few calls, each tried once.

Trying again is the business of stores.requests, which has a deadline and can be stopped.
"""

from __future__ import annotations

import hashlib
import importlib
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from holdfast.model.errors import ConfigError
from holdfast.stores.base import NoRangesError
from holdfast.stores.pieces import PIECE_BYTES, Sink

if TYPE_CHECKING:
    from holdfast.stores.azure import AzureSettings

_PUT_BYTES = 64 * 1024**2  # what is smaller goes in one request; our blocks are


class Client:
    """Calls of one container. They raise what the library raises; azure_errors tells what it means."""

    def __init__(self, settings: AzureSettings) -> None:
        self._settings = settings
        self._blob = _library(settings.name, "azure.storage.blob")
        self._core = _library(settings.name, "azure.core")
        self._lock = threading.Lock()
        self._made: Any = None

    def look(self, path: str, version: str | None = None) -> Any:  # noqa: ANN401 - a BlobProperties, of an optional library
        """Give what the service knows of a blob, or of one version of it."""
        return self._container().get_blob_client(path, version_id=version).get_blob_properties()

    def page(
        self, prefix: str, token: str | None, size: int, *, versions: bool = False
    ) -> tuple[list[Any], str | None]:
        """Give a page of the blobs (or all their versions) below a prefix, and the mark of the next, or none."""
        found = self._container().list_blobs(
            name_starts_with=prefix,
            include=["versions"] if versions else ["metadata"],
            results_per_page=size,
        )
        pages = found.by_page(token)
        blobs = list(next(pages, ()))
        return blobs, pages.continuation_token

    def delete(self, path: str, etag: str | None = None, *, version: str | None = None) -> None:
        """Remove a blob, or the one of an ETag, or a version of it for ever."""
        self._container().get_blob_client(path, version_id=version).delete_blob(**self._only(etag))

    def retain(self, path: str, version: str, mode: str, until: datetime) -> None:
        """Lock a version until then."""
        self._container().get_blob_client(path).set_immutability_policy(
            self._policy((mode, until)), version_id=version
        )

    def unlock(self, path: str, version: str) -> None:
        """Lift the lock of a version, which works for an unlocked policy only."""
        self._container().get_blob_client(path).delete_immutability_policy(version_id=version)

    def hold(self, path: str, version: str, *, on: bool) -> None:
        """Put a version under a legal hold, or release it."""
        self._container().get_blob_client(path).set_legal_hold(on, version_id=version)

    def put(
        self,
        path: str,
        data: bytes,
        metadata: Mapping[str, str],
        *,
        absent: bool,
        retention: tuple[str, datetime] | None = None,
    ) -> None:
        """Write a small blob in one request, which carries the MD5 for the service to check."""
        self._container().get_blob_client(path).upload_blob(
            data,
            length=len(data),
            overwrite=not absent,
            metadata=dict(metadata),
            validate_content=True,
            standard_blob_tier=self._tier(),
            immutability_policy=self._policy(retention),
        )

    def stage(self, path: str, block: str, data: bytes) -> bytes | None:
        """Send a block, which is no blob yet; give the MD5 that the service made of it."""
        answer = (
            self._container()
            .get_blob_client(path)
            .stage_block(block, data, length=len(data), validate_content=True)
        )
        md5 = answer.get("content_md5")
        return None if md5 is None else bytes(md5)

    def commit(
        self,
        path: str,
        blocks: Sequence[str],
        metadata: Mapping[str, str],
        *,
        md5: bytes,
        absent: bool,
        retention: tuple[str, datetime] | None = None,
    ) -> None:
        """Make the blob of its blocks. `md5` is kept beside it for other programs."""
        condition = {"match_condition": self._core.MatchConditions.IfMissing} if absent else {}
        self._container().get_blob_client(path).commit_block_list(
            [self._blob.BlobBlock(block_id=block) for block in blocks],
            metadata=dict(metadata),
            content_settings=self._blob.ContentSettings(
                content_type="application/octet-stream", content_md5=bytearray(md5)
            ),
            standard_blob_tier=self._tier(),
            immutability_policy=self._policy(retention),
            **condition,
        )

    def committed(self, path: str) -> list[tuple[str, int]]:
        """Give the names and sizes of the blocks that a blob is made of."""
        found, _ = self._container().get_blob_client(path).get_block_list("committed")
        return [(block.id, block.size) for block in found]

    def read(self, path: str, etag: str, start: int, end: int, *, version: str | None = None) -> bytearray:
        """Read the bytes from `start` up to `end`, without it, of the very blob with this ETag."""
        sink = Sink(end - start)
        try:
            stream = (
                self._container()
                .get_blob_client(path, version_id=version)
                .download_blob(offset=start, length=end - start, max_concurrency=1, **self._only(etag))
            )
            stream.readinto(sink)
        except ValueError as error:
            raise NoRangesError("no range came") from error
        return sink.data

    def _only(self, etag: str | None) -> dict[str, Any]:
        if etag is None:
            return {}
        return {"etag": etag, "match_condition": self._core.MatchConditions.IfNotModified}

    def _policy(self, retention: tuple[str, datetime] | None) -> Any:  # noqa: ANN401 - as above
        if retention is None:
            return None
        return self._blob.ImmutabilityPolicy(policy_mode=retention[0], expiry_time=retention[1])

    def _tier(self) -> Any:  # noqa: ANN401 - as above
        tier = self._settings.access_tier
        return None if tier is None else self._blob.StandardBlobTier(tier)

    def _container(self) -> Any:  # noqa: ANN401 - as above
        with self._lock:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def _connect(self) -> Any:  # noqa: ANN401 - as above
        settings = self._settings
        try:
            return self._blob.ContainerClient(
                settings.endpoint_url or f"https://{settings.account}.blob.core.windows.net",
                settings.container,
                credential=self._credential(),
                retry_total=0,
                connection_timeout=settings.connect_timeout,
                read_timeout=settings.read_timeout,
                connection_verify=settings.ca_bundle or True,
                max_single_put_size=_PUT_BYTES,
                max_single_get_size=PIECE_BYTES,
                max_chunk_get_size=PIECE_BYTES,
                user_agent="holdfast",
            )
        except ValueError as error:
            raise ConfigError(
                f"store {settings.name}: Azure's library refuses the settings: {error}",
                hint="An identity is only ever shown over https: check `endpoint_url`, `account` and `container`.",
            ) from error

    def _credential(self) -> Any:  # noqa: ANN401 - as above
        settings = self._settings
        if settings.account_key is not None:
            credentials = importlib.import_module("azure.core.credentials")
            return credentials.AzureNamedKeyCredential(settings.account, settings.account_key)
        if settings.sas_token is not None:
            credentials = importlib.import_module("azure.core.credentials")
            return credentials.AzureSasCredential(settings.sas_token.lstrip("?"))
        identity = _library(settings.name, "azure.identity")
        told = {} if settings.client_id is None else {"managed_identity_client_id": settings.client_id}
        return identity.DefaultAzureCredential(**told)


def md5_of(data: bytes | bytearray) -> bytes:
    """Give the MD5 of the data."""
    return hashlib.md5(data, usedforsecurity=False).digest()


def _library(name: str, module: str) -> Any:  # noqa: ANN401 - as above
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = {"azure.identity": "azure-identity"}.get(module, "azure-storage-blob")
        raise ConfigError(
            f"store {name}: the package {package} is not installed",
            hint="Install it beside Holdfast: `pip install 'holdfast[azure]'`.",
        ) from error
