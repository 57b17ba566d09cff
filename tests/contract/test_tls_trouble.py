"""What a store behind TLS tells when the certificate, the port or the file of certificates is the wrong one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from holdfast.model.errors import StoreError
from holdfast.stores import tls_hints
from holdfast.stores.azure import AzureStore
from holdfast.stores.base import Store
from holdfast.stores.gcs import GcsStore
from holdfast.stores.s3 import S3Store
from support import azurite, certificates, gcs_emulator, moto_server

IMPATIENT = {"patience": 0.1, "deadline": 0.2, "connect_timeout": 2.0, "read_timeout": 2.0}


def s3(url: str, bundle: str) -> Store:
    return S3Store(moto_server.settings(url, ca_bundle=bundle, **IMPATIENT))


def gcs(url: str, bundle: str) -> Store:
    return GcsStore(gcs_emulator.settings(url, ca_bundle=bundle, **IMPATIENT))


def azure(url: str, bundle: str) -> Store:
    return AzureStore(azurite.settings(url, ca_bundle=bundle, **IMPATIENT))


class Deaf(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that http.server gives it
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: broken connections are what is asked for."""


@contextmanager
def served(certificate: certificates.Certificate | None) -> Iterator[int]:
    server = Server(("127.0.0.1", 0), Deaf)
    if certificate is not None:
        server.socket = certificate.server_context().wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize(
    "kind",
    [s3, pytest.param(gcs, marks=pytest.mark.extended), pytest.param(azure, marks=pytest.mark.extended)],
)
def test_the_hint_is_for_what_is_wrong(
    tmp_path: Path, kind: Callable[[str, str], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE"):  # the config beats them
        monkeypatch.setenv(variable, str(tmp_path / "of-the-environment.pem"))

    def hint(port: int, bundle: Path, scheme: str = "https") -> str:
        with pytest.raises(StoreError) as caught:
            next(kind(f"{scheme}://127.0.0.1:{port}", str(bundle)).list(), None)
        return caught.value.hint or ""

    for name in ("other", "late", "own"):
        (tmp_path / name).mkdir()
    other = certificates.make(tmp_path / "other", names=("example.test",))
    late = certificates.make(tmp_path / "late", days=-1)
    own = certificates.make(tmp_path / "own")
    with served(other) as port:
        assert "is for another name" in hint(port, other.path)
    with served(late) as port:
        assert "out of date" in hint(port, late.path)
    with served(own) as port:
        assert "is not trusted" in hint(port, other.path)
        assert "Check `ca_bundle`" in hint(port, tmp_path / "none.pem")
        assert "Check `ca_bundle`" in hint(port, own.key)
    with served(None) as port:
        assert "does not speak TLS" in hint(port, own.path)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("certificate verify failed: unable to get local issuer certificate", "not trusted"),
        ("certificate verify failed: IP address mismatch, certificate is not valid for 'x'", "another name"),
        ("[SSL: RECORD_LAYER_FAILURE] record layer failure", "does not speak TLS"),
        ("Could not find a suitable TLS CA certificate bundle, invalid path: /x", "Check `ca_bundle`"),
    ],
)
def test_what_openssl_says_has_a_hint(said: str, meant: str) -> None:
    assert meant in tls_hints.hint(said)
