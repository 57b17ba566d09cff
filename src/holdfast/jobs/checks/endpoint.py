"""Checks who can read what the daemon's endpoint tells: on a network it wants TLS and a login."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from holdfast.jobs.checks.finding import Finding

SUBJECT = "metrics endpoint"
_HINT = (
    "Let daemon.listen be 127.0.0.1, or set tls_certificate_file and tls_key_file, auth_user and auth_password_file."
    " In a container whose port is not published it may stay."
)


def check_endpoint(host: str, port: int, *, tls: bool, login: bool) -> Iterator[Finding]:
    """Warn where the endpoint is open to a network, or takes its password over one in the clear."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if tls and login:
        yield Finding(level="ok", subject=SUBJECT, message=f"{where}, with TLS and a login")
    elif _is_loopback(host):
        yield Finding(level="ok", subject=SUBJECT, message=f"{where}, for this host only")
    elif login:
        message = f"{where} takes its password without TLS: whoever is on the network can read it"
        yield Finding(level="warn", subject=SUBJECT, message=message, hint=_HINT)
    else:
        message = (
            f"{where} has no login{'' if tls else ' and no TLS'}: whoever reaches it reads the names and sizes of databases"
            " and stores"
        )
        yield Finding(level="warn", subject=SUBJECT, message=message, hint=_HINT)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
