"""A small server of ours that speaks the documented JSON API of Google Cloud Storage, as far as Holdfast uses it.

It knows what the emulator does not: preconditions, pages, pieces of a resumable upload that arrive in part, versions,
retention and holds. It keeps all in memory, and says no where the documentation says that the service does.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

BUCKET = "backups"
GRAIN = 256 * 1024  # the service keeps whole multiples of it of an unfinished upload


class RefusedError(Exception):
    """An answer that is not a success."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason


@dataclass(slots=True, kw_only=True)
class Object:
    """A generation of an object."""

    name: str
    data: bytes
    generation: int
    metadata: dict[str, Any]
    created: datetime
    live: bool = True

    def described(self) -> dict[str, Any]:
        """Tell of it as the service does."""
        return {
            **self.metadata,
            "kind": "storage#object",
            "name": self.name,
            "bucket": BUCKET,
            "generation": str(self.generation),
            "metageneration": "1",
            "size": str(len(self.data)),
            "md5Hash": base64.b64encode(hashlib.md5(self.data, usedforsecurity=False).digest()).decode(),
            "updated": _time(self.created),
            "timeCreated": _time(self.created),
            **({} if self.live else {"timeDeleted": _time(self.created)}),
        }


@dataclass(slots=True)
class _Upload:
    name: str
    metadata: dict[str, Any]
    absent: bool
    data: bytearray = field(default_factory=bytearray)
    finished: Object | None = None


@dataclass(slots=True)
class Bucket:
    """What lies in the bucket, and how it is set up. `arrive` cuts how much of the next pieces is taken."""

    url: str = ""
    versioned: bool = False
    retention: bool = False
    objects: list[Object] = field(default_factory=list)
    uploads: dict[str, _Upload] = field(default_factory=dict)
    cancelled: int = 0
    arrive: list[int] = field(default_factory=list)
    generation: int = 1000
    lock: threading.RLock = field(default_factory=threading.RLock)

    def live(self, name: str) -> Object | None:
        """Give the live generation."""
        return next((one for one in self.objects if one.live and one.name == name), None)

    def find(self, name: str, generation: str | None) -> Object:
        """Give the live generation, or the one that is asked for."""
        found = self.live(name)
        if generation is not None:
            found = next(
                (one for one in self.objects if (one.name, str(one.generation)) == (name, generation)), None
            )
        if found is None:
            raise RefusedError(404, "notFound", f"No such object: {BUCKET}/{name}")
        return found

    def add(self, name: str, data: bytes, metadata: dict[str, Any], *, absent: bool) -> Object:
        """Make an object, on a condition."""
        with self.lock:
            old = self.live(name)
            if absent and old is not None:
                raise RefusedError(
                    412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."
                )
            told = metadata.get("md5Hash")
            if told and told != base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode():
                raise RefusedError(400, "invalid", "Provided MD5 hash doesn't match calculated MD5 hash")
            if metadata.get("retention") and not self.retention:
                raise RefusedError(400, "invalid", "Object retention is not enabled on the bucket.")
            if old is not None:
                self._retire(old)
            self.generation += 1
            kept = {key: value for key, value in metadata.items() if key not in {"md5Hash", "name"}}
            made = Object(
                name=name, data=data, generation=self.generation, metadata=kept, created=datetime.now(UTC)
            )
            self.objects.append(made)
            return made

    def remove(self, name: str, generation: str | None) -> None:
        """Delete the live generation, or one for ever."""
        with self.lock:
            found = self.find(name, generation)
            if generation is None:
                self._retire(found)
            else:
                self._guard(found)
                self.objects.remove(found)

    def _retire(self, one: Object) -> None:
        if self.versioned:
            one.live = False
            return
        self._guard(one)
        self.objects.remove(one)

    def _guard(self, one: Object) -> None:
        until = one.metadata.get("retention", {}).get("retainUntilTime")
        if until and datetime.fromisoformat(until) > datetime.now(UTC):
            raise RefusedError(
                403, "retentionPolicyNotMet", f"Object '{BUCKET}/{one.name}' cannot be deleted until {until}"
            )
        if one.metadata.get("temporaryHold"):
            raise RefusedError(403, "forbidden", f"Object '{one.name}' is under active Temporary hold")

    def patch(
        self, name: str, generation: str | None, changes: dict[str, Any], query: dict[str, str]
    ) -> Object:
        """Change what is kept beside an object; a locked retention may grow only."""
        with self.lock:
            found = self.find(name, generation)
            told = changes.get("retention")
            if told is not None and not self.retention:
                raise RefusedError(400, "invalid", "Object retention is not enabled on the bucket.")
            old: dict[str, str] = found.metadata.get("retention") or {}
            allowed = query.get("overrideUnlockedRetention", "").lower() == "true"
            shrinks = "retention" in changes and bool(old) and _shrinks(old, told)
            if shrinks and (old["mode"] == "Locked" or not allowed):
                raise RefusedError(403, "forbidden", "Object retention cannot be reduced")
            found.metadata.update(changes)
            if not (found.metadata.get("retention") or {}).get("mode"):
                found.metadata.pop("retention", None)
            return found


def _shrinks(old: dict[str, str], new: dict[str, str] | None) -> bool:
    if not new or not new.get("retainUntilTime") or (old["mode"] == "Locked" and new["mode"] != "Locked"):
        return True
    return datetime.fromisoformat(new["retainUntilTime"]) < datetime.fromisoformat(old["retainUntilTime"])


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer goes out as one packet, or each waits for an acknowledgement
    bucket: Bucket

    def _handle(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            self._route(url.path, query, body)
        except RefusedError as error:
            told = {"message": str(error), "reason": error.reason, "domain": "global"}
            self._json(
                {"error": {"code": error.status, "message": str(error), "errors": [told]}}, error.status
            )

    do_GET = do_PUT = do_POST = do_DELETE = do_PATCH = _handle  # noqa: N815 - the names that http.server calls

    def _route(self, path: str, query: dict[str, str], body: bytes) -> None:
        if path.startswith("/upload/"):
            self._upload(query, body)
            return
        _, _, rest = path.partition("/b/")
        name, _, item = rest.partition("/o")
        if name != BUCKET:
            raise RefusedError(404, "notFound", "The specified bucket does not exist.")
        if not item.strip("/"):
            if not rest.endswith(("/o", "/o/")):
                self._json({"name": BUCKET, "versioning": {"enabled": self.bucket.versioned}})
                return
            self._list(query)
            return
        self._object(unquote(item[1:]), query, body)

    def _object(self, name: str, query: dict[str, str], body: bytes) -> None:
        generation = query.get("generation")
        if self.command == "DELETE":
            self.bucket.remove(name, generation)
            self._send(204, b"", {})
        elif self.command == "PATCH":
            self._json(self.bucket.patch(name, generation, json.loads(body), query).described())
        elif query.get("alt") == "media":
            self._media(self.bucket.find(name, generation))
        else:
            self._json(self.bucket.find(name, generation).described())

    def _media(self, found: Object) -> None:
        data, told = found.data, self.headers.get("Range")
        headers = {"Content-Type": "application/octet-stream"}
        if told is None:
            self._send(200, data, headers)
            return
        first, _, last = told.removeprefix("bytes=").partition("-")
        piece = data[int(first) : int(last) + 1 if last else None]
        headers["Content-Range"] = f"bytes {first}-{int(first) + len(piece) - 1}/{len(data)}"
        self._send(206, piece, headers)

    def _list(self, query: dict[str, str]) -> None:
        with self.bucket.lock:
            found = sorted(
                (
                    one
                    for one in self.bucket.objects
                    if one.name.startswith(query.get("prefix", ""))
                    and (one.live or query.get("versions", "").lower() == "true")
                ),
                key=lambda one: (one.name, one.generation),
            )
        start = int(query.get("pageToken") or 0)
        end = start + int(query.get("maxResults") or 1000)
        page: dict[str, Any] = {"items": [one.described() for one in found[start:end]]}
        if end < len(found):
            page["nextPageToken"] = str(end)
        self._json(page)

    def _upload(self, query: dict[str, str], body: bytes) -> None:
        if "upload_id" in query:
            self._piece(query["upload_id"], body)
            return
        absent = query.get("ifGenerationMatch") == "0"
        if query["uploadType"] == "multipart":
            metadata, data = _parts(self.headers["Content-Type"], body)
            self._json(self.bucket.add(metadata["name"], data, metadata, absent=absent).described())
            return
        metadata = json.loads(body)
        with self.bucket.lock:
            if absent and self.bucket.live(metadata["name"]) is not None:
                raise RefusedError(412, "conditionNotMet", "a pre-condition did not hold")
            token = f"upload-{len(self.bucket.uploads)}"
            self.bucket.uploads[token] = _Upload(metadata["name"], metadata, absent)
        self._send(200, b"", {"Location": f"{self._base()}{self.path}&upload_id={token}"})

    def _piece(self, token: str, body: bytes) -> None:
        upload = self.bucket.uploads.get(token)
        if upload is None:
            raise RefusedError(404, "notFound", "no such upload")
        if self.command == "DELETE":
            del self.bucket.uploads[token]
            self.bucket.cancelled += 1
            self._send(499, b"", {})
            return
        span, _, total = self.headers["Content-Range"].removeprefix("bytes ").partition("/")
        if upload.finished is not None:
            self._json(upload.finished.described())
            return
        if span != "*":
            start = int(span.partition("-")[0])
            if start > len(upload.data):
                raise RefusedError(503, "backendError", "a gap")
            taken = self.bucket.arrive.pop(0) if self.bucket.arrive else len(body)
            upload.data[start:] = body[:taken]
        if total.isdigit() and len(upload.data) == int(total):
            upload.finished = self.bucket.add(
                upload.name, bytes(upload.data), upload.metadata, absent=upload.absent
            )
            self._json(upload.finished.described())
            return
        del upload.data[len(upload.data) // GRAIN * GRAIN :]
        held = len(upload.data)
        self._send(308, b"", {"Range": f"bytes=0-{held - 1}"} if held else {})

    def _base(self) -> str:
        return f"http://{self.headers['Host']}"

    def _json(self, told: dict[str, Any], status: int = 200) -> None:
        self._send(status, json.dumps(told).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing."""


def _parts(content_type: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    boundary = content_type.partition("boundary=")[2].strip("\"'").encode()
    _, first, second, _ = body.split(b"--" + boundary)
    metadata = json.loads(first.split(b"\r\n\r\n", 1)[1])
    _, data = second.split(b"\r\n\r\n", 1)
    return metadata, data.removesuffix(b"\r\n")


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a broken connection is what tests ask for."""


@contextmanager
def gcs_server() -> Iterator[Bucket]:
    """Run the server with one bucket, `backups`."""
    bucket = Bucket()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"bucket": bucket}))
    bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
