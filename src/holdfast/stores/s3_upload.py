"""Uploading a stream of unknown length: one put when it is short, else parts; whole at the end, or not there at all.

Two buffers at most are alive: one part is sent in a thread while the next is filled. What was sent is compared with what
the store says of each part and of the finished object, see `s3_digests`.
"""

from __future__ import annotations

import contextlib
import functools
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from holdfast.model.errors import StoreError
from holdfast.stores.base import ExistsError
from holdfast.stores.blocks import Sender, blocks
from holdfast.stores.requests import AnswerError, Requests
from holdfast.stores.s3_client import Client
from holdfast.stores.s3_digests import digests, etag_of_parts, is_taken, plain_etag, tells_sha256
from holdfast.stores.s3_download import Origin, download
from holdfast.stores.s3_errors import MISSING, NO_UPLOAD, NOT_IMPLEMENTED, TAKEN

MOST_PARTS = 10_000  # S3's limit
_TOKEN = "holdfast-upload"  # noqa: S105 - the name of a metadata field
_ABORT_SECONDS = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an upload goes. `key` is for messages, `path` the key in the bucket, `options` go with the object.

    `patience` is how long a request of a running upload is tried, in seconds. `token` marks the object as this
    upload's, so that an answer that got lost, or another writer, is told apart afterwards; None leaves no mark.
    """

    requests: Requests
    client: Client = field(repr=False)
    bucket: str
    path: str
    key: str
    options: Mapping[str, Any]
    part_bytes: int
    checksums: bool
    patience: float
    absent: bool
    token: str | None = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def named(self) -> dict[str, str]:
        """The parameters that name the object in any request."""
        return {"Bucket": self.bucket, "Key": self.path}

    def new(self) -> dict[str, Any]:
        """Give the parameters of a request that makes the object."""
        mark = {} if self.token is None else {"Metadata": {_TOKEN: self.token}}
        return {**self.named, **self.options, **mark}

    def error(self, text: str, hint: str | None = None) -> StoreError:
        """Make an error about this object."""
        return StoreError(f"{self.requests.where}: {self.key} {text}", hint=hint)


def upload(to: Destination, chunks: Iterable[bytes]) -> bool:
    """Store all chunks; return whether the store's own checksum of them is the expected one. Errors: see Store.put."""
    with _Multipart(to) as parts:
        for block in blocks(chunks, to.part_bytes):
            if not parts.begun and len(block) < to.part_bytes:
                return _put_whole(to, block)
            parts.add(block)
        return parts.complete()


def _put_whole(to: Destination, block: bytearray) -> bool:
    told = digests(block, md5=True, sha256=to.checksums)
    request = functools.partial(to.client.put_object, **to.new(), **told, Body=block)
    _conditionally(to, request, gone=frozenset())
    settled = _settled(to, len(block))
    if is_taken({"ETag": settled.etag}, told, block):
        return True
    # Not every store's ETag is an MD5 (encryption by KMS); an object this small is simply read back.
    origin = Origin(
        requests=to.requests,
        client=to.client,
        bucket=to.bucket,
        path=to.path,
        key=to.key,
        patience=to.patience,
    )
    if b"".join(download(origin)) != block:
        _remove(to, settled)
        raise to.error(
            "holds other bytes than were sent, and was deleted", "Look for a broken proxy or disk."
        )
    return True


class _Multipart:
    """A multipart upload that is aborted unless it was completed; begun by the first part."""

    def __init__(self, to: Destination) -> None:
        self._to = to
        self._sender = Sender("s3-upload")
        self._id: str | None = None
        self._parts: list[dict[str, Any]] = []
        self._tells_sha256 = False
        self._matching = 0
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._sender.__exit__(kind, error, trace)
        finally:
            if self._id is not None:
                self._abort(error)

    @property
    def begun(self) -> bool:
        """Whether there was a part."""
        return self._id is not None

    def add(self, block: bytearray) -> None:
        """Begin to send the block, once the one before has been sent. Raise what sending that one raised."""
        if self._id is None:
            self._id = self._begin()
        self._sender.wait()
        if len(self._parts) == MOST_PARTS:
            raise self._to.error(f"is larger than {MOST_PARTS} parts of {self._to.part_bytes} bytes")
        self._sender.begin(functools.partial(self._send, block))

    def complete(self) -> bool:
        """Make the object of the parts, and compare it with what was sent."""
        self._sender.wait()
        told: dict[str, Any] = {
            **self._to.named,
            "UploadId": self._id,
            "MultipartUpload": {"Parts": self._parts},
        }
        client = self._to.client

        _conditionally(self._to, functools.partial(client.complete_multipart_upload, **told), gone=NO_UPLOAD)
        self._id = None
        settled = _settled(self._to, self._size)
        if 0 < self._matching < len(self._parts):
            _remove(self._to, settled)
            raise self._to.error(
                "arrived with other bytes than were sent, and was deleted", "Look for a broken proxy."
            )
        return bool(self._matching) and settled.etag == etag_of_parts([part["ETag"] for part in self._parts])

    def _begin(self) -> str:
        told = {"ChecksumAlgorithm": "SHA256"} if self._to.checksums else {}
        client = self._to.client
        answer = self._to.requests.send(
            lambda: client.create_multipart_upload(**self._to.new(), **told), f"begin to write {self._to.key}"
        )
        return str(answer["UploadId"])

    def _send(self, block: bytearray) -> None:
        """Send one part; runs in the sender's thread."""
        number = len(self._parts) + 1
        told = digests(block, md5=not self._tells_sha256, sha256=self._to.checksums)
        where = {**self._to.named, "UploadId": self._id, "PartNumber": number}
        client = self._to.client
        answer = self._to.requests.send(
            lambda: client.upload_part(**where, **told, Body=block),
            f"write part {number} of {self._to.key}",
            patience=self._to.patience,
            stop=self._sender.stop,
        )
        self._tells_sha256 = tells_sha256(answer)
        part = {"PartNumber": number, "ETag": answer["ETag"]}
        if "ChecksumSHA256" in told:
            part["ChecksumSHA256"] = told["ChecksumSHA256"]
        self._parts.append(part)
        self._matching += is_taken(answer, told, block)
        self._size += len(block)

    def _abort(self, error: BaseException | None) -> None:
        told = {**self._to.named, "UploadId": self._id}
        client = self._to.client
        try:
            with contextlib.suppress(AnswerError):
                self._to.requests.send(
                    lambda: client.abort_multipart_upload(**told),
                    f"abort the upload of {self._to.key}",
                    expected=NO_UPLOAD,
                    patience=min(_ABORT_SECONDS, self._to.requests.patience),
                )
        except StoreError as second:
            if error is None:
                raise
            # The first error says why; the parts that stay are swept later as a stale upload.
            error.add_note(f"besides, {second}")


def _conditionally(to: Destination, request: Callable[..., object], *, gone: frozenset[str]) -> None:
    """Send the request that makes the object appear. Raise ExistsError when it must be new and is not.

    `gone` are the codes that say that an earlier try, whose answer got lost, may have done it.
    """
    doing = f"write {to.key}"
    condition = {"IfNoneMatch": "*"} if to.absent else {}
    if to.absent and _head(to) is not None:  # some stores ignore the condition
        raise _taken(to)
    try:
        try:
            expected = gone | (TAKEN | NOT_IMPLEMENTED if to.absent else frozenset())
            to.requests.send(lambda: request(**condition), doing, expected=expected, patience=to.patience)
        except AnswerError as answer:
            if answer.code not in NOT_IMPLEMENTED:
                raise
            to.requests.send(request, doing, expected=gone, patience=to.patience)
    except AnswerError as answer:
        head = _head(to)
        if head is not None and _token(head) == to.token:
            return
        if answer.code in TAKEN:
            raise _taken(to) from answer
        raise to.error(
            "was not written: its upload is gone", "Something aborted it: a lifecycle rule?"
        ) from answer


@dataclass(frozen=True, slots=True, kw_only=True)
class _Settled:
    """The finished object: its ETag where that may be an MD5, and whether it says that it is ours."""

    etag: str
    ours: bool


def _settled(to: Destination, size: int) -> _Settled:
    """Look at the finished object. Raise StoreError when it is not the one that was sent."""
    head = _head(to)
    if head is None:
        raise to.error(
            "is not there, though the store took it", "Do not trust this store: it lost what it accepted."
        )
    if _token(head) not in (None, to.token):
        if to.absent:
            raise _taken(to)
        raise to.error("was replaced by another writer", "Let only one process at a time write to this key.")
    ours = _token(head) == to.token
    if head["ContentLength"] != size:
        _remove(to, _Settled(etag="", ours=ours))
        raise to.error(
            f"has {head['ContentLength']} bytes instead of {size}",
            "Look for a broken proxy, or another writer.",
        )
    kms = str(head.get("ServerSideEncryption", "")).startswith("aws:kms")
    return _Settled(etag="" if kms else plain_etag(head), ours=ours)


def _head(to: Destination) -> dict[str, Any] | None:
    client = to.client
    with contextlib.suppress(AnswerError):
        answer: dict[str, Any] = to.requests.send(
            lambda: client.head_object(**to.named),
            f"look at {to.key}",
            expected=MISSING,
            patience=to.patience,
        )
        return answer
    return None


def _token(head: dict[str, Any]) -> str | None:
    found: str | None = head.get("Metadata", {}).get(_TOKEN)
    return found


def _taken(to: Destination) -> ExistsError:
    return ExistsError(f"{to.requests.where}: {to.key} exists already")


def _remove(to: Destination, found: _Settled) -> None:
    """Remove what is not as it was sent. Raise ExistsError instead when it may be another writer's.

    A store that keeps no metadata does not say whose it is, and one that ignores conditions lets two write at once.
    """
    if to.absent and not found.ours:
        raise _taken(to)
    client = to.client
    to.requests.send(lambda: client.delete_object(**to.named), f"delete {to.key}")
