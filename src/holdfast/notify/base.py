"""The contract of a channel: send one event, or say why not. tests/contract proves it for every adapter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from holdfast.model.errors import NotifyError
from holdfast.model.event import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many seconds each step of a delivery may take, such as to connect or to read an answer, and all together."""

    step: float = 10.0
    total: float = 30.0


USUAL = Limits()


class DeliveryError(NotifyError):
    """What was to be delivered was not. `retry_after` is how many seconds the other side wants to be left alone."""

    def __init__(self, message: str, *, hint: str | None = None, retry_after: float | None = None) -> None:
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class Channel(Protocol):
    """One way to tell somebody. It may be used by one thread at a time."""

    @property
    def name(self) -> str:
        """The name in the config."""
        ...

    @property
    def monitors(self) -> bool:
        """Whether a program at the other end follows every run, instead of people who want news.

        It is told each start and each end, not only those that change something, and of those only the newest
        matters.
        """
        ...

    def send(self, event: Event) -> str | None:
        """Deliver the event; the same may come twice, and then has the same id. It does not wait for ever.

        Return None, or a complaint where only some of the receivers got it. Raise DeliveryError, without a secret in
        its message, when nobody did.
        """
        ...
