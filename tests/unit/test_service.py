"""What systemd is told, through a real socket."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.model.errors import ConfigError
from holdfast.system import service


@pytest.fixture(params=["path", "abstract"])
def heard(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    address = str(tmp_path / "notify") if request.param == "path" else f"@{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(address.replace("@", "\0", 1))
        listening.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield listening


def test_systemd_is_told_in_its_own_words(heard: socket.socket) -> None:
    service.ready("2 targets")
    service.alive()
    service.stopping()
    service.reloading()
    service.ready_again("3 targets")
    told = [heard.recv(4096).decode() for _ in range(5)]
    assert told[:3] == ["READY=1\nSTATUS=2 targets", "WATCHDOG=1", "STOPPING=1"]
    assert told[3].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert int(told[3].rpartition("=")[2]) > 0
    assert told[4] == "READY=1\nSTATUS=3 targets"


def test_without_systemd_nobody_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    service.ready("2 targets")


def test_a_socket_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"cannot tell systemd how the service is at .*gone: No such file"):
        service.ready("2 targets")


def test_a_systemd_that_does_not_listen_holds_up_nobody(
    heard: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_SECONDS", 0.05)
    for _ in range(1000):
        try:
            service.ready("full")
        except ConfigError:
            break
    else:
        pytest.fail("the socket took everything")
    for say in (service.alive, service.reloading, service.stopping, lambda: service.ready_again("x")):
        say()
    assert heard.recv(4096)
