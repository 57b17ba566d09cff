"""Hands events to apprise, which knows a hundred services. It is an extra: holdfast[apprise]."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from typing import Any

from holdfast.model.event import Event, subject, text
from holdfast.notify.base import DeliveryError

_TYPES = {"failure": "failure", "overdue": "failure", "anomaly": "warning", "test": "info", "start": "info"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Apprise:
    """The URL is one of apprise's own, such as `tgram://token/chat`; it holds the secrets."""

    name: str
    url: str = field(repr=False)
    monitors: bool = False

    def send(self, event: Event) -> str | None:
        """Let apprise deliver. It tells why it could not in its own log lines only."""
        apprise = _package()
        service = apprise.Apprise()
        if not service.add(self.url):
            raise DeliveryError(
                f"{self.name}: apprise knows no such URL", hint="See the services of apprise for its form."
            )
        kind = _TYPES.get(event.kind, "success")
        try:
            delivered = service.notify(title=subject(event), body=text(event), notify_type=kind)
        except Exception as error:  # a hundred plugins raise what they like
            raise DeliveryError(f"{self.name}: apprise failed: {type(error).__name__}") from error
        if not delivered:
            raise DeliveryError(
                f"{self.name}: apprise could not deliver", hint="Its own log lines, just before, say why."
            )
        return None


def _package() -> Any:  # noqa: ANN401 - without types where it is missing, as the package is optional
    try:
        return importlib.import_module("apprise")
    except ImportError as error:
        raise DeliveryError(
            "the package apprise is not installed",
            hint="Install it beside Holdfast: `pip install 'holdfast[apprise]'`.",
        ) from error
