"""The certificate of the endpoint: read at start, and again when its files change."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path

from holdfast.model.errors import ConfigError
from holdfast.system import logs

Stamp = tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """PEM files: the certificate with those above it, and its private key."""

    certificate: Path
    key: Path


class Tls:
    """Wraps connections. A renewed certificate is taken without a restart; a broken one leaves the old in use."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._stamp = self._look()
        self._load(self._context)

    def wrap(self, connection: socket.socket) -> socket.socket:
        """The connection in TLS; the handshake is left to the thread that serves it."""
        self._renew()
        return self._context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)

    def _renew(self) -> None:
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            self._stamp = stamp
            self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))  # a failure must not leave half of it
            self._load(self._context)
        except ConfigError as error:
            logs.get_logger().warning("the certificate of the endpoint was not renewed", error=error.message)

    def _load(self, context: ssl.SSLContext) -> None:
        try:
            context.load_cert_chain(self._files.certificate, self._files.key, password=_no_password)
        except OSError as error:  # ssl's own errors are some, too
            raise ConfigError(
                f"cannot serve TLS with {self._files.certificate} and {self._files.key}: {error.strerror or error}",
                hint="Give PEM files: the certificate with those above it, and its key without a password.",
            ) from error

    def _look(self) -> Stamp:
        try:
            found = [path.stat() for path in (self._files.certificate, self._files.key)]
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename}: {error.strerror}") from error
        return tuple((each.st_mtime_ns, each.st_ino) for each in found)


def _no_password() -> str:
    """Fail, where OpenSSL would ask for the password on the terminal."""
    raise OSError(None, "the key has a password")
