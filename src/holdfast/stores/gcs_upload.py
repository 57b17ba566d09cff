"""Uploading a stream of unknown length: one request when it is short, else a resumable upload in pieces.

The object appears when the last request is taken, or not at all. A piece whose answer got lost is asked for: the
service tells how much it holds. What was sent is compared by MD5 with what the service says of the finished object.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import hashlib
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, Self

from holdfast.model.errors import StoreError
from holdfast.stores.base import ExistsError
from holdfast.stores.blocks import Sender, blocks
from holdfast.stores.gcs_client import Client
from holdfast.stores.gcs_errors import GONE, MISSING, TAKEN
from holdfast.stores.requests import AnswerError, Requests

_TOKEN = "holdfast-upload"  # noqa: S105 - the name of a metadata field
_CANCEL_SECONDS = 60.0
_NOTHING = memoryview(b"")


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an upload goes. `key` is for messages, `path` the name in the bucket; `patience` is in seconds.

    `token` marks the object as this upload's, so that an answer that got lost, or another writer, is told apart.
    `retention` is how and until when the object is locked from the start.
    """

    requests: Requests
    client: Client = field(repr=False)
    path: str
    key: str
    storage_class: str | None
    part_bytes: int
    patience: float
    absent: bool
    retention: tuple[str, datetime] | None = None
    token: str = field(default_factory=lambda: secrets.token_hex(16))

    def new(self) -> Any:  # noqa: ANN401 - the library has no types
        """Give the handle of the object to be written."""
        blob = self.client.new(self.path, **{_TOKEN: self.token})
        if self.storage_class is not None:
            blob.storage_class = self.storage_class
        if self.retention is not None:
            blob.retention.mode, blob.retention.retain_until_time = self.retention
        return blob

    def error(self, text: str, hint: str | None = None) -> StoreError:
        """Make an error about this object."""
        return StoreError(f"{self.requests.where}: {self.key} {text}", hint=hint)

    def taken(self) -> ExistsError:
        """Make the error that says that the key is not free."""
        return ExistsError(f"{self.requests.where}: {self.key} exists already")


def upload(to: Destination, chunks: Iterable[bytes]) -> bool:
    """Store all chunks; return whether the service's own MD5 of them is the expected one. Errors: see Store.put."""
    with _Resumable(to) as session:
        for block in blocks(chunks, to.part_bytes):
            if not session.begun and len(block) < to.part_bytes:
                return _put_whole(to, bytes(block))
            session.add(block)
        return session.complete()


def _put_whole(to: Destination, data: bytes) -> bool:
    _conditionally(to, lambda: to.client.put(to.new(), data, absent=to.absent), gone=frozenset())
    return _settled(to, len(data), hashlib.md5(data, usedforsecurity=False).digest())


class _Resumable:
    """A resumable upload that is cancelled unless it was completed; begun by the first block."""

    def __init__(self, to: Destination) -> None:
        self._to = to
        self._sender = Sender("gcs-upload")
        self._url: str | None = None
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._sender.__exit__(kind, error, trace)
        finally:
            if self._url is not None:
                self._cancel(self._url, error)

    @property
    def begun(self) -> bool:
        """Whether there was a block."""
        return self._url is not None

    def add(self, block: bytearray) -> None:
        """Begin to send the block, once the one before has been sent. Raise what sending that one raised."""
        if self._url is None:
            self._url = self._begin()
        if len(block) < self._to.part_bytes:  # the last one: with it the object appears
            self._sender.wait()
            self._md5.update(block)
            self._finish(self._url, block)
        else:
            self._sender.begin(functools.partial(self._send, self._url, block))

    def complete(self) -> bool:
        """Make the object of what was sent, and compare it with that."""
        self._sender.wait()
        if self._url is not None:  # the blocks came out even
            self._finish(self._url, bytearray())
        return _settled(self._to, self._size, self._md5.digest())

    def _begin(self) -> str:
        to = self._to
        try:
            return to.requests.send(
                lambda: to.client.begin(to.new(), absent=to.absent),
                f"begin to write {to.key}",
                expected=TAKEN,
            )
        except AnswerError as answer:
            raise to.taken() from answer

    def _send(self, url: str, block: bytearray) -> None:
        """Send one block that is not the last; runs in the sender's thread."""
        self._md5.update(block)
        piece = _Piece(to=self._to, url=url, data=memoryview(block), start=self._size, total=None)
        self._to.requests.send(
            piece.send,
            f"write {self._to.key} from byte {self._size} on",
            patience=self._to.patience,
            stop=self._sender.stop,
        )
        self._size += len(block)

    def _finish(self, url: str, block: bytearray) -> None:
        total = self._size + len(block)
        piece = _Piece(to=self._to, url=url, data=memoryview(block), start=self._size, total=total)
        _conditionally(self._to, piece.send, gone=GONE)
        self._size, self._url = total, None

    def _cancel(self, url: str, error: BaseException | None) -> None:
        requests = self._to.requests
        try:
            with contextlib.suppress(AnswerError):
                requests.send(
                    lambda: self._to.client.cancel(url),
                    f"cancel the upload of {self._to.key}",
                    expected=GONE,
                    patience=min(_CANCEL_SECONDS, requests.patience),
                )
        except StoreError as second:
            if error is None:
                raise
            # The first error says why; the service drops what was begun after a week.
            error.add_note(f"besides, {second}")


@dataclass(slots=True, kw_only=True)
class _Piece:
    """Bytes on their way, from `start` on; with `total` they are the last ones."""

    to: Destination
    url: str
    data: memoryview
    start: int
    total: int | None
    tried: bool = False

    def send(self) -> None:
        """Send what the service does not hold yet. After a failure it is asked first what has arrived."""
        held: int | None = self.start
        if self.tried:
            held = self._checked(self.to.client.send(self.url, f"bytes */{self._size}", _NOTHING))
        self.tried = True
        end = self.start + len(self.data)
        while held is not None and (held < end or self.total is not None):
            span = f"{held}-{end - 1}" if held < end else "*"
            before = held
            held = self._checked(
                self.to.client.send(self.url, f"bytes {span}/{self._size}", self.data[held - self.start :])
            )
            if held is not None and held <= before:
                raise ConnectionError(f"the service takes nothing beyond byte {before}")

    @property
    def _size(self) -> str:
        return "*" if self.total is None else str(self.total)

    def _checked(self, held: int | None) -> int | None:
        end = self.start + len(self.data)
        if held is None if self.total is None else held is not None and held > end:
            raise self.to.error("was not written: the service ended its upload early")
        if held is not None and held < self.start:
            raise self.to.error(
                f"was not written: the service holds {held} bytes of the {self.start} that it had taken"
            )
        return held


def _conditionally(to: Destination, request: Callable[[], None], *, gone: frozenset[str]) -> None:
    """Send the request that makes the object appear. Raise ExistsError when it must be new and is not.

    `gone` are the codes that say that an earlier try, whose answer got lost, may have done it.
    """
    if to.absent and _look(to) is not None:  # an emulator may ignore the condition
        raise to.taken()
    try:
        to.requests.send(
            request,
            f"write {to.key}",
            expected=gone | (TAKEN if to.absent else frozenset()),
            patience=to.patience,
        )
    except AnswerError as answer:
        blob = _look(to)
        if blob is not None and _token(blob) == to.token:
            return
        if answer.code in TAKEN:
            raise to.taken() from answer
        raise to.error(
            "was not written: its upload is gone", "Begin again; an upload lives for a week."
        ) from answer


def _settled(to: Destination, size: int, md5: bytes) -> bool:
    """Look at the finished object; return whether its MD5 is ours. Raise StoreError when it is not what was sent."""
    blob = _look(to)
    if blob is None:
        raise to.error(
            "is not there, though the store took it", "Do not trust this store: it lost what it accepted."
        )
    if _token(blob) != to.token:
        if to.absent:
            raise to.taken()
        raise to.error("was replaced by another writer", "Let only one process at a time write to this key.")
    if blob.size != size:
        _remove(to, blob)
        raise to.error(
            f"has {blob.size} bytes instead of {size}", "Look for a broken proxy, or another writer."
        )
    if blob.md5_hash is None:  # it has one of every object that was written like this; but who knows
        return False
    if blob.md5_hash != base64.b64encode(md5).decode():
        _remove(to, blob)
        raise to.error(
            "holds other bytes than were sent, and was deleted", "Look for a broken proxy or disk."
        )
    return True


def _look(to: Destination) -> Any:  # noqa: ANN401 - the library has no types
    with contextlib.suppress(AnswerError):
        return to.requests.send(
            lambda: to.client.look(to.path), f"look at {to.key}", expected=MISSING, patience=to.patience
        )
    return None


def _token(blob: Any) -> str | None:  # noqa: ANN401 - as above
    found: str | None = (blob.metadata or {}).get(_TOKEN)
    return found


def _remove(to: Destination, blob: Any) -> None:  # noqa: ANN401 - as above
    with contextlib.suppress(AnswerError):
        to.requests.send(
            lambda: to.client.delete(to.path, blob.generation), f"delete {to.key}", expected=MISSING
        )
