"""An S3 server that forgets: it answers as a store would, and keeps sizes and small objects only.

So a measurement of an upload is one of the client. What a client declares, MD5 and SHA-256, comes back unchecked, as from a store
that checks it: the one as ETag, the other as checksum. Who declares no MD5 gets another ETag.
"""

from __future__ import annotations

import base64
import hashlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_KEPT_BYTES = 1024 * 1024
_PIECE = 1024 * 1024
_CHECKSUM = "x-amz-checksum-sha256"


class Object:
    """What is known of one object or part."""

    __slots__ = ("data", "etag", "metadata", "size")

    def __init__(self, size: int, etag: str, data: bytes, metadata: dict[str, str]) -> None:
        self.size, self.etag, self.data, self.metadata = size, etag, data, metadata


class Handler(BaseHTTPRequestHandler):
    """Speaks as much S3 as a backup needs."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    objects: ClassVar[dict[str, Object]] = {}
    uploads: ClassVar[dict[str, dict[int, Object]]] = {}
    told: ClassVar[dict[str, dict[str, str]]] = {}

    def do_HEAD(self) -> None:
        """Tell of an object."""
        found = self.objects.get(self._key)
        if found is None:
            self._answer(404)
        else:
            self._answer(200, headers=self._headers(found), length=found.size)

    def do_GET(self) -> None:
        """Give a small object, or list what begins with a prefix."""
        query = self._query
        if "list-type" in query:
            self._list(query.get("prefix", [""])[0])
        elif "uploads" in query:
            self._answer(200, b"<ListMultipartUploadsResult/>")
        elif (found := self.objects.get(self._key)) is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer(200, found.data, headers=self._headers(found))

    def do_PUT(self) -> None:
        """Take an object or a part."""
        taken = self._take()
        query = self._query
        if "uploadId" in query:
            self.uploads[query["uploadId"][0]][int(query["partNumber"][0])] = taken
        else:
            self.objects[self._key] = taken
        told = {_CHECKSUM: self.headers[_CHECKSUM]} if _CHECKSUM in self.headers else {}
        self._answer(200, headers={"ETag": f'"{taken.etag}"', **told})

    def do_POST(self) -> None:
        """Begin or complete a multipart upload."""
        query = self._query
        self._take()
        if "uploads" in query:
            upload = f"upload-{len(self.told)}"
            self.uploads[upload], self.told[upload] = {}, self._metadata()
            self._answer(200, f"<R><UploadId>{upload}</UploadId></R>".encode())
            return
        parts = self.uploads.pop(query["uploadId"][0])
        digests = b"".join(bytes.fromhex(parts[number].etag) for number in sorted(parts))
        etag = f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"
        size = sum(part.size for part in parts.values())
        self.objects[self._key] = Object(size, etag, b"", self.told[query["uploadId"][0]])
        self._answer(200, f'<R><ETag>"{etag}"</ETag></R>'.encode())

    def do_DELETE(self) -> None:
        """Forget an object."""
        self.objects.pop(self._key, None)
        self._answer(204)

    @property
    def _key(self) -> str:
        return unquote(urlsplit(self.path).path)

    @property
    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _metadata(self) -> dict[str, str]:
        return {name: value for name, value in self.headers.items() if name.lower().startswith("x-amz-meta-")}

    def _take(self) -> Object:
        left = size = int(self.headers.get("Content-Length", 0))
        kept = self.rfile.read(size) if size <= _KEPT_BYTES else b""
        left -= len(kept)
        room = memoryview(bytearray(min(left, _PIECE)))
        while left and (taken := self.rfile.readinto(room[:left])):
            left -= taken
        md5, other = self.headers.get("Content-MD5"), self.headers.get(_CHECKSUM, "")
        etag = base64.b64decode(md5) if md5 else hashlib.md5(other.encode(), usedforsecurity=False).digest()
        return Object(size, etag.hex(), kept, self._metadata())

    def _headers(self, found: Object) -> dict[str, str]:
        return {
            "ETag": f'"{found.etag}"',
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            **found.metadata,
        }

    def _list(self, prefix: str) -> None:
        bucket = self._key.strip("/")
        found = [
            f"<Contents><Key>{escape(key.removeprefix(f'/{bucket}/'))}</Key><Size>{each.size}</Size>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
            for key, each in sorted(self.objects.items())
            if key.startswith(f"/{bucket}/{prefix}")
        ]
        body = f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(found)}</ListBucketResult>"
        self._answer(200, body.encode())

    def _answer(
        self,
        status: int,
        body: bytes = b"",
        *,
        headers: dict[str, str] | None = None,
        length: int | None = None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        """Stay silent."""


def main() -> None:
    """Serve on a free port of loopback, and print it, until killed."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        print(server.server_port, flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
