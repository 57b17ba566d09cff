"""A small HTTP proxy before a real server, that breaks chosen requests in chosen ways.

    with proxy_to("http://127.0.0.1:9000") as proxy:
        proxy.rules.append(Rule(method="PUT", contains="partNumber=2", act=answer(503), times=2))

Rules are looked at in order; the first that fits and has times left acts, every other request passes.
"""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_HOP = frozenset({"connection", "expect", "keep-alive", "transfer-encoding"})
_BLOCK = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A whole answer of the server."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(slots=True, kw_only=True)
class Rule:
    """Which requests to break (`contains` is looked for in `METHOD /path?query`), how, and how many of them.

    The first `skip` that fit are let through; `times` None means all.
    """

    method: str
    act: Callable[[_Exchange], None]
    contains: str = ""
    skip: int = 0
    times: int | None = 1


@dataclass(slots=True)
class Proxy:
    """A running proxy: its URL, its rules, and the requests that it saw, as `METHOD /path?query`."""

    url: str
    rules: list[Rule] = field(default_factory=list)
    seen: list[str] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, text: str) -> int:
        """How many requests held `text`."""
        return sum(text in line for line in self.seen)

    def _choose(self, line: str) -> Rule | None:
        with self._lock:
            self.seen.append(line)
            for rule in self.rules:
                if not line.startswith(rule.method + " ") or rule.contains not in line or rule.times == 0:
                    continue
                if rule.skip:
                    rule.skip -= 1
                    continue
                if rule.times is not None:
                    rule.times -= 1
                return rule
        return None


class _Exchange(BaseHTTPRequestHandler):
    """One request. A rule's act uses the methods below."""

    protocol_version = "HTTP/1.1"
    proxy: Proxy
    upstream: tuple[str, int]

    def _handle(self) -> None:
        rule = self.proxy._choose(f"{self.command} {self.path}")
        if rule is None:
            self.reply(self.forward(self.body()))
        else:
            rule.act(self)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = do_PATCH = _handle  # noqa: N815 - the names that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing."""

    def length(self) -> int:
        """How many bytes the request's body has."""
        return int(self.headers.get("Content-Length") or 0)

    def body(self) -> bytes:
        """Read the request's body."""
        return self.rfile.read(self.length())

    def forward(self, body: bytes) -> Answer:
        """Send the request on, and give the answer."""
        connection = http.client.HTTPConnection(*self.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in _HOP:
                    connection.putheader(name, value)
            connection.endheaders(body)
            response = connection.getresponse()
            return Answer(status=response.status, headers=tuple(response.getheaders()), body=response.read())
        finally:
            connection.close()

    def reply(self, answer: Answer, *, only: int | None = None) -> None:
        """Answer; with `only`, promise the whole body and give that many bytes of it."""
        kept = [(name, value) for name, value in answer.headers if name.lower() not in _HOP]
        if not any(name.lower() == "content-length" for name, _ in kept):
            kept.append(("Content-Length", str(len(answer.body))))
        self.send_response_only(answer.status)
        for name, value in kept:
            self.send_header(name, value)
        self.end_headers()
        with suppress(ConnectionError):
            self.wfile.write(answer.body[:only])

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.hang_up()

    def hang_up(self) -> None:
        """End the connection."""
        self.close_connection = True
        self.wfile.flush()
        with suppress(OSError):
            self.connection.close()
        self.rfile.close()


Act = Callable[[_Exchange], None]


def answer(status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Act:
    """Answer without asking the server; the request's body is read first."""

    def act(exchange: _Exchange) -> None:
        exchange.body()
        exchange.reply(Answer(status=status, headers=tuple((headers or {}).items()), body=body))

    return act


def s3_error(status: int, code: str, message: str = "as the test wishes", more: str = "") -> Act:
    """Answer as S3 does when it refuses."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{more}</Error>"
    return answer(status, text.encode(), {"Content-Type": "application/xml"})


def changed(change: Callable[[Answer], Answer]) -> Act:
    """Ask the server, and change its answer."""

    def act(exchange: _Exchange) -> None:
        exchange.reply(change(exchange.forward(exchange.body())))

    return act


def asked_otherwise(change: Callable[[str], str]) -> Act:
    """Ask the server for another path and query, as a cache does that looks at a part of them only."""

    def act(exchange: _Exchange) -> None:
        exchange.path = change(exchange.path)
        exchange.reply(exchange.forward(exchange.body()))

    return act


def stripped(header: str) -> Act:
    """Leave a header out of the answer; without its length the body goes in chunks."""

    def act(exchange: _Exchange) -> None:
        given = exchange.forward(exchange.body())
        exchange.send_response_only(given.status)
        for name, value in given.headers:
            if name.lower() not in {*_HOP, header}:
                exchange.send_header(name, value)
        chunked = header == "content-length" and exchange.command != "HEAD"
        if chunked:
            exchange.send_header("Transfer-Encoding", "chunked")
        exchange.end_headers()
        exchange.wfile.write(
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(given.body), given.body) if chunked else given.body
        )

    return act


def changed_request(change: Callable[[bytes], bytes]) -> Act:
    """Change the request's body on its way, keeping its length."""

    def act(exchange: _Exchange) -> None:
        exchange.reply(exchange.forward(change(exchange.body())))

    return act


def lost_answer(exchange: _Exchange) -> None:
    """Let the server do it, and lose its answer."""
    exchange.forward(exchange.body())
    exchange.reset()


def reset_upload(after: int) -> Act:
    """Reset the connection once so many bytes of the request's body came."""

    def act(exchange: _Exchange) -> None:
        exchange.rfile.read(min(after, exchange.length()))
        exchange.reset()

    return act


def reset_download(after: int) -> Act:
    """Reset the connection once so many bytes of the answer's body went."""

    def act(exchange: _Exchange) -> None:
        exchange.reply(exchange.forward(exchange.body()), only=after)
        exchange.reset()

    return act


def cut_download(after: int) -> Act:
    """Close the connection once so many bytes of the answer's body went."""

    def act(exchange: _Exchange) -> None:
        exchange.reply(exchange.forward(exchange.body()), only=after)
        exchange.hang_up()

    return act


def hang(exchange: _Exchange) -> None:
    """Take the request, and say nothing until the proxy ends."""
    exchange.body()
    exchange.proxy.ended.wait(60)
    exchange.hang_up()


def delayed(seconds: float) -> Act:
    """Pass the request on, but late."""

    def act(exchange: _Exchange) -> None:
        body = exchange.body()
        exchange.proxy.ended.wait(seconds)
        exchange.reply(exchange.forward(body))

    return act


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a broken connection is what tests ask for."""


@contextmanager
def proxy_to(url: str) -> Iterator[Proxy]:
    """Run a proxy on loopback before the server at `url`."""
    target = urlsplit(url)
    proxy = Proxy(url="")
    upstream = (target.hostname or "127.0.0.1", target.port or 80)
    handler = type("Exchange", (_Exchange,), {"proxy": proxy, "upstream": upstream})
    server = _Server(("127.0.0.1", 0), handler)
    proxy.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="proxy", daemon=True
    )
    thread.start()
    try:
        yield proxy
    finally:
        proxy.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
