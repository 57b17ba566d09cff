from __future__ import annotations

import sys

import pytest

from contract.notify_contract import ChannelContract, Far, far_of
from holdfast.notify.apprise import Apprise
from holdfast.notify.base import DeliveryError
from support.notify_values import SECRET, event
from support.receivers import Receiver, closed_port


def channel(url: str) -> Apprise:
    return Apprise(name="ops", url=f"{url.replace('http:', 'json:')}/{SECRET}?cto=0.5&rto=0.5")


@pytest.mark.extended
@pytest.mark.filterwarnings("default")  # the package's own are not ours
class TestApprise(ChannelContract):
    """With the real package, which is an extra. It says in its log only whom it did not reach."""

    whom = "ops"
    patience = 65  # a limit of its own

    @pytest.fixture
    def far(self, receiver: Receiver) -> Far:
        pytest.importorskip("apprise")
        return far_of(receiver, channel(receiver.url), channel(f"http://127.0.0.1:{closed_port()}"))


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(DeliveryError, match="not installed") as caught:
        channel("http://127.0.0.1").send(event("failure"))
    assert "holdfast[apprise]" in str(caught.value.hint)
