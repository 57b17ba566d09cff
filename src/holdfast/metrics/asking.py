"""Asks the daemon of this host whether it is well, as a container's health check does."""

from __future__ import annotations

import http.client
import ssl
from http import HTTPStatus

from holdfast.model.errors import UnwellError

_SECONDS = 5.0
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what it listens at, not we
_LOG = "Look at its log: `journalctl -u holdfast`, or that of the container."


def ask_whether_well(address: tuple[str, int], *, tls: bool) -> None:
    """Ask for /healthz where the daemon listens. Raise UnwellError when it does not answer, or says what is wrong."""
    host, port = _ANYWHERE.get(address[0], address[0]), address[1]
    connection = _connection(host, port, tls=tls)
    try:
        connection.request("GET", "/healthz")
        answer = connection.getresponse()
        said = answer.read(4096).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "strerror", None) or error or type(error).__name__
        raise UnwellError(
            f"the daemon does not answer at {host} port {port}: {why}", hint=f"Does it run? {_LOG}"
        ) from error
    finally:
        connection.close()
    if answer.status != HTTPStatus.OK:
        raise UnwellError(f"the daemon is not well: {said}", hint=_LOG)


def _connection(host: str, port: int, *, tls: bool) -> http.client.HTTPConnection:
    if not tls:
        return http.client.HTTPConnection(host, port, timeout=_SECONDS)
    context = ssl.create_default_context()
    # The certificate bears the name by which others reach this host; to itself nobody stands between.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=context)
