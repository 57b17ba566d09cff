"""Google's client for one bucket: made when first needed, and its few calls, each tried once.

Trying again is the business of stores.requests, which has a deadline and can be stopped.
"""

from __future__ import annotations

import functools
import importlib
import json
import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

from holdfast.model.errors import ConfigError, StoreError
from holdfast.stores.base import RefusedError

if TYPE_CHECKING:
    from holdfast.stores.gcs import GcsSettings

_NO_LENGTH = {"Content-Length": "0"}
_NO_ANSWER = frozenset(
    {401, 403, 408, 429}
)  # of a cancelled upload; all others of 400 and more say that it is no more


class Client:
    """Calls of one bucket. They raise what the library raises; gcs_errors tells what it means."""

    def __init__(self, settings: GcsSettings) -> None:
        self._settings = settings
        self._storage = _library(settings.name, "google.cloud.storage")
        self._timeout = (settings.connect_timeout, settings.read_timeout)
        self._lock = threading.Lock()
        self._made: tuple[Any, Any] | None = None

    def new(self, path: str, **metadata: str) -> Any:  # noqa: ANN401 - the library has no types
        """Give the handle of an object that is to be written."""
        blob = self._bucket().blob(path, kms_key_name=self._settings.kms_key_name)
        blob.metadata = metadata
        return blob

    def look(self, path: str, generation: int | None = None) -> Any:  # noqa: ANN401 - as above
        """Give what the service knows of an object, or of one generation of it."""
        blob = self._bucket().blob(path, generation=generation)
        blob.reload(timeout=self._timeout, retry=None)
        if blob.size is None or blob.updated is None:
            raise StoreError(f"what came for {path} is not the description of an object")
        return blob

    def page(
        self, prefix: str, token: str | None, size: int, *, versions: bool = False
    ) -> tuple[list[Any], str | None]:
        """Give a page of the objects (or all their generations) below a prefix, and the mark of the next, or None."""
        found = self._bucket().client.list_blobs(
            self._bucket(),
            prefix=prefix,
            page_token=token,
            page_size=size,
            versions=versions or None,
            timeout=self._timeout,
            retry=None,
        )
        blobs = list(next(found.pages, ()))
        return blobs, found.next_page_token

    def keeps_versions(self) -> bool:
        """Ask the bucket whether it keeps what is deleted or written over."""
        bucket = self._bucket()
        bucket.reload(timeout=self._timeout, retry=None)
        return bool(bucket.versioning_enabled)

    def delete(self, path: str, generation: int | None = None) -> None:
        """Remove an object, or one generation of it."""
        self._bucket().blob(path, generation=generation).delete(timeout=self._timeout, retry=None)

    def retain(self, path: str, generation: int, mode: str | None, until: datetime | None) -> None:
        """Lock one generation until then; without a time lift the lock, which takes a right of its own."""
        blob = self._bucket().blob(path, generation=generation)
        blob.retention.mode = mode
        blob.retention.retain_until_time = until
        blob.patch(override_unlocked_retention=until is None or None, timeout=self._timeout, retry=None)

    def hold(self, path: str, generation: int, *, on: bool) -> None:
        """Put one generation under a temporary hold, or release it."""
        blob = self._bucket().blob(path, generation=generation)
        blob.temporary_hold = on
        blob.patch(timeout=self._timeout, retry=None)

    def put(self, blob: Any, data: bytes, *, absent: bool) -> None:  # noqa: ANN401 - as above
        """Write a small object in one request, which carries the MD5 for the service to check."""
        blob.upload_from_string(
            data,
            content_type="application/octet-stream",
            if_generation_match=0 if absent else None,
            timeout=self._timeout,
            checksum="md5",
            retry=None,
        )

    def begin(self, blob: Any, *, absent: bool) -> str:  # noqa: ANN401 - as above
        """Begin a resumable upload of unknown size; give its address, which whoever has it may write to."""
        return str(
            blob.create_resumable_upload_session(
                content_type="application/octet-stream",
                if_generation_match=0 if absent else None,
                timeout=self._timeout,
                checksum=None,
                retry=None,
            )
        )

    def send(self, url: str, content_range: str, data: memoryview, **headers: str) -> int | None:
        """Send a piece to a resumable upload: give how many bytes of it all have arrived, None when it is finished."""
        told = {"Content-Range": content_range, "Content-Length": str(len(data)), **headers}
        answer = self._session().request(
            "PUT", url, data=bytes(data), headers=told, timeout=self._timeout, allow_redirects=False
        )
        if answer.status_code in (200, 201):
            return None
        if answer.status_code != 308:  # noqa: PLR2004 - "Resume Incomplete"
            raise _api_error()(answer)
        _, _, last = answer.headers.get("Range", "").partition("=0-")
        return int(last) + 1 if last.isascii() and last.isdigit() else 0

    def cancel(self, url: str) -> None:
        """Give up a resumable upload. The service answers with 499."""
        answer = self._session().request(
            "DELETE", url, headers=_NO_LENGTH, timeout=self._timeout, allow_redirects=False
        )
        if answer.status_code in _NO_ANSWER or answer.status_code >= 500:  # noqa: PLR2004 - the server's trouble
            raise _api_error()(answer)

    def read(self, path: str, generation: int, start: int, end: int, into: Any) -> None:  # noqa: ANN401 - a file
        """Read the bytes from `start` up to `end`, without it, of one generation of an object."""
        blob = self._bucket().blob(path, generation=generation)
        blob.download_to_file(
            into,
            start=start,
            end=end - 1,
            raw_download=True,
            timeout=self._timeout,
            checksum=None,
            retry=None,
        )

    def _bucket(self) -> Any:  # noqa: ANN401 - as above
        return self._connected()[0]

    def _session(self) -> Any:  # noqa: ANN401 - as above
        return self._connected()[1]

    def _connected(self) -> tuple[Any, Any]:
        """Log in at the first call: the chain of credentials may ask the network."""
        with self._lock:
            if self._made is None:
                self._made = self._connect()
            return self._made

    def _connect(self) -> tuple[Any, Any]:
        settings = self._settings
        credentials = _credentials(settings, self._storage.Client.SCOPE)
        requests = importlib.import_module("google.auth.transport.requests")
        session = requests.AuthorizedSession(credentials, max_refresh_attempts=2)
        session.headers["User-Agent"] = "holdfast"
        if settings.ca_bundle is not None:
            # Not session.verify: REQUESTS_CA_BUNDLE and CURL_CA_BUNDLE of the environment would beat that.
            session.request = functools.partial(session.request, verify=settings.ca_bundle)
        client = self._storage.Client(
            project=settings.project,
            credentials=credentials,
            client_options={"api_endpoint": settings.endpoint_url} if settings.endpoint_url else None,
            _http=session,
        )
        # For traces that nobody collects, newer versions ask for the bucket in a thread of their own, which takes a right
        # that a writer need not have.
        client._bucket_metadata_cache = None  # noqa: SLF001 - there is no other switch but the environment
        return client.bucket(settings.bucket), session


def _credentials(settings: GcsSettings, scopes: tuple[str, ...]) -> Any:  # noqa: ANN401 - as above
    if settings.anonymous:
        return importlib.import_module("google.auth.credentials").AnonymousCredentials()
    auth = importlib.import_module("google.auth")
    if settings.credentials is None:
        return auth.default(scopes=scopes)[0]
    try:
        return _from_told(json.loads(settings.credentials), scopes)
    except (ValueError, KeyError, TypeError, AttributeError, auth.exceptions.GoogleAuthError):
        raise RefusedError(
            f"store {settings.name}: credentials are not the JSON of a service account or a federation",
            hint="Put the whole content of the key file there, or its path into credentials_file; for another kind of"
            " login set GOOGLE_APPLICATION_CREDENTIALS instead.",
        ) from None  # the cause may quote the key


def _from_told(told: dict[str, Any], scopes: tuple[str, ...]) -> Any:  # noqa: ANN401 - as above
    """Make credentials of what a JSON file says. The library's own way asks the network which project they belong to."""
    kind = told["type"]
    if kind == "service_account":
        module = importlib.import_module("google.oauth2.service_account")
        return module.Credentials.from_service_account_info(told, scopes=scopes)
    if kind == "authorized_user":
        module = importlib.import_module("google.oauth2.credentials")
        return module.Credentials.from_authorized_user_info(told, scopes)
    if kind == "external_account":
        amazon = str(told["subject_token_type"]).endswith(":aws4_request")
        module = importlib.import_module("google.auth.aws" if amazon else "google.auth.identity_pool")
        return module.Credentials.from_info(told, scopes=scopes)
    raise ValueError(kind)


@functools.cache
def _api_error() -> Any:  # noqa: ANN401 - as above
    return importlib.import_module("google.api_core.exceptions").from_http_response


def _library(name: str, module: str) -> Any:  # noqa: ANN401 - as above
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ConfigError(
            f"store {name}: the package google-cloud-storage is not installed",
            hint="Install it beside Holdfast: `pip install 'holdfast[gcs]'`.",
        ) from error
