"""The other end of the channels that speak HTTP."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.receivers import Receiver, http_receiver


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with http_receiver() as running:
        yield running
