"""Reading a blob or a range of it, piece by piece, from the very version that was there at the beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from holdfast.model.errors import NotFoundError, StoreError
from holdfast.stores.azure_client import Client
from holdfast.stores.azure_errors import CHANGED, MISSING
from holdfast.stores.pieces import in_pieces
from holdfast.stores.requests import AnswerError, Requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What is read: `path` is the name in the container, `key` what messages call it; `patience` is in seconds.

    It is the current version, unless another one is named.
    """

    requests: Requests
    client: Client = field(repr=False)
    path: str
    key: str
    patience: float
    version: str | None = None


def download(origin: Origin, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Give the blob's bytes, or a range of them. Errors as those of Store.get, and StoreError when it changes."""
    what = f"{origin.requests.where}: {origin.key}"
    try:
        found = origin.requests.send(
            lambda: origin.client.look(origin.path, origin.version), f"read {origin.key}", expected=MISSING
        )
    except AnswerError as error:
        raise NotFoundError(f"{origin.requests.where}: there is no {origin.key}") from error

    def fetch(at: int, until: int) -> bytearray:
        try:
            return origin.requests.send(
                lambda: origin.client.read(origin.path, found.etag, at, until, version=origin.version),
                f"read on in {origin.key}",
                expected=MISSING | CHANGED,
                patience=origin.patience,
            )
        except AnswerError as error:
            raise StoreError(f"{what} was changed or deleted while it was read") from error

    yield from in_pieces(fetch, what=what, size=int(found.size), start=start, length=length)
