"""Answers HTTP: /metrics, /healthz and /readyz. Slow clients and many of them cannot hold it up."""

from __future__ import annotations

import contextlib
import errno
import socket
import socketserver
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import cast

from holdfast.metrics.auth import Login
from holdfast.metrics.text import CONTENT_TYPE
from holdfast.metrics.tls import Files, Tls
from holdfast.model.errors import BusyError, ConfigError
from holdfast.system import logs

LIMIT_SECONDS = 10.0  # for a whole request and its answer: scrapers give up then, too
MOST_CONNECTIONS = 32  # one more ends the oldest
_TICK = 0.25
_INDEX = "Holdfast\n\n/metrics\n/healthz\n/readyz\n"

Problems = Callable[[], Sequence[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answers:
    """Where the answers come from. `collecting` lets one scrape at a time, so that many are not slower together."""

    collect: Callable[[], bytes]
    healthz: Problems
    readyz: Problems
    login: Login | None
    collecting: threading.Lock = field(default_factory=threading.Lock)


@contextlib.contextmanager
def serving(
    address: tuple[str, int],
    collect: Callable[[], bytes],
    healthz: Problems,
    readyz: Problems,
    *,
    tls: Files | None = None,
    auth: Login | None = None,
) -> Iterator[tuple[str, int]]:
    """Serve until the `with` ends, and give the address that it listens at (of port 0: the one that was free).

    `healthz` and `readyz` name what is wrong; they and nothing else are answered without a login. Raise BusyError
    where the port is taken, and ConfigError for an address that is not this host's or a certificate that is none.
    """
    answers = _Answers(collect=collect, healthz=healthz, readyz=readyz, login=auth)
    with _bound(address, answers, None if tls is None else Tls(tls)) as server:
        thread = threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": _TICK}, name="endpoint", daemon=True
        )
        thread.start()
        try:
            host, port = server.socket.getsockname()[:2]
            yield str(host), int(port)
        finally:
            server.shutdown()
            thread.join()
            server.end_all()


def _bound(address: tuple[str, int], answers: _Answers, tls: Tls | None) -> _Server:
    host, port = address
    try:
        family, _, _, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return _Server(family, where, answers, tls)
    except OSError as error:
        what = f"cannot listen at {host} port {port}: {error.strerror or error}"
        if error.errno == errno.EADDRINUSE:
            hint = "Another program listens there, perhaps another holdfast; end it, or change daemon.listen."
            raise BusyError(what, hint=hint) from error
        if error.errno == errno.EACCES:
            raise ConfigError(what, hint="Choose a port from 1024 on in daemon.listen.") from error
        raise ConfigError(what, hint="daemon.listen has to be an address of this host.") from error


class _Server(socketserver.ThreadingTCPServer):
    """A thread for each connection, and a deadline too: whoever is not done by then is cut off."""

    allow_reuse_address = True
    request_queue_size = 128
    daemon_threads = False  # so that closing waits for them

    def __init__(self, family: int, address: object, answers: _Answers, tls: Tls | None) -> None:
        self.address_family = family
        self.answers = answers
        self._tls = tls
        self._deadlines: dict[socket.socket, float] = {}  # the oldest connection first
        self._guard = threading.Lock()
        super().__init__(cast("tuple[str, int]", address), _Handler)

    def get_request(self) -> tuple[socket.socket, object]:
        """Accept a connection; the oldest makes room where there are too many."""
        connection, client = self.socket.accept()
        try:
            connection.settimeout(LIMIT_SECONDS)
            if self._tls is not None:
                connection = self._tls.wrap(connection)
        except BaseException:
            connection.close()
            raise
        with self._guard:
            if len(self._deadlines) >= MOST_CONNECTIONS:
                _cut(self._deadlines, next(iter(self._deadlines)))
            self._deadlines[connection] = time.monotonic() + LIMIT_SECONDS
        return connection, client

    def service_actions(self) -> None:
        """Cut off whoever is too slow. Called several times a second."""
        now = time.monotonic()
        with self._guard:
            for connection in [each for each, deadline in self._deadlines.items() if deadline < now]:
                _cut(self._deadlines, connection)

    def end_all(self) -> None:
        """Cut off everybody."""
        with self._guard:
            for connection in list(self._deadlines):
                _cut(self._deadlines, connection)

    def close_request(self, request: object) -> None:
        """Close a connection that is done with."""
        connection = cast("socket.socket", request)
        with self._guard:
            self._deadlines.pop(connection, None)
            connection.close()

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the library's signature
        """Log what went wrong, unless it is the client's business. The outermost catcher of a connection's thread."""
        if not isinstance(sys.exc_info()[1], OSError):
            logs.get_logger().error(
                "the endpoint failed to answer", client=str(client_address), exc_info=True
            )


def _cut(deadlines: dict[socket.socket, float], connection: socket.socket) -> None:
    """End a connection's reading and writing, which wakes its thread; the thread closes it."""
    del deadlines[connection]
    with contextlib.suppress(OSError):
        socket.socket.shutdown(connection, socket.SHUT_RDWR)  # not TLS's own, which would wait for the client


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = LIMIT_SECONDS

    def setup(self) -> None:
        if isinstance(self.request, ssl.SSLSocket):
            self.request.do_handshake()
        super().setup()

    def do_GET(self) -> None:
        answers = self.server.answers
        match self.path.partition("?")[0]:
            case "/metrics":
                with answers.collecting:
                    if answers.login is not None and not answers.login.admits(self.headers["Authorization"]):
                        self._refuse()
                        return
                    text = answers.collect()
                self._answer(HTTPStatus.OK, text, CONTENT_TYPE)
            case "/healthz":
                self._tell(answers.healthz())
            case "/readyz":
                self._tell(answers.readyz())
            case "/":
                self._answer(HTTPStatus.OK, _INDEX.encode())
            case _:
                self._answer(HTTPStatus.NOT_FOUND, b"there is nothing here\n")

    do_HEAD = do_GET  # noqa: N815 - the library's name

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002 - the library's signature
        """Answer what is no request to us; without repeating any of it."""
        self._answer(HTTPStatus(code), f"{HTTPStatus(code).phrase.lower()}\n".encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's signature
        """Say nothing: scrapes come every few seconds."""

    def version_string(self) -> str:
        return "holdfast"

    def _tell(self, problems: Sequence[str]) -> None:
        status = HTTPStatus.SERVICE_UNAVAILABLE if problems else HTTPStatus.OK
        self._answer(status, "".join(f"{line}\n" for line in problems or ("ok",)).encode())

    def _refuse(self) -> None:
        self._answer(
            HTTPStatus.UNAUTHORIZED,
            b"a login is needed\n",
            extra=("WWW-Authenticate", 'Basic realm="holdfast", charset="UTF-8"'),
        )

    def _answer(
        self,
        status: HTTPStatus,
        body: bytes,
        content_type: str = "text/plain; charset=utf-8",
        *,
        extra: tuple[str, str] | None = None,
    ) -> None:
        self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        if extra is not None:
            self.send_header(*extra)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
