"""A small server of ours that speaks the documented protocol of Azure Blob Storage, as far as Holdfast uses it.

It knows what Microsoft's emulator does not: versions, immutability policies and legal holds. It keeps all in memory, checks
no signatures, and says no where the documentation says that the service does.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape

CONTAINER = "backups"
_ABSENT_CODES = {True: (409, "BlobAlreadyExists"), False: (412, "ConditionNotMet")}


class RefusedError(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, code: str, message: str = "as the documentation says") -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(slots=True, kw_only=True)
class Blob:
    """A version of a blob."""

    name: str
    data: bytes
    version: str
    md5: str | None
    metadata: dict[str, str]
    tier: str | None
    blocks: list[tuple[str, int]]
    created: datetime
    current: bool = True
    until: datetime | None = None
    mode: str | None = None
    held: bool = False

    @property
    def etag(self) -> str:
        """Its ETag."""
        return f'"0x{self.version}"'

    def pieces(self) -> dict[str, bytes]:
        """Give the blocks that it is made of."""
        found, start = {}, 0
        for block, size in self.blocks:
            found[block] = self.data[start : start + size]
            start += size
        return found

    def headers(self) -> dict[str, str]:
        """Tell of it as the service does."""
        told = {
            "ETag": self.etag,
            "Last-Modified": format_datetime(self.created, usegmt=True),
            "x-ms-blob-type": "BlockBlob",
            "x-ms-version-id": self.version,
            "x-ms-legal-hold": str(self.held).lower(),
            **{f"x-ms-meta-{key}": value for key, value in self.metadata.items()},
        }
        if self.md5:
            told["Content-MD5"] = self.md5
        if self.until is not None:
            told["x-ms-immutability-policy-until-date"] = format_datetime(self.until, usegmt=True)
            told["x-ms-immutability-policy-mode"] = (self.mode or "").lower()
        return told


@dataclass(slots=True)
class Container:
    """What lies in the container, and how it is set up."""

    url: str = ""
    versioned: bool = False
    immutable: bool = False
    blobs: list[Blob] = field(default_factory=list)
    staged: dict[str, dict[str, bytes]] = field(default_factory=dict)
    count: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def current(self, name: str) -> Blob | None:
        """Give the current version."""
        return next((one for one in self.blobs if one.current and one.name == name), None)

    def find(self, name: str, version: str | None = None) -> Blob:
        """Give the current version, or the one that is asked for."""
        found = self.current(name)
        if version is not None:
            found = next((one for one in self.blobs if (one.name, one.version) == (name, version)), None)
        if found is None:
            raise RefusedError(404, "BlobNotFound", "The specified blob does not exist.")
        return found

    def add(self, name: str, data: bytes, headers: Mapping[str, str], **more: object) -> Blob:
        """Make a version of a blob, on a condition."""
        old = self.current(name)
        if headers.get("If-None-Match") == "*" and old is not None:
            raise RefusedError(*_ABSENT_CODES["x-ms-blob-type" in headers])
        until = headers.get("x-ms-immutability-policy-until-date")
        if until and not self.immutable:
            raise RefusedError(409, "BlobImmutabilityNotSupported", "no version-level immutability here")
        if old is not None:
            self._retire(old)
        self.count += 1
        made = Blob(
            name=name,
            data=data,
            version=f"2026-01-01T00:00:00.{self.count:07}Z",
            metadata={k[10:].lower(): v for k, v in headers.items() if k.lower().startswith("x-ms-meta-")},
            tier=headers.get("x-ms-access-tier"),
            created=datetime.now(UTC),
            until=parsedate_to_datetime(until) if until else None,
            mode=headers.get("x-ms-immutability-policy-mode"),
            held=headers.get("x-ms-legal-hold") == "true",
            **more,  # type: ignore[arg-type]
        )
        self.blobs.append(made)
        self.staged.pop(name, None)
        return made

    def remove(self, name: str, version: str | None) -> None:
        """Delete the current version, or one for ever."""
        found = self.find(name, version)
        if version is None:
            self._retire(found)
        else:
            if found.current:
                raise RefusedError(403, "OperationNotAllowedOnRootBlob", "not allowed on the root blob")
            _guard(found)
            self.blobs.remove(found)

    def _retire(self, one: Blob) -> None:
        if self.versioned:
            one.current = False
            return
        _guard(one)
        self.blobs.remove(one)


def _guard(one: Blob) -> None:
    if one.until is not None and one.until > datetime.now(UTC):
        raise RefusedError(409, "BlobImmutableDueToPolicy", "the blob is immutable due to a policy")
    if one.held:
        raise RefusedError(409, "BlobImmutableDueToLegalHold", "the blob is immutable due to a legal hold")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out as one packet, or each waits for an acknowledgement
    container: Container

    def _handle(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query, keep_blank_values=True).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        container, _, name = unquote(url.path.lstrip("/")).partition("/")
        try:
            _check_container(container)
            with self.container.lock:
                if name:
                    self._blob(name, query, body)
                else:
                    self._list(query)
        except RefusedError as error:
            told = f"<Error><Code>{error.code}</Code><Message>{error}</Message></Error>"
            headers = {"x-ms-error-code": error.code, "Content-Type": "application/xml"}
            self._send(error.status, told.encode(), headers)

    do_GET = do_PUT = do_HEAD = do_DELETE = _handle  # noqa: N815 - the names that http.server calls

    def _blob(self, name: str, query: dict[str, str], body: bytes) -> None:
        comp, version = query.get("comp"), query.get("versionid")
        if self.command == "PUT":
            made = {"block": self._stage, "blocklist": self._commit, None: self._put}.get(comp)
            if made is not None:
                made(name, query, body)
            else:
                self._protect(name, version, comp)
        elif self.command == "DELETE" and comp == "immutabilityPolicies":
            self._unprotect(self.container.find(name, version))
        elif self.command == "DELETE":
            self._only(self.container.find(name, version))
            self.container.remove(name, version)
            self._send(202, b"", {})
        elif comp == "blocklist":
            self._blocks(self.container.find(name))
        else:
            self._give(self.container.find(name, version))

    def _put(self, name: str, query: dict[str, str], body: bytes) -> None:
        del query
        md5 = self._checked(body)
        made = self.container.add(name, body, dict(self.headers.items()), md5=md5, blocks=[])
        self._send(201, b"", {**made.headers(), "Content-MD5": md5})

    def _stage(self, name: str, query: dict[str, str], body: bytes) -> None:
        md5 = self._checked(body)
        block = base64.b64decode(query["blockid"]).decode()
        mine = self.container.staged.setdefault(name, {})
        if any(len(other) != len(block) for other in mine):
            raise RefusedError(400, "InvalidBlobOrBlock")
        mine[block] = body
        self._send(201, b"", {"Content-MD5": md5} if "Content-MD5" in self.headers else {})

    def _commit(self, name: str, query: dict[str, str], body: bytes) -> None:
        del query
        staged = self.container.staged.get(name, {})
        asked = [base64.b64decode(one.text or "").decode() for one in ET.fromstring(body)]  # noqa: S314 - it is our own
        old = self.container.current(name)
        if old is not None and [block for block, _ in old.blocks] == asked:  # the same blocks once more
            staged = {**old.pieces(), **staged}
        if any(block not in staged for block in asked):
            raise RefusedError(400, "InvalidBlockList", "The specified block list is invalid.")
        made = self.container.add(
            name,
            b"".join(staged[block] for block in asked),
            dict(self.headers.items()),
            md5=self.headers.get("x-ms-blob-content-md5"),
            blocks=[(block, len(staged[block])) for block in asked],
        )
        self._send(201, b"", made.headers())

    def _protect(self, name: str, version: str | None, comp: str | None) -> None:
        found = self.container.find(name, version)
        if comp == "legalhold":
            if not self.container.immutable:
                raise RefusedError(409, "LegalHoldNotSupported")
            found.held = self.headers["x-ms-legal-hold"] == "true"
            self._send(200, b"", {"x-ms-legal-hold": str(found.held).lower()})
            return
        if not self.container.immutable:
            raise RefusedError(409, "ImmutabilityPolicyNotSupported")
        until = parsedate_to_datetime(self.headers["x-ms-immutability-policy-until-date"])
        mode = self.headers["x-ms-immutability-policy-mode"].lower()
        if found.mode == "locked" and found.until and (until < found.until or mode != "locked"):
            raise RefusedError(409, "BlobImmutableDueToPolicy", "a locked policy can only be extended")
        found.until, found.mode = until, mode
        self._send(200, b"", found.headers())

    def _unprotect(self, found: Blob) -> None:
        if found.mode == "locked" and found.until is not None and found.until > datetime.now(UTC):
            raise RefusedError(409, "ImmutabilityPolicyDeleteOnLockedPolicy")
        found.until = found.mode = None
        self._send(200, b"", {})

    def _give(self, found: Blob) -> None:
        self._only(found)
        headers = {**found.headers(), "Content-Type": "application/octet-stream"}
        if self.command == "HEAD":
            self._send(200, found.data, headers)
            return
        told = self.headers.get("x-ms-range") or self.headers.get("Range")
        if told is None:
            self._send(200, found.data, headers)
            return
        first, _, last = told.removeprefix("bytes=").partition("-")
        if int(first) >= len(found.data):
            raise RefusedError(416, "InvalidRange")
        piece = found.data[int(first) : int(last) + 1 if last else None]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(piece) - 1}/{len(found.data)}"
        headers.pop("Content-MD5", None)
        self._send(206, piece, headers)

    def _blocks(self, found: Blob) -> None:
        told = "".join(
            f"<Block><Name>{base64.b64encode(block.encode()).decode()}</Name><Size>{size}</Size></Block>"
            for block, size in found.blocks
        )
        self._xml(f"<BlockList><CommittedBlocks>{told}</CommittedBlocks></BlockList>")

    def _list(self, query: dict[str, str]) -> None:
        include = query.get("include", "").split(",")
        found = sorted(
            (
                one
                for one in self.container.blobs
                if one.name.startswith(query.get("prefix", "")) and (one.current or "versions" in include)
            ),
            key=lambda one: (one.name, one.version),
        )
        start = int(query.get("marker") or 0)
        end = start + int(query.get("maxresults") or 5000)
        blobs = "".join(_listed(one, versions="versions" in include) for one in found[start:end])
        more = str(end) if end < len(found) else ""
        self._xml(
            f'<EnumerationResults ContainerName="{CONTAINER}"><Blobs>{blobs}</Blobs>'
            f"<NextMarker>{more}</NextMarker></EnumerationResults>"
        )

    def _only(self, found: Blob) -> None:
        if self.headers.get("If-Match") not in (None, "*", found.etag):
            raise RefusedError(412, "ConditionNotMet", "The condition was not met.")

    def _checked(self, body: bytes) -> str:
        md5 = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        if self.headers.get("Content-MD5") not in (None, md5):
            raise RefusedError(400, "Md5Mismatch", "The MD5 value did not match.")
        return md5

    def _xml(self, text: str) -> None:
        told = f'<?xml version="1.0" encoding="utf-8"?>{text}'.encode()
        self._send(200, told, {"Content-Type": "application/xml"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing."""


def _check_container(name: str) -> None:
    if name != CONTAINER:
        raise RefusedError(404, "ContainerNotFound", "The specified container does not exist.")


def _listed(one: Blob, *, versions: bool) -> str:
    current = f"<IsCurrentVersion>{str(one.current).lower()}</IsCurrentVersion>" if one.current else ""
    metadata = "".join(f"<{key}>{escape(value)}</{key}>" for key, value in one.metadata.items())
    version = f"<VersionId>{one.version}</VersionId>{current}" if versions else ""
    lock = f"<LegalHold>{str(one.held).lower()}</LegalHold>"
    if one.until is not None:
        lock += f"<ImmutabilityPolicyUntilDate>{format_datetime(one.until, usegmt=True)}</ImmutabilityPolicyUntilDate>"
        lock += f"<ImmutabilityPolicyMode>{one.mode}</ImmutabilityPolicyMode>"
    return (
        f"<Blob><Name>{escape(one.name)}</Name>{version}<Properties>"
        f"<Last-Modified>{format_datetime(one.created, usegmt=True)}</Last-Modified><Etag>{one.etag}</Etag>"
        f"<Content-Length>{len(one.data)}</Content-Length><BlobType>BlockBlob</BlobType>{lock}</Properties>"
        f"<Metadata>{metadata}</Metadata></Blob>"
    )


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a broken connection is what tests ask for."""


@contextmanager
def azure_server() -> Iterator[Container]:
    """Run the server with one container, `backups`."""
    container = Container()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"container": container}))
    container.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield container
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
