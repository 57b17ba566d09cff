"""Posts a body over HTTP: certificates are checked, redirects are not followed, no answer is waited for for ever.

Proxies are those of the environment (HTTPS_PROXY, NO_PROXY).
"""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from holdfast.model.event import one_line
from holdfast.notify.base import DeliveryError, Limits
from holdfast.system.deadlines import deadline
from holdfast.system.web import FAILURES, WebOpener, explained

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
        opener = WebOpener(ca_bundle)
        with deadline(opener.socket, limits.total):
            response = opener.director.open(request, timeout=limits.step)
        with response:
            status, reason = int(response.status), str(response.reason)
            if not 200 <= status < 300:  # noqa: PLR2004 - HTTP's success
                raise _refused(host, f"{status} {reason}", response)
    except FAILURES as error:
        raise _failed(host, error) from error


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
    text, hint = explained(error)
    return DeliveryError(f"{host}: {one_line(text)}", hint=hint)
