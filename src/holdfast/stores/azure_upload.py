"""Uploading a stream of unknown length: one request when it is short, else blocks that a last request makes a blob of.

Blocks that are never committed are no blob. Every upload gives its blocks names of its own, so that two writers of one
key do not mix. The service checks and tells the MD5 of each block, and of a blob that comes in one request.
"""

from __future__ import annotations

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
from holdfast.stores.azure_client import Client, md5_of
from holdfast.stores.azure_errors import CHANGED, GONE, MISSING, TAKEN
from holdfast.stores.base import ExistsError
from holdfast.stores.blocks import Sender, blocks
from holdfast.stores.requests import AnswerError, Requests

MOST_BLOCKS = 50_000  # Azure's limit
_TOKEN = "holdfast_upload"  # noqa: S105 - the name of a metadata field


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where an upload goes. `key` is for messages, `path` the name in the container; `patience` is in seconds.

    `token` marks the blob as this upload's, so that an answer that got lost, or another writer, is told apart.
    `retention` is how and until when the blob is locked from the start.
    """

    requests: Requests
    client: Client = field(repr=False)
    path: str
    key: str
    block_bytes: int
    patience: float
    absent: bool
    retention: tuple[str, datetime] | None = None
    token: str = field(default_factory=lambda: secrets.token_hex(12))

    @property
    def metadata(self) -> dict[str, str]:
        """What goes with the blob."""
        return {_TOKEN: self.token}

    def error(self, text: str, hint: str | None = None) -> StoreError:
        """Make an error about this blob."""
        return StoreError(f"{self.requests.where}: {self.key} {text}", hint=hint)

    def taken(self) -> ExistsError:
        """Make the error that says that the key is not free."""
        return ExistsError(f"{self.requests.where}: {self.key} exists already")


def upload(to: Destination, chunks: Iterable[bytes]) -> bool:
    """Store all chunks; return whether the service's own MD5 of them is the expected one. Errors: see Store.put."""
    with _Blocks(to) as sent:
        for block in blocks(chunks, to.block_bytes):
            if not sent.begun and len(block) < to.block_bytes:
                return _put_whole(to, bytes(block))
            sent.add(block)
        return sent.complete()


def _put_whole(to: Destination, data: bytes) -> bool:
    request = functools.partial(
        to.client.put, to.path, data, to.metadata, absent=to.absent, retention=to.retention
    )
    _conditionally(to, request, gone=frozenset())
    found = _settled(to, len(data))
    md5 = found.content_settings.content_md5  # the service makes it of a blob that comes in one request
    if md5 is None:
        return False
    if bytes(md5) != md5_of(data):
        _remove(to, found.etag)
        raise to.error(
            "holds other bytes than were sent, and was deleted", "Look for a broken proxy or disk."
        )
    return True


class _Blocks:
    """The blocks of a blob that is to be; without `complete` nothing comes of them."""

    def __init__(self, to: Destination) -> None:
        self._to = to
        self._sender = Sender("azure-upload")
        self._sent: list[tuple[str, int]] = []
        self._begun = False
        self._confirmed = True
        self._md5 = hashlib.md5(usedforsecurity=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sender.__exit__(kind, error, trace)

    @property
    def begun(self) -> bool:
        """Whether there was a block."""
        return self._begun

    def add(self, block: bytearray) -> None:
        """Begin to send the block, once the one before has been sent. Raise what sending that one raised."""
        self._begun = True
        self._sender.wait()
        if len(self._sent) == MOST_BLOCKS:
            raise self._to.error(f"is larger than {MOST_BLOCKS} blocks of {self._to.block_bytes} bytes")
        self._sender.begin(functools.partial(self._send, block))

    def complete(self) -> bool:
        """Make the blob of its blocks, and compare it with what was sent."""
        self._sender.wait()
        to = self._to
        names = [name for name, _ in self._sent]
        request = functools.partial(
            to.client.commit,
            to.path,
            names,
            to.metadata,
            md5=self._md5.digest(),
            absent=to.absent,
            retention=to.retention,
        )
        _conditionally(to, request, gone=GONE)
        found = _settled(to, sum(size for _, size in self._sent))
        held = to.requests.send(
            lambda: to.client.committed(to.path), f"look at the blocks of {to.key}", patience=to.patience
        )
        if held != self._sent:
            _remove(to, found.etag)
            raise to.error(
                "is made of other blocks than were sent, and was deleted", "Look for another writer."
            )
        return self._confirmed

    def _send(self, block: bytearray) -> None:
        """Send one block; runs in the sender's thread."""
        to, data = self._to, bytes(block)
        number = len(self._sent) + 1
        name = f"{to.token}-{number:06}"  # Azure: all of the same length
        md5 = to.requests.send(
            lambda: to.client.stage(to.path, name, data),
            f"write block {number} of {to.key}",
            patience=to.patience,
            stop=self._sender.stop,
        )
        self._confirmed &= md5 == md5_of(data)
        self._md5.update(data)
        self._sent.append((name, len(data)))


def _conditionally(to: Destination, request: Callable[[], None], *, gone: frozenset[str]) -> None:
    """Send the request that makes the blob appear. Raise ExistsError when it must be new and is not.

    `gone` are the codes that say that an earlier try, whose answer got lost, may have done it.
    """
    if to.absent and _look(to) is not None:  # a server that is not Azure's may ignore the condition
        raise to.taken()
    try:
        to.requests.send(
            request,
            f"write {to.key}",
            expected=gone | (TAKEN if to.absent else frozenset()),
            patience=to.patience,
        )
    except AnswerError as answer:
        found = _look(to)
        if found is not None and _token(found) == to.token:
            return
        if answer.code in TAKEN or (to.absent and found is not None):
            raise to.taken() from answer
        raise to.error(
            "was not written: its blocks are gone", "Another writer has written this key: let only one do so."
        ) from answer


def _settled(to: Destination, size: int) -> Any:  # noqa: ANN401 - a BlobProperties, of an optional library
    """Look at the finished blob. Raise StoreError when it is not the one that was sent."""
    found = _look(to)
    if found is None:
        raise to.error(
            "is not there, though the store took it", "Do not trust this store: it lost what it accepted."
        )
    if _token(found) != to.token:
        if to.absent:
            raise to.taken()
        raise to.error("was replaced by another writer", "Let only one process at a time write to this key.")
    if found.size != size:
        _remove(to, found.etag)
        raise to.error(
            f"has {found.size} bytes instead of {size}", "Look for a broken proxy, or another writer."
        )
    return found


def _look(to: Destination) -> Any:  # noqa: ANN401 - as above
    with contextlib.suppress(AnswerError):
        return to.requests.send(
            lambda: to.client.look(to.path), f"look at {to.key}", expected=MISSING, patience=to.patience
        )
    return None


def _token(found: Any) -> str | None:  # noqa: ANN401 - as above
    for name, value in (found.metadata or {}).items():
        if name.lower() == _TOKEN:  # HTTP does not keep the case
            return str(value)
    return None


def _remove(to: Destination, etag: str) -> None:
    with contextlib.suppress(AnswerError):
        to.requests.send(
            lambda: to.client.delete(to.path, etag), f"delete {to.key}", expected=MISSING | CHANGED
        )
