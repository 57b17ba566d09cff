"""Tells systemd how the service is: a datagram to the socket that it names, as sd_notify(3) describes. No library."""

from __future__ import annotations

import contextlib
import os
import socket
import time

from holdfast.model.errors import ConfigError

_SECONDS = 1.0  # a reader that hangs must not hold us up


def notify(**facts: str | int) -> None:
    """Send `READY=1` and its like; without systemd do nothing. Raise ConfigError when the socket cannot be reached."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    text = "\n".join(f"{name}={value}" for name, value in facts.items())
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.settimeout(_SECONDS)
            sender.connect(f"\0{address[1:]}" if address.startswith("@") else address)
            sender.sendall(text.encode())
    except OSError as error:
        raise ConfigError(
            f"cannot tell systemd how the service is at {address}: {error.strerror or error}",
            hint="Start it as a service of Type=notify, or without NOTIFY_SOCKET.",
        ) from error


def ready(status: str) -> None:
    """Say that the service is up."""
    notify(READY=1, STATUS=status)


# What follows is said to somebody who listened before; where he does not just now, that changes nothing for us.


def ready_again(status: str) -> None:
    """Say that a reload is over."""
    with contextlib.suppress(ConfigError):
        notify(READY=1, STATUS=status)


def reloading() -> None:
    """Say that the config is being read again."""
    with contextlib.suppress(ConfigError):
        notify(RELOADING=1, MONOTONIC_USEC=time.monotonic_ns() // 1000)


def stopping() -> None:
    """Say that the service is about to end."""
    with contextlib.suppress(ConfigError):
        notify(STOPPING=1)


def alive() -> None:
    """Answer the watchdog, if there is one."""
    with contextlib.suppress(ConfigError):
        notify(WATCHDOG=1)
