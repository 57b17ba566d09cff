"""Pings a monitor that speaks the language of healthchecks.io: start, success, fail, with the end of the log."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from holdfast.model.event import Event, subject, text
from holdfast.notify.base import USUAL, Limits
from holdfast.notify.posting import post

BODY_BYTES = 10_000  # what healthchecks.io keeps
_PATHS = {"start": "/start", "failure": "/fail", "success": "", "test": "/log"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """`{target}` and `{job}` in the URL stand for those of the run: a check for each by its slug."""

    name: str
    url: str = field(repr=False)
    ca_bundle: Path | None = None
    limits: Limits = USUAL
    monitors: bool = True

    def send(self, event: Event) -> str | None:
        """Ping; what a monitor finds out by itself is not sent."""
        path = _PATHS.get(event.kind)
        if path is None:
            return None
        whole = f"{subject(event)}\n\n{text(event)}\n{event.log}"
        body = whole.encode("utf-8", "replace")[-BODY_BYTES:]
        body = body.decode("utf-8", "ignore").encode()  # a cut may go through a character
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        post(_address(self.url, path, event), body, headers, limits=self.limits, ca_bundle=self.ca_bundle)
        return None


def _address(url: str, path: str, event: Event) -> str:
    """The URL of a ping, with the run's own id, which pairs its start with its end."""
    filled = url.replace("{target}", quote(event.target, safe="", errors="replace")).replace(
        "{job}", event.job
    )
    parts = urlsplit(filled)
    query = parse_qsl(parts.query, keep_blank_values=True)
    if event.run_id is not None:
        run = uuid.uuid5(uuid.NAMESPACE_URL, f"holdfast://{event.host}/{event.run_id}/{event.started_at}")
        query.append(("rid", str(run)))
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + path, query=urlencode(query)))
