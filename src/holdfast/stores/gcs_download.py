"""Reading an object or a range of it, piece by piece, from the one generation that was there at the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.model.errors import NotFoundError, StoreError
from holdfast.stores.gcs_client import Client
from holdfast.stores.gcs_errors import MISSING
from holdfast.stores.pieces import Sink, in_pieces
from holdfast.stores.requests import AnswerError, Requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is read: `path` is the name in the bucket, `key` what messages call it; `patience` is in seconds.

    It is the live generation, unless another one is named.
    """

    requests: Requests
    client: Client = field(repr=False)
    path: str
    key: str
    patience: float
    generation: int | None = None


def download(origin: Origin, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Give the object's bytes, or a range of them. Errors as those of Store.get, and StoreError when it changes."""
    what = f"{origin.requests.where}: {origin.key}"
    try:
        blob = origin.requests.send(
            lambda: origin.client.look(origin.path, origin.generation), f"read {origin.key}", expected=MISSING
        )
    except AnswerError as error:
        raise NotFoundError(f"{origin.requests.where}: there is no {origin.key}") from error
    generation: int = blob.generation

    def fetch(at: int, until: int) -> bytearray:
        def request() -> bytearray:
            sink = Sink(until - at)
            origin.client.read(origin.path, generation, at, until, sink)
            return sink.data

        try:
            return origin.requests.send(
                request, f"read on in {origin.key}", expected=MISSING, patience=origin.patience
            )
        except AnswerError as error:
            raise StoreError(f"{what} was changed or deleted while it was read") from error

    yield from in_pieces(fetch, what=what, size=int(blob.size), start=start, length=length)
