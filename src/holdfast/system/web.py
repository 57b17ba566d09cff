"""Opens URLs over HTTP and HTTPS: certificates are checked, redirects are not followed, proxies are the environment's."""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

# What an exchange over HTTP may raise: `explained` tells what it means.
FAILURES = (OSError, http.client.HTTPException, ValueError)


class WebOpener:
    """Opens one URL (HTTPS_PROXY and NO_PROXY hold), and knows its socket."""

    def __init__(self, ca_bundle: Path | None = None) -> None:
        self.connections: list[http.client.HTTPConnection] = []
        self.director = urllib.request.OpenerDirector()
        for handler in (urllib.request.ProxyHandler(), _Plain(self), _Tls(self, ca_bundle)):
            self.director.add_handler(handler)

    def socket(self) -> Any:  # noqa: ANN401 - http.client says so
        """The socket of the connection, when there is one."""
        return self.connections[-1].sock if self.connections else None


def explained(error: Exception) -> tuple[str, str | None]:
    """Say what a failed exchange means: a text, and where there is one a hint. No address or header stands in it."""
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(reason, ssl.SSLCertVerificationError):
        hint = "If its authority is your own, name it with ca_bundle."
        return f"its certificate is not trusted: {reason.verify_message}", hint
    if isinstance(reason, TimeoutError):
        return f"no answer: {reason}", None
    if isinstance(reason, http.client.IncompleteRead):
        return f"the answer broke off after {len(reason.partial)} bytes", None
    return (reason.strerror or str(reason)) if isinstance(reason, OSError) else type(reason).__name__, None


class _Plain(urllib.request.HTTPHandler):
    def __init__(self, opener: WebOpener) -> None:
        super().__init__()
        self._opener = opener

    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        def connection(host: str, **keys: Any) -> http.client.HTTPConnection:  # noqa: ANN401 - urllib's own
            self._opener.connections.append(http.client.HTTPConnection(host, **keys))
            return self._opener.connections[-1]

        return self.do_open(connection, req)


class _Tls(urllib.request.HTTPSHandler):
    def __init__(self, opener: WebOpener, ca_bundle: Path | None) -> None:
        super().__init__(context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))  # not used: the one below is
        self._opener = opener
        self._ca_bundle = None if ca_bundle is None else str(ca_bundle)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        context = ssl.create_default_context(cafile=self._ca_bundle)  # takes a tenth of a second

        def connection(host: str, **keys: Any) -> http.client.HTTPConnection:  # noqa: ANN401 - urllib's own
            made = http.client.HTTPSConnection(host, context=context, **keys)
            self._opener.connections.append(made)
            return made

        return self.do_open(connection, req)
