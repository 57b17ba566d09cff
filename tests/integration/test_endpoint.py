"""The endpoint answers over real HTTP, with TLS and a login where asked for, and slow clients do not hold it up."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from holdfast.metrics import auth, endpoint
from holdfast.metrics.tls import Files
from holdfast.model.errors import BusyError, ConfigError
from holdfast.streams import certificate
from holdfast.system import logs

Address = tuple[str, int]
TEXT = b"# HELP x One.\n# TYPE x gauge\nx 1\n"


def well() -> Sequence[str]:
    return ()


@pytest.fixture(autouse=True)
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the endpoint notice at once that it is to end."""
    monkeypatch.setattr(endpoint, "_TICK", 0.01)


@contextmanager
def serving(
    collect: Callable[[], bytes] = lambda: TEXT,
    healthz: Callable[[], Sequence[str]] = well,
    readyz: Callable[[], Sequence[str]] = well,
    *,
    host: str = "127.0.0.1",
    tls: Files | None = None,
    login: auth.Login | None = None,
) -> Iterator[Address]:
    before = threading.active_count()
    with endpoint.serving((host, 0), collect, healthz, readyz, tls=tls, auth=login) as address:
        yield address
    assert threading.active_count() == before, "a thread is left behind"


def get(
    address: Address, path: str = "/metrics", *, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    try:
        connection.request(method, path, headers=headers or {})
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def make_certificate(folder: Path, *, days: int = 30, name: str = "a") -> Files:
    """Write a certificate for localhost that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC).replace(microsecond=0)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = Files(certificate=folder / f"{name}.crt", key=folder / f"{name}.key")
    files.certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return files


def get_over_tls(address: Address, trusted: Path) -> tuple[int, str]:
    """Ask for the metrics over TLS; give the status, and who the server says to be."""
    context = ssl.create_default_context(cafile=str(trusted))
    with (
        socket.create_connection(address, timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as connection,
    ):
        connection.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        status = connection.recv(100).split()[1]
        known = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
        return int(status), known.subject.rfc4514_string()


def test_a_scrape_is_answered() -> None:
    with serving() as address:
        status, body, headers = get(address)
        assert (status, body) == (200, TEXT)
        assert headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert get(address, "/metrics?name[]=x")[0] == 200
        assert get(address, method="HEAD")[:2] == (200, b"")


def test_health_tells_what_is_wrong() -> None:
    with serving(healthz=well, readyz=lambda: ("no tick", "no ledger")) as address:
        assert get(address, "/healthz")[:2] == (200, b"ok\n")
        assert get(address, "/readyz")[:2] == (503, b"no tick\nno ledger\n")


def test_other_requests_are_refused_without_an_echo() -> None:
    with serving() as address:
        assert get(address, "/nothing<script>")[:2] == (404, b"there is nothing here\n")
        assert get(address, "/metrics", method="POST")[0] == 501
        with socket.create_connection(address, timeout=5) as connection:
            connection.sendall(b"GET <script> and more\r\n\r\n")
            answer = connection.makefile("rb").read()
        assert answer.endswith(b"bad request\n")
        assert b"script" not in answer
        assert get(address)[0] == 200


def test_ipv6_works() -> None:
    with serving(host="::1") as address:
        assert address[0] == "::1"
        assert get(address)[0] == 200


def test_a_taken_port_is_told() -> None:
    with serving() as address, pytest.raises(BusyError, match=f"port {address[1]}: .*in use") as caught:
        endpoint.serving(address, lambda: TEXT, well, well).__enter__()
    assert "daemon.listen" in str(caught.value.hint)


def test_an_address_of_another_host_is_told() -> None:
    with pytest.raises(ConfigError, match="cannot listen at 192"):
        endpoint.serving(("192.0.2.1", 9853), lambda: TEXT, well, well).__enter__()


def test_the_port_is_free_again_at_once() -> None:
    with serving() as address:
        get(address)
    with endpoint.serving(address, lambda: TEXT, well, well) as again:
        assert get(again)[0] == 200


def test_a_login_is_asked_for_but_not_for_health() -> None:
    with serving(login=auth.Login("scraper", auth.hashed("let me: in"))) as address:
        status, _, headers = get(address)
        assert status == 401
        assert headers["WWW-Authenticate"].startswith("Basic ")
        assert get(address, headers=basic("scraper", "let me: in"))[0] == 200
        assert get(address, headers=basic("scraper", "let me: in"))[0] == 200
        for wrong in (basic("scraper", "let me"), basic("other", "let me: in"), basic("", "")) * 2:
            assert get(address, headers=wrong)[0] == 401
        assert get(address, headers={"Authorization": "Basic ?"})[0] == 401
        assert get(address, headers={"Authorization": "Bearer x"})[0] == 401
        assert get(address, "/healthz")[0] == 200


def test_a_password_may_be_given_as_its_hash() -> None:
    hashed = auth.hashed("secret")
    assert auth.hashed(hashed) == hashed
    login = auth.Login("me", hashed)
    assert login.admits(basic("me", "secret")["Authorization"])
    assert not login.admits(basic("me", hashed)["Authorization"])
    assert "secret" not in repr(login)
    with pytest.raises(ValueError, match="begins like a hash"):
        auth.hashed("scrypt:1:2")


def test_tls_is_spoken_and_a_renewed_certificate_is_taken(tmp_path: Path) -> None:
    files = make_certificate(tmp_path, name="old")
    other = make_certificate(tmp_path, name="new", days=60)
    with serving(tls=files) as address:
        assert get_over_tls(address, files.certificate) == (200, "CN=old")
        trusted = files.certificate.rename(tmp_path / "old.kept")
        files.certificate.write_text("not any more")
        assert get_over_tls(address, trusted) == (200, "CN=old")
        other.key.replace(files.key)
        other.certificate.replace(files.certificate)
        assert get_over_tls(address, files.certificate) == (200, "CN=new")
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            get(address)


@pytest.mark.parametrize("broken", ["missing", "no certificate", "another key"])
def test_a_broken_certificate_is_told_at_start(tmp_path: Path, broken: str) -> None:
    files = make_certificate(tmp_path)
    match broken:
        case "missing":
            files.key.unlink()
        case "no certificate":
            files.certificate.write_text("hello")
        case _:
            make_certificate(tmp_path, name="b").key.replace(files.key)
    with pytest.raises(ConfigError, match=r"a\.(crt|key)"):
        endpoint.serving(("127.0.0.1", 0), lambda: TEXT, well, well, tls=files).__enter__()


def test_the_expiry_of_a_certificate_is_known(tmp_path: Path) -> None:
    left = certificate.expiry(make_certificate(tmp_path).certificate) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)


def test_clients_that_say_nothing_do_not_keep_others_out() -> None:
    with serving() as address:
        idle = [socket.create_connection(address) for _ in range(3 * endpoint.MOST_CONNECTIONS)]
        try:
            begun = time.monotonic()
            assert get(address)[0] == 200
            assert time.monotonic() - begun < 5
            assert threading.active_count() < 3 * endpoint.MOST_CONNECTIONS
        finally:
            for each in idle:
                each.close()


@pytest.mark.extended
def test_whoever_trickles_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "LIMIT_SECONDS", 1.0)
    with serving() as address, socket.create_connection(address, timeout=10) as slow:
        slow.sendall(b"GET /metrics HTTP/1.1\r\n")
        begun = time.monotonic()
        while time.monotonic() - begun < 8:
            try:
                slow.sendall(b"X-Slow: 1\r\n")
            except ConnectionError:
                break
            time.sleep(0.1)
        assert time.monotonic() - begun < 4


def test_whoever_does_not_read_is_cut_off_and_the_end_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "LIMIT_SECONDS", 60.0)
    with ExitStack() as deaf:
        with serving(collect=lambda: b"x" * 50_000_000) as address:
            connection = deaf.enter_context(socket.create_connection(address))
            connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
            time.sleep(0.5)
            begun = time.monotonic()
            assert get(address, "/healthz")[0] == 200
        assert time.monotonic() - begun < 5


def test_a_scrape_that_fails_is_logged_and_the_next_one_answered(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure()
    asked: list[str] = []

    def collect() -> bytes:
        asked.append("")
        return TEXT if len(asked) > 1 else bytes(len(asked) // 0)

    with serving(collect=collect) as address:
        with pytest.raises((ConnectionError, http.client.HTTPException)):
            get(address)
        assert get(address)[0] == 200
    assert "the endpoint failed to answer" in capsys.readouterr().err


def test_many_scrapes_at_once_are_all_answered() -> None:
    found: list[int] = []
    with serving() as address:
        threads = [threading.Thread(target=lambda: found.append(get(address)[0])) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert found == [200] * 24
