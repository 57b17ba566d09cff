"""Servers on loopback that receive notifications: HTTP and SMTP, obedient, refusing, hanging or dripping."""

from __future__ import annotations

import base64
import queue
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import cast

from support.certificates import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request as it came in."""

    method: str
    path: str
    headers: Message
    body: bytes


@dataclass(slots=True, kw_only=True)
class Receiver:
    """What an HTTP server got, and how it answers: with `status`, never (`hang`), or a byte at a time (`drip`)."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b"ok"
    hang: bool = False
    drip: bool = False
    got: queue.Queue[Request] = field(default_factory=queue.Queue)
    ended: threading.Event = field(default_factory=threading.Event)

    def next(self, seconds: float = 10) -> Request:
        return self.got.get(timeout=seconds)


class _HttpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, receiver: Receiver) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.receiver = receiver

    def handle_error(self, *_: object) -> None:
        """A client that gives up is what some tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: _HttpServer

    def do_POST(self) -> None:
        receiver = self.server.receiver
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        receiver.got.put(Request(method=self.command, path=self.path, headers=self.headers, body=body))
        if receiver.hang:
            receiver.ended.wait(60)
        elif receiver.drip:
            self._drip(receiver)
        else:
            self._answer(receiver)

    def _answer(self, receiver: Receiver) -> None:
        self.send_response(receiver.status)
        for name, value in receiver.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(receiver.answer)))
        self.end_headers()
        self.wfile.write(receiver.answer)

    def _drip(self, receiver: Receiver) -> None:
        self.wfile.write(b"HTTP/1.1 200 ")
        try:
            while not receiver.ended.wait(0.05):
                self.wfile.write(b"x")
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def http_receiver(certificate: Certificate | None = None) -> Iterator[Receiver]:
    """Run an HTTP server, with TLS where there is a certificate."""
    receiver = Receiver()
    server = _HttpServer(receiver)
    scheme = "http"
    if certificate is not None:
        server.socket = certificate.server_context().wrap_socket(server.socket, server_side=True)
        scheme = "https"
    receiver.url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
    with _serving(server, receiver.ended):
        yield receiver


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A mail as an SMTP server took it."""

    sender: str
    to: tuple[str, ...]
    data: bytes
    encrypted: bool
    login: tuple[str, str] | None


@dataclass(slots=True, kw_only=True)
class Mailbox:
    """What an SMTP server got, and its ways: whom it refuses, whether it offers STARTTLS, hangs, drips, or says no."""

    port: int = 0
    refused: frozenset[str] = frozenset()
    offers_starttls: bool = True
    login: tuple[str, str] | None = None
    refuse_data: bool = False
    hang: bool = False
    drip: bool = False
    got: queue.Queue[Delivery] = field(default_factory=queue.Queue)
    ended: threading.Event = field(default_factory=threading.Event)


@contextmanager
def smtp_receiver(certificate: Certificate, *, tls: bool = False) -> Iterator[Mailbox]:
    """Run an SMTP server (RFC 5321, STARTTLS, AUTH PLAIN); with `tls` it speaks TLS from the first byte."""
    mailbox = Mailbox()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, *_: object) -> None:
            """A client that gives up is what some tests are about."""

    def handle(connection: object, _address: object, _server: object) -> None:
        _Session(mailbox, certificate, cast("socket.socket", connection), tls=tls).run()

    server = Server(("127.0.0.1", 0), cast("Callable[..., socketserver.BaseRequestHandler]", handle))
    mailbox.port = server.server_address[1]
    with _serving(server, mailbox.ended):
        yield mailbox


class _Session:
    """One client of the SMTP server."""

    def __init__(
        self, mailbox: Mailbox, certificate: Certificate, connection: socket.socket, *, tls: bool
    ) -> None:
        self._mailbox = mailbox
        self._context = certificate.server_context()
        self._connection = connection
        self._login: tuple[str, str] | None = None
        self._sender, self._to = "", [""]
        if tls:
            self._encrypt()
        self._file = self._connection.makefile("rb")

    def run(self) -> None:
        if self._mailbox.hang:
            self._mailbox.ended.wait(60)
            return
        self._say("220 here")
        while line := self._file.readline().decode().strip():
            verb, _, rest = line.partition(" ")
            if verb.upper() == "QUIT":
                self._say("221 bye")
                break
            if self._mailbox.drip and verb.upper() == "MAIL":
                self._drip()
                break
            steps: dict[str, Callable[[str], None]] = {
                "EHLO": self._ehlo,
                "STARTTLS": self._starttls,
                "AUTH": self._auth,
                "MAIL": self._mail,
                "RCPT": self._rcpt,
                "DATA": self._data,
                "RSET": self._rset,
            }
            steps.get(verb.upper(), self._unknown)(rest)
        self._file.close()
        self._connection.close()

    def _rset(self, _rest: str) -> None:
        self._say("250 ok")

    def _unknown(self, _rest: str) -> None:
        self._say("502 what?")

    def _ehlo(self, _rest: str) -> None:
        encrypted = isinstance(self._connection, ssl.SSLSocket)
        self._say("250-here")
        if self._mailbox.offers_starttls and not encrypted:
            self._say("250-STARTTLS")
        if self._mailbox.login is not None and encrypted:
            self._say("250-AUTH PLAIN")
        self._say("250 SIZE 1000000")

    def _starttls(self, _rest: str) -> None:
        self._say("220 go ahead")
        self._encrypt()
        self._file = self._connection.makefile("rb")

    def _auth(self, rest: str) -> None:
        _, user, password = base64.b64decode(rest.partition(" ")[2]).decode().split("\0")
        good = (user, password) == self._mailbox.login
        self._login = (user, password) if good else None
        self._say("235 welcome" if good else "535 wrong password")

    def _mail(self, rest: str) -> None:
        self._sender, self._to = rest.partition("<")[2].partition(">")[0], []
        self._say("250 ok")

    def _rcpt(self, rest: str) -> None:
        to = rest.partition("<")[2].partition(">")[0]
        if to in self._mailbox.refused:
            self._say("550 nobody of that name")
            return
        self._to.append(to)
        self._say("250 ok")

    def _data(self, _rest: str) -> None:
        if self._mailbox.refuse_data:
            self._say("451 try again later")
            return
        self._say("354 go on")
        lines = []
        while (line := self._file.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        delivery = Delivery(
            sender=self._sender,
            to=tuple(self._to),
            data=b"".join(lines),
            encrypted=isinstance(self._connection, ssl.SSLSocket),
            login=self._login,
        )
        self._mailbox.got.put(delivery)
        self._say("250 taken")

    def _drip(self) -> None:
        try:
            while not self._mailbox.ended.wait(0.05):
                self._connection.sendall(b"2")
        except OSError:
            return

    def _encrypt(self) -> None:
        self._connection = self._context.wrap_socket(self._connection, server_side=True)

    def _say(self, line: str) -> None:
        self._connection.sendall(f"{line}\r\n".encode())


@contextmanager
def _serving(server: socketserver.BaseServer, ended: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
