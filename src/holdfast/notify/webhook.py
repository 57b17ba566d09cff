"""Posts events as JSON to a URL, signed where a secret is set."""

from __future__ import annotations

import hashlib
import hmac
import json
from dataclasses import dataclass, field
from pathlib import Path

from holdfast.model.event import Event, as_json
from holdfast.notify.base import USUAL, Limits
from holdfast.notify.posting import post

SIGNATURE = "Holdfast-Signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """`token` goes into the Authorization header, `secret` into the signature; each may be missing."""

    name: str
    url: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    ca_bundle: Path | None = None
    limits: Limits = USUAL
    monitors: bool = False

    def send(self, event: Event) -> str | None:
        """Post the event's JSON; the signature is of the very bytes."""
        body = json.dumps(as_json(event)).encode()
        headers = {"Content-Type": "application/json"}
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        if self.secret is not None:
            digest = hmac.new(self.secret.encode(), body, hashlib.sha256).hexdigest()
            headers[SIGNATURE] = f"sha256={digest}"
        post(self.url, body, headers, limits=self.limits, ca_bundle=self.ca_bundle)
        return None
