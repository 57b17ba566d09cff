from __future__ import annotations

import json

import pytest

from contract.notify_contract import QUICK, ChannelContract, Far, far_of
from holdfast.notify.slack import Slack
from support.notify_values import SECRET, event
from support.receivers import Receiver, closed_port


def channel(url: str) -> Slack:
    return Slack(name="ops", url=f"{url}/services/{SECRET}", limits=QUICK)


class TestSlack(ChannelContract):
    @pytest.fixture
    def far(self, receiver: Receiver) -> Far:
        return far_of(receiver, channel(receiver.url), channel(f"http://127.0.0.1:{closed_port()}"))


def test_an_error_calls_nobody_and_ends_no_block(receiver: Receiver) -> None:
    channel(receiver.url).send(event("failure", error="<!channel> ``` <https://evil|here>"))
    text = json.loads(receiver.next().body)["text"]
    assert "<" not in text
    assert text.count("```") == 2
