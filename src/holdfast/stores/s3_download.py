"""Reading an object, going on where a connection broke off, and never past a change of the object."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from holdfast.model.errors import NotFoundError, StoreError
from holdfast.stores import s3_errors
from holdfast.stores.s3_client import AnswerError, Requests, pause_before

READ_BYTES = 1024 * 1024
_TRIES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is read: `path` is the key in the bucket, `key` what messages call it; `patience` is in seconds."""

    requests: Requests
    bucket: str
    path: str
    key: str
    patience: float

    def error(self, text: str) -> StoreError:
        """Make an error about this object."""
        return StoreError(f"{self.requests.where}: {self.key} {text}")


def download(origin: Origin) -> Iterator[bytes]:
    """Give the object's bytes. Raise NotFoundError, or StoreError when it breaks off or changes meanwhile."""
    answer = _open(origin)
    size, etag = int(answer["ContentLength"]), str(answer.get("ETag", ""))
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
        answer = _resume(origin, done, etag)


def _open(origin: Origin) -> dict[str, Any]:
    client = origin.requests.client
    named = {"Bucket": origin.bucket, "Key": origin.path}
    try:
        answer: dict[str, Any] = origin.requests.send(
            lambda: client.get_object(**named), f"read {origin.key}", expected=s3_errors.MISSING
        )
    except AnswerError as error:
        raise NotFoundError(f"{origin.requests.where}: there is no {origin.key}") from error
    return answer


def _resume(origin: Origin, done: int, etag: str) -> dict[str, Any]:
    """Ask for the rest, of the very object that was begun."""
    client = origin.requests.client
    condition = {"IfMatch": etag} if etag else {}
    rest = {"Bucket": origin.bucket, "Key": origin.path, "Range": f"bytes={done}-", **condition}
    try:
        answer: dict[str, Any] = origin.requests.send(
            lambda: client.get_object(**rest),
            f"read on in {origin.key}",
            expected=s3_errors.TAKEN | s3_errors.MISSING,
            patience=origin.patience,
        )
    except AnswerError as error:
        raise origin.error("was changed or deleted while it was read") from error
    if done and not str(answer.get("ContentRange", "")).startswith(f"bytes {done}-"):
        answer["Body"].close()
        raise origin.error(f"broke off after {done} bytes, and the store cannot go on from there")
    return answer
