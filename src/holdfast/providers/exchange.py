"""One request to a platform's API and its answer, whole or not at all."""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Literal
from urllib.parse import urlsplit

from holdfast.model.errors import ConfigError, ProviderError
from holdfast.model.event import one_line
from holdfast.system.deadlines import deadline
from holdfast.system.web import FAILURES, WebOpener, explained

Method = Literal["GET", "POST", "PATCH", "DELETE"]
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What is asked. `headers` may hold a secret."""

    method: Method
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, whatever its status. `body` may hold a secret."""

    status: int
    headers: Message
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many seconds each step and all of an exchange may take, and how many bytes the answer may have."""

    step: float = 20.0
    total: float = 120.0
    size: int = 64 * 1024 * 1024


def check_address(url: str) -> None:
    """Raise ConfigError for an address to which a token would go in the clear."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise ConfigError(
        f"the address of the API does not begin with https: {parts.scheme}://{parts.hostname or ''}",
        hint="Anybody on the way could read the access token. Plain http is for this host alone.",
    )


def exchange(ask: Ask, bounds: Bounds) -> Answer:
    """Send and read the whole answer. Raise ProviderError, without a status, where none came."""
    host = urlsplit(ask.url).hostname or "?"
    request = urllib.request.Request(  # noqa: S310 - http and https only: check_address, and so do the handlers
        ask.url, data=ask.body, headers=dict(ask.headers), method=ask.method
    )
    opener = WebOpener()
    try:
        with (
            deadline(opener.socket, bounds.total),
            opener.director.open(request, timeout=bounds.step) as response,
        ):
            body = response.read(bounds.size + 1)
            declared = response.headers.get("Content-Length", "")
            answer = Answer(status=int(response.status), headers=response.headers, body=body)
    except FAILURES as error:
        text, hint = explained(error)
        raise ProviderError(f"{host}: {one_line(text)}", hint=hint) from error
    if len(body) > bounds.size:
        raise ProviderError(f"{host}: the answer has more than {bounds.size} bytes", status=answer.status)
    if (
        declared.isascii() and declared.isdigit() and len(body) < int(declared)
    ):  # a read of a given size does not notice
        raise ProviderError(f"{host}: the answer broke off after {len(body)} of {declared} bytes")
    return answer
