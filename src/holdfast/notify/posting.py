"""Posts a body over HTTP: certificates are checked, redirects are not followed, no answer is waited for for ever.

Proxies are those of the environment (HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from holdfast.model.event import one_line
from holdfast.notify.base import DeliveryError, Limits
from holdfast.notify.deadlines import deadline

_ANSWER_BYTES = 300
_HINTS = {
    401: "The token or secret is wrong, or missing.",
    403: "The URL, token or secret is not valid any more, or never was.",
    404: "The URL is wrong, or what it led to was removed.",
    407: "The proxy of the environment (HTTPS_PROXY) wants a login.",
    410: "What the URL led to was removed.",
}


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    limits: Limits,
    ca_bundle: Path | None = None,
) -> None:
    """Post and expect an answer of 2xx. Raise DeliveryError, which names the host alone: the rest may be a secret."""
    host = urlsplit(url).hostname or "?"
    request = urllib.request.Request(  # noqa: S310 - the config lets http and https through, and so do the handlers
        url, data=body, headers={"User-Agent": "Holdfast", **headers}, method="POST"
    )
    try:
        opener = _Opener(ca_bundle)
        with deadline(opener.socket, limits.total):
            response = opener.director.open(request, timeout=limits.step)
        with response:
            status, reason = int(response.status), str(response.reason)
            if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's success
                raise _refused(host, f"{status} {reason}", response)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _failed(host, error) from error


class _Opener:
    """Opens http and https only, through the environment's proxies, and knows its socket."""

    def __init__(self, ca_bundle: Path | None) -> None:
        context = ssl.create_default_context(cafile=None if ca_bundle is None else str(ca_bundle))
        self.connections: list[http.client.HTTPConnection] = []
        self.director = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler(), _Plain(self), _Tls(self, context)):
            self.director.add_handler(handler)

    def socket(self) -> Any:  # noqa: ANN401 - http.client says so
        """The socket of the connection, when there is one."""
        return self.connections[-1].sock if self.connections else None


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, opener: _Opener) -> None:
        super().__init__()
        self._opener = opener

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connection(host: str, **keys: Any) -> http.client.HTTPConnection:  # noqa: ANN401 - urllib's own
            self._opener.connections.append(http.client.HTTPConnection(host, **keys))
            return self._opener.connections[-1]

        return self.do_open(connection, req)


class _Tls(urllib.request.HTTPSHandler):
    def __init__(self, opener: _Opener, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._opener = opener
        self._own_context = context

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connection(host: str, **keys: Any) -> http.client.HTTPConnection:  # noqa: ANN401 - urllib's own
            made = http.client.HTTPSConnection(host, context=self._own_context, **keys)
            self._opener.connections.append(made)
            return made

        return self.do_open(connection, req)


def _refused(host: str, answer: str, response: http.client.HTTPResponse) -> DeliveryError:
    status = response.status
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's redirects
        to = urlsplit(response.headers.get("Location", "")).hostname or host
        hint = f"Redirects are not followed. Put the address that it leads to (at {to}) into the config."
        return DeliveryError(f"{host} answered {one_line(answer)}", hint=hint)
    said = one_line(response.read1(_ANSWER_BYTES).decode("utf-8", "replace"))
    return DeliveryError(
        f"{host} answered {one_line(answer)}" + (f": {said}" if said else ""),
        hint=_HINTS.get(status),
        retry_after=_seconds(response.headers.get("Retry-After")),
    )


def _seconds(text: str | None) -> float | None:
    """Read Retry-After; the form with a date is rare, and our own patience does as well."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _failed(host: str, error: Exception) -> DeliveryError:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        return DeliveryError(
            f"{host}: its certificate is not trusted: {reason.verify_message}",
            hint="If its authority is your own, name it with ca_bundle.",
        )
    if isinstance(reason, TimeoutError):
        return DeliveryError(f"{host}: no answer: {reason}")
    text = (reason.strerror or str(reason)) if isinstance(reason, OSError) else type(reason).__name__
    return DeliveryError(f"{host}: {one_line(text)}")
