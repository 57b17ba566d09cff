"""The contract of notify.base.Channel as a suite: a subclass with the fixture `far` runs it for one adapter."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import get_args

import pytest

from holdfast.model.event import Kind
from holdfast.notify.base import Channel, DeliveryError, Limits
from support.notify_values import SECRET, event
from support.receivers import Receiver

QUICK = Limits(step=0.5, total=0.5)
HOSTILE = "a\r\nBcc: x@example.com\n\x00\x1b[2J\u202e<!channel> ``` \ud800 &amp;"


@dataclass(frozen=True, slots=True, kw_only=True)
class Far:
    """The other end of a channel: what arrived there (as one text each), and how to make it behave badly."""

    channel: Channel
    arrived: Callable[[], list[str]]
    refuse: Callable[[], None]
    hang: Callable[[], None]
    drip: Callable[[], None]
    nobody: Channel  # the same kind of channel, where nobody listens


def far_of(receiver: Receiver, channel: Channel, nobody: Channel) -> Far:
    """The other end of a channel that speaks HTTP."""
    arrived: list[str] = []

    def look() -> list[str]:
        while not receiver.got.empty():
            arrived.append(receiver.next().body.decode())
        return arrived

    return Far(
        channel=channel,
        arrived=look,
        refuse=lambda: setattr(receiver, "status", 403),
        hang=lambda: setattr(receiver, "hang", True),
        drip=lambda: setattr(receiver, "drip", True),
        nobody=nobody,
    )


class ChannelContract:
    """`tells` are the kinds of events that the adapter has something to send for.

    An error names whom it did not reach (`whom`); what hangs is left alone after `patience` seconds.
    """

    tells: tuple[Kind, ...] = get_args(Kind)
    whom: str = "127.0.0.1"
    patience: float = QUICK.total + 2

    def test_what_is_sent_arrives(self, far: Far) -> None:
        for number, kind in enumerate(self.tells):
            assert far.channel.send(event(kind)) is None
            assert len(far.arrived()) == number + 1, kind

    def test_a_failure_says_which_target_where_and_why(self, far: Far) -> None:
        far.channel.send(event("failure"))
        [message] = far.arrived()
        for word in ("shop", "db1", "FAILED", "store: the bucket is full", "2026-11-22 02:00:00Z"):
            assert word in message

    def test_an_event_that_comes_twice_can_be_told(self, far: Far) -> None:
        far.channel.send(event("failure"))
        far.channel.send(event("failure"))
        first, second = far.arrived()
        assert self.identity(first) == self.identity(second)

    def identity(self, message: str) -> str:
        """What the receiver tells two events by: the whole message, unless the adapter has something better."""
        return message

    def test_hostile_names_and_errors_go_through(self, far: Far) -> None:
        far.channel.send(event("failure", target=f"shop{HOSTILE}", error=HOSTILE * 100))
        [message] = far.arrived()
        assert len(message) < 12_000

    def test_a_refusal_is_an_error_without_the_secret(self, far: Far) -> None:
        far.refuse()
        with pytest.raises(DeliveryError) as caught:
            far.channel.send(event("failure"))
        assert self.whom in str(caught.value)
        assert SECRET not in f"{caught.value!r} {caught.value.hint}"

    def test_nobody_there_is_an_error_without_the_secret(self, far: Far) -> None:
        with pytest.raises(DeliveryError, match=re.escape(self.whom)) as caught:
            far.nobody.send(event("failure"))
        assert SECRET not in f"{caught.value!r} {caught.value.hint}"

    @pytest.mark.parametrize("way", ["hang", "drip"])
    def test_an_answer_that_never_ends_is_not_waited_for(self, far: Far, way: str) -> None:
        getattr(far, way)()
        began = time.monotonic()
        with pytest.raises(DeliveryError):
            far.channel.send(event("failure"))
        assert time.monotonic() - began < self.patience

    def test_shows_no_secret(self, far: Far) -> None:
        assert SECRET not in repr(far.channel)

    def test_it_is_a_channel(self, far: Far) -> None:
        assert far.channel.name == "ops"
        assert isinstance(far.channel.monitors, bool)
