"""Posts events to an incoming webhook of Slack, or of what speaks its language (Mattermost, Rocket.Chat)."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.model.event import Event, subject, text
from holdfast.notify.base import USUAL, Limits
from holdfast.notify.posting import post

_LENGTH = 3500  # Slack cuts off at 4000 characters
_MARKS = {"failure": ":red_circle:", "overdue": ":red_circle:", "anomaly": ":warning:"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Slack:
    """The URL is the whole secret."""

    name: str
    url: str = field(repr=False)
    ca_bundle: Path | None = None
    limits: Limits = USUAL
    monitors: bool = False

    def send(self, event: Event) -> str | None:
        """Post the event as one text, which every receiver of this kind shows."""
        mark = _MARKS.get(event.kind, ":large_green_circle:")
        lines = _plain(text(event).replace("```", "'''"))
        message = f"{mark} *{_plain(subject(event))}*\n```\n{lines[:_LENGTH]}```"
        body = json.dumps({"text": message}).encode()
        post(
            self.url, body, {"Content-Type": "application/json"}, limits=self.limits, ca_bundle=self.ca_bundle
        )
        return None


def _plain(words: str) -> str:
    """Keep an error's text from calling everybody (<!channel>) or hiding a link."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
