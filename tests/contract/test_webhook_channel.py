from __future__ import annotations

import hashlib
import hmac
import json
from pathlib import Path

import pytest

from contract.notify_contract import QUICK, ChannelContract, Far, far_of
from holdfast.notify.base import DeliveryError
from holdfast.notify.webhook import Webhook
from support import certificates
from support.notify_values import SECRET, event
from support.receivers import Receiver, closed_port, http_receiver


def channel(url: str, ca_bundle: Path | None = None, token: str | None = None) -> Webhook:
    return Webhook(
        name="ops",
        url=f"{url}/hook?key={SECRET}",
        token=token,
        secret=SECRET,
        ca_bundle=ca_bundle,
        limits=QUICK,
    )


class TestWebhook(ChannelContract):
    @pytest.fixture
    def far(self, receiver: Receiver) -> Far:
        return far_of(receiver, channel(receiver.url), channel(f"http://127.0.0.1:{closed_port()}"))

    def identity(self, message: str) -> str:
        return str(json.loads(message)["id"])


def test_the_body_is_signed(receiver: Receiver) -> None:
    channel(receiver.url, token="t0k").send(event("failure"))
    got = receiver.next()
    assert got.path == f"/hook?key={SECRET}"
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Authorization"] == "Bearer t0k"
    signature = hmac.new(SECRET.encode(), got.body, hashlib.sha256).hexdigest()
    assert got.headers["Holdfast-Signature"] == f"sha256={signature}"


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    with http_receiver() as elsewhere:
        receiver.status, receiver.headers = 307, {"Location": f"{elsewhere.url}/x?{SECRET}"}
        with pytest.raises(DeliveryError, match="307") as caught:
            channel(receiver.url).send(event("failure"))
        assert "not followed" in str(caught.value.hint)
        assert SECRET not in f"{caught.value} {caught.value.hint}"
        assert elsewhere.got.empty()


def test_a_refusal_tells_the_answer_and_how_long_to_wait(receiver: Receiver) -> None:
    receiver.status, receiver.headers, receiver.answer = 429, {"Retry-After": "30"}, b"slow\x1b[2J down"
    with pytest.raises(DeliveryError, match=r"429 Too Many Requests: slow \[2J down") as caught:
        channel(receiver.url).send(event("failure"))
    assert caught.value.retry_after == 30


def test_a_certificate_of_nobody_is_refused_and_one_of_the_bundle_is_not(tmp_path: Path) -> None:
    certificate = certificates.make(tmp_path)
    with http_receiver(certificate) as receiver:
        with pytest.raises(DeliveryError, match="not trusted") as caught:
            channel(receiver.url).send(event("failure"))
        assert "ca_bundle" in str(caught.value.hint)
        assert receiver.got.empty()
        channel(receiver.url, certificate.path).send(event("failure"))
        assert receiver.next().method == "POST"


def test_a_bundle_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match="No such file"):
        channel("https://127.0.0.1", tmp_path / "gone.pem").send(event("failure"))


def test_the_proxy_of_the_environment_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", receiver.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    channel("http://hooks.example.com").send(event("failure"))
    assert receiver.next().path == f"http://hooks.example.com/hook?key={SECRET}"
