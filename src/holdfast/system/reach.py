"""Tries whether a machine on the network answers at a port, and tells where it is only to be had by IPv6."""

from __future__ import annotations

import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """Whether a connection came about. `only_ipv6`: the name has no other address, or none that this machine could use."""

    answers: bool
    only_ipv6: bool = False


def reach(host: str, port: int, *, seconds: float) -> Reach:
    """Connect, and hang up at once; each address has so many seconds."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return Reach(answers=False, only_ipv6=_has_ipv6(host, port))
    for family, kind, protocol, _, address in found:
        try:
            with socket.socket(family, kind, protocol) as probe:
                probe.settimeout(seconds)
                probe.connect(address)
        except OSError:
            continue
        return Reach(answers=True)
    return Reach(answers=False, only_ipv6={each[0] for each in found} == {socket.AF_INET6})


def _has_ipv6(host: str, port: int) -> bool:
    """Whether the name has an address of IPv6: a machine without IPv6 may not even be told of it."""
    try:
        return bool(socket.getaddrinfo(host, port, socket.AF_INET6, socket.SOCK_STREAM))
    except OSError:
        return False
