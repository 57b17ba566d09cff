"""Leases: small objects in a store that say who works on a target's backups there (docs/reference/format.md).

A lease says who is busy, and allows nothing: who holds one knows that from his own write. So it is not signed, and one
that cannot be read holds others up for a while, and no longer.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from holdfast.model import codec, layout

VERSION = 1
RENEWED = timedelta(
    minutes=5
)  # a holder shows by a new generation that he is there, at the latest after this
SLACK = timedelta(minutes=10)
LASTS = timedelta(
    minutes=30
)  # RENEWED, the longest that a store tries again what failed (15 minutes), and SLACK
LONGEST = timedelta(days=1)  # whatever a lease says of itself
MARGIN = timedelta(minutes=1)  # what a store's clock may be out by from one object to the next


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How leases are taken in a store: how long they last, and who alone may prune there (None: whoever has the lease)."""

    pruner: str | None = None
    lasts: timedelta = LASTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """One generation of a lease. The store's own date of the object tells since when it holds, for `seconds`.

    `owner` tells one lock file on one running machine from all others, `token` one write from all others. `at`, by the
    holder's clock, `host` and `pid` are for people.
    """

    format_version: int = VERSION
    kind: layout.LeaseKind
    target: str
    generation: int
    owner: str
    token: str
    host: str
    pid: int
    at: datetime
    seconds: int
    released: bool = False

    @property
    def lasts(self) -> timedelta:
        """How long it holds, as far as that is believed."""
        return timedelta(seconds=min(max(self.seconds, 0), LONGEST.total_seconds()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """What lies in a lease's place and is none that this program knows: it holds as long as one might."""

    why: str
    lasts: timedelta


def lasting(deadline: float | None) -> timedelta:
    """How long leases last in a store that tries again for `deadline` seconds what failed.

    Whoever may delete something asks before, and shows then that his lease is no older than RENEWED: what he sends
    reaches the store before the lease is over.
    """
    return max(LASTS, RENEWED + SLACK + timedelta(seconds=deadline or 0))


def dump(lease: Lease) -> bytes:
    """Write a lease: UTF-8 JSON, keys in order, two spaces, one newline at the end."""
    text = json.dumps(codec.to_json(lease), indent=2, sort_keys=True, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"


def parse(data: bytes) -> Lease | Unreadable:
    """Read what lies in a lease's place."""
    try:
        value = json.loads(data)
        version = value.get("format_version") if isinstance(value, dict) else None
        if isinstance(version, int) and version > VERSION:
            return Unreadable(why=f"its format version {version} is newer than this program", lasts=LONGEST)
        return codec.from_json(Lease, value, "lease")
    except (ValueError, RecursionError) as error:
        return Unreadable(why=f"it is not a lease: {error}", lasts=LASTS)
