"""`holdfast health` asks the endpoint of the config, in TLS too, and its exit code is the answer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from holdfast.metrics import endpoint
from holdfast.metrics.tls import Files
from support import certificates
from support.home import Done, called


@pytest.fixture(autouse=True)
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the endpoint notice at once that it is to end."""
    monkeypatch.setattr(endpoint, "_TICK", 0.01)


def ask(folder: Path, address: tuple[str, int], **more: str) -> Done:
    env = {
        "HOLDFAST_STORE": str(folder / "store"),
        "HOLDFAST_DAEMON__LISTEN": f"{address[0]}:{address[1]}",
        **more,
    }
    return called("health", cwd=folder, env=env)


def well() -> Sequence[str]:
    return ()


@pytest.mark.parametrize("listen", ["127.0.0.1", "0.0.0.0"])  # noqa: S104 - as in a container
def test_a_daemon_that_is_well_says_ok(tmp_path: Path, listen: str) -> None:
    with endpoint.serving((listen, 0), lambda: b"", well, well) as (_, port):
        done = ask(tmp_path, (listen, port))
    assert (done.returncode, done.stdout) == (0, "ok\n")
    gone = ask(tmp_path, (listen, port))
    assert gone.returncode == 5
    assert f"does not answer at 127.0.0.1 port {port}: Connection refused\n" in gone.stderr


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    with endpoint.serving(
        ("127.0.0.1", 0), lambda: b"", lambda: ["the scheduler stands still"], well
    ) as address:
        done = ask(tmp_path, address)
    assert done.returncode == 5
    assert "the scheduler stands still" in done.stderr


def test_it_speaks_tls_where_the_daemon_does(tmp_path: Path) -> None:
    made = certificates.make(tmp_path)
    with endpoint.serving(
        ("127.0.0.1", 0), lambda: b"", well, well, tls=Files(certificate=made.path, key=made.key)
    ) as address:
        done = ask(
            tmp_path,
            address,
            HOLDFAST_DAEMON__TLS_CERTIFICATE_FILE=str(made.path),
            HOLDFAST_DAEMON__TLS_KEY_FILE=str(made.key),
        )
    assert (done.returncode, done.stderr) == (0, "")
