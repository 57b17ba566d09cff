"""Finds out whether the clock can be believed: against the machine's own seconds, the ledger, and the stores' clocks."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping
from datetime import datetime

from holdfast.jobs.catalog import LEDGER_IS_OF
from holdfast.jobs.services import Services
from holdfast.ledger import losses, retention, scheduling
from holdfast.model import layout
from holdfast.model.codec import parse_time, time_text
from holdfast.model.errors import StoreError
from holdfast.model.pruning import Reference, clock_doubt
from holdfast.stores.base import RefusedError, Store


def doubt(
    services: Services, there: Mapping[str, datetime], *, besides: int, believe: bool, accept: bool
) -> str | None:
    """Say why the clock is not to be believed, or None. The run `besides` is this one.

    `there` is what the stores' own clocks show. What is believed is kept as the reference for the next time, if asked to.
    If a person `accept`s what the clock shows, the ledger and the reference count for nothing; the stores' clocks still
    count.
    """
    ledger, clock = services.ledger, services.clock
    now, boot = clock.now(), clock.boot()
    daemon = scheduling.daemon(ledger)
    found = clock_doubt(
        now,
        boot,
        newest=None if accept else retention.newest_time(ledger, besides),
        reference=None if accept else retention.reference(ledger),
        stores=there,
        stepped_back=not accept and daemon is not None and daemon.clock_suspect,
    )
    if found is None and believe:
        retention.believe(ledger, Reference(wall=now, boot=boot[0], passed=boot[1]), accepted=accept)
        if accept:
            _bring_back_to(services, now)
    return found


def _bring_back_to(services: Services, now: datetime) -> None:
    """Let a ledger that was made or rebuilt while the clock was years ahead be of now: no backup will be later than that."""
    for key in (*LEDGER_IS_OF, *losses.KEYS.values()):
        known = services.ledger.meta_get(key)
        if known is not None and parse_time(known) > now:
            services.ledger.meta_set(key, time_text(now))


def time_of(store: Store) -> datetime:
    """What a store's own clock shows: it dates the objects that come in. Raise StoreError where it cannot be asked."""
    key = f"{layout.PROBE_PREFIX}/{secrets.token_hex(8)}"
    store.put(key, [b"what time is it?\n"], absent=True)
    try:
        found = store.stat(key)
    finally:
        with contextlib.suppress(RefusedError):  # a mere writer's probe is left for who may delete
            store.delete(key)
    if found is None:
        raise StoreError(f"{store.location}: {key} was stored, but is no longer there")
    return found.modified_at
