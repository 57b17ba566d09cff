"""A store and a channel go out through the proxy that the environment names, and past it where NO_PROXY says so."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from support.home import called

BUCKET = "http://bucket.example.invalid"
HOOK = "http://hook.example.invalid/x"
CONFIG = f"""
encryption.enabled = false
[stores.offsite]
type = "s3"
bucket = "backups"
endpoint_url = "{BUCKET}"
path_style = true
region = "us-east-1"
access_key_id = "a"
secret_access_key = "b"
deadline = "1s"
[notify.hook]
type = "webhook"
url = "{HOOK}"
"""


@contextmanager
def forward_proxy() -> Iterator[tuple[str, list[str]]]:
    """A proxy that lets nothing through; give its URL, and what it was asked for."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            asked.append(self.path)
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_error(403)

        do_GET = do_PUT = do_HEAD = do_POST = refuse  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


@pytest.mark.extended
@pytest.mark.parametrize("exceptions", ["", ".example.invalid"])
def test_what_goes_out_goes_through_the_proxy(
    tmp_path: Path, exceptions: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(host: str, *_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, f"{host} is nowhere")

    config = tmp_path / "holdfast.toml"
    config.write_text(CONFIG)
    with forward_proxy() as (url, asked):
        env = {"HTTP_PROXY": url, "http_proxy": url, "NO_PROXY": exceptions, "no_proxy": exceptions}
        if exceptions:
            monkeypatch.setattr(socket, "getaddrinfo", nowhere)
        state = {**env, "HOLDFAST_DAEMON__STATE_DIR": str(tmp_path / "state")}
        checked = called("check", "--config", config, cwd=tmp_path, env=state)
        told = called("notify", "test", "--config", config, cwd=tmp_path, env=state)
    assert checked.returncode != 0
    assert told.returncode != 0
    reached = {name for name in (BUCKET, HOOK) if any(path.startswith(name) for path in asked)}
    assert reached == (set() if exceptions else {BUCKET, HOOK}), checked.stdout + told.stderr
