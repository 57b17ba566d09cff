"""Whether a store keeps two writers of one key apart: tried with a probe, and remembered."""

from __future__ import annotations

import contextlib
import secrets
from datetime import timedelta

from holdfast.jobs.services import Services
from holdfast.ledger import leases as ledger
from holdfast.ledger.leases import Tried
from holdfast.model import layout
from holdfast.stores.base import Conditions, ExistsError, RefusedError, Store, conditional

_BELIEVED = timedelta(days=30)  # a service may be exchanged behind its address


def probe(store: Store, key: str) -> Conditions:
    """Try it on `key`, which holds an object that may be lost: the adapter alone would look first, and hide the answer."""
    asked = conditional(store)
    if asked is not None:
        return asked.conditions(key)
    try:
        store.put(key, [b"second"], absent=True)
    except ExistsError:
        return "honoured"
    return "ignored"


def record(services: Services, store: Store, found: Conditions) -> None:
    """Remember what was found."""
    tried = Tried(location=store.location, found=found, at=services.clock.now())
    ledger.record_conditions(services.ledger, store.name, tried)


def honoured(services: Services, store: Store) -> bool:
    """Whether of two absent puts of a small object one is refused: by what was found lately, else by trying."""
    known, now = ledger.conditions(services.ledger, store.name), services.clock.now()
    if (
        known is not None
        and known.location == store.location
        and known.at <= now
        and now - known.at < _BELIEVED
    ):
        return known.found != "ignored"
    found = _tried(store)
    record(services, store, found)
    return found != "ignored"


def _tried(store: Store) -> Conditions:
    key = f"{layout.PROBE_PREFIX}/{secrets.token_hex(8)}"
    store.put(key, [b"first"], absent=True)
    try:
        return probe(store, key)
    finally:
        with contextlib.suppress(RefusedError):  # a mere writer; a later check of one who may clears up
            store.delete(key)
