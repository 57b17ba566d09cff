"""Reading an object or a range of it, going on where a connection broke off, and never past a change of the object."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from holdfast.model.errors import NotFoundError, StoreError
from holdfast.stores import s3_errors
from holdfast.stores.base import NoRangesError
from holdfast.stores.requests import AnswerError, Requests, pause_before
from holdfast.stores.s3_client import Client

READ_BYTES = 1024 * 1024
_TRIES = 5
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is read: `path` is the key in the bucket, `key` what messages call it; `patience` is in seconds.

    Of an object with versions it is the current one, unless a `version` is named.
    """

    requests: Requests
    client: Client = field(repr=False)
    bucket: str
    path: str
    key: str
    patience: float
    version: str | None = None

    @property
    def named(self) -> dict[str, str]:
        """The parameters that name the object in any request."""
        version = {} if self.version is None else {"VersionId": self.version}
        return {"Bucket": self.bucket, "Key": self.path, **version}

    def size(self, answer: dict[str, Any]) -> int:
        """How many bytes an answer promises. It is closed where it promises nothing."""
        try:
            (length,) = s3_errors.told(answer, f"{self.requests.where}: {self.key}", "ContentLength")
        except StoreError:
            answer["Body"].close()
            raise
        return int(length)

    def error(self, text: str) -> StoreError:
        """Make an error about this object."""
        return StoreError(f"{self.requests.where}: {self.key} {text}")


def download(origin: Origin, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Give the object's bytes, or a range of them. Errors as those of Store.get, and StoreError when it changes."""
    answer = _open(origin, start, length)
    if answer is not None:
        yield from _read(origin, answer, start)


def opened(origin: Origin) -> tuple[dict[str, Any], Iterator[bytes]]:
    """Begin to read an object: what the service tells of it, and its bytes. Raise NotFoundError when there is none."""
    answer = _open(origin, 0, None)
    if answer is None:
        raise AssertionError  # the whole lies within every object
    return answer, _read(origin, answer, 0)


def _read(origin: Origin, answer: dict[str, Any], start: int) -> Iterator[bytes]:
    size, etag = origin.size(answer), str(answer.get("ETag", ""))
    done, fruitless = 0, 0
    while True:
        error: Exception | None = None
        try:
            with contextlib.closing(answer["Body"]) as body:
                while chunk := body.read(READ_BYTES):
                    done, fruitless = done + len(chunk), 0
                    yield chunk
        except s3_errors.foreign() as caught:
            error = caught
        if done == size:
            return
        fruitless += 1
        if done > size or fruitless > _TRIES:
            raise origin.error(f"broke off after {done} of {size} bytes") from error
        time.sleep(pause_before(fruitless, origin.requests.pause))
        answer = _resume(origin, start + done, start + size, etag)


def _open(origin: Origin, start: int, length: int | None) -> dict[str, Any] | None:
    """Begin to read; give None when the object ends before the range begins."""
    client = origin.client
    wanted = dict(origin.named)
    ranged = bool(start) or length is not None
    if ranged:
        wanted["Range"] = f"bytes={start}-{'' if length is None else start + length - 1}"
    try:
        answer: dict[str, Any] = origin.requests.send(
            lambda: client.get_object(**wanted),
            f"read {origin.key}",
            expected=s3_errors.MISSING | (s3_errors.OUTSIDE if ranged else frozenset()),
        )
    except AnswerError as error:
        if error.code in s3_errors.OUTSIDE:
            return None
        raise NotFoundError(f"{origin.requests.where}: there is no {origin.key}") from error
    if ranged:
        _check_piece(origin, answer, start, length)
    return answer


def _check_piece(origin: Origin, answer: dict[str, Any], start: int, length: int | None) -> None:
    """Raise StoreError unless the answer is the piece that was asked for, as far as the object goes."""
    told = _CONTENT_RANGE.fullmatch(str(answer.get("ContentRange", "")))
    size = origin.size(answer)
    if told is not None and int(told[1]) == start:
        rest = int(told[2]) - start
        if size == (rest if length is None else min(length, rest)):
            return
    answer["Body"].close()
    if told is not None:
        raise origin.error(f"was asked for from byte {start} on, and came as {told[0]}")
    raise NoRangesError(
        f"{origin.requests.where}: {origin.key} came whole when a piece of it was asked for",
        hint="The store, or a proxy before it, ignores the Range header: only whole objects can be read.",
    )


def _resume(origin: Origin, at: int, end: int, etag: str) -> dict[str, Any]:
    """Ask for the rest, of the very object that was begun."""
    client = origin.client
    condition = {"IfMatch": etag} if etag else {}
    rest = {**origin.named, "Range": f"bytes={at}-{end - 1}", **condition}
    try:
        answer: dict[str, Any] = origin.requests.send(
            lambda: client.get_object(**rest),
            f"read on in {origin.key}",
            expected=s3_errors.TAKEN | s3_errors.MISSING,
            patience=origin.patience,
        )
    except AnswerError as error:
        raise origin.error("was changed or deleted while it was read") from error
    whole = at == 0 and origin.size(answer) == end
    if not whole and not str(answer.get("ContentRange", "")).startswith(f"bytes {at}-"):
        answer["Body"].close()
        raise origin.error(f"broke off at byte {at}, and the store cannot go on from there")
    return answer
