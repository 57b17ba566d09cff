"""Makes a scrape: all families from one snapshot of the ledger, and what is healthy about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from holdfast.metrics import backups, canaries, host, notices, providers, restores, runs, stores
from holdfast.metrics.host import Surroundings
from holdfast.metrics.scene import Scene
from holdfast.metrics.text import Family, Filled, render
from holdfast.model.errors import LedgerError
from holdfast.model.overview import Configured, DaemonFacts, Overview

FAMILIES: tuple[Family, ...] = (
    *backups.FAMILIES,
    *restores.FAMILIES,
    *canaries.FAMILIES,
    *runs.FAMILIES,
    *stores.FAMILIES,
    *providers.FAMILIES,
    *notices.FAMILIES,
    *host.FAMILIES,
)
TICK_LIMIT = 180.0  # seconds; the scheduler's tick is written down once a minute


def scrape(
    read: Callable[[], Overview], configured: Configured, surroundings: Surroundings, now: float
) -> bytes:
    """The text of a scrape at `now`, in seconds since 1970.

    Where the ledger cannot be read, what it tells is missing, and `holdfast_ledger_up` says so.
    """
    try:
        overview = read()
    except LedgerError:
        return render(host.families(surroundings, None))
    return render(_families(Scene(overview=overview, configured=configured, now=now), surroundings))


def _families(scene: Scene, surroundings: Surroundings) -> Iterator[Filled]:
    for topic in (backups, restores, canaries, runs, stores, providers, notices):
        yield from topic.families(scene)
    yield from host.families(surroundings, scene.overview)


def health(read: Callable[[], DaemonFacts | None], now: float) -> tuple[str, ...]:
    """What keeps the daemon from being alive: empty when the ledger answers and the scheduler ticks."""
    try:
        daemon = read()
    except LedgerError as error:
        return (error.message,)
    if daemon is None:
        return ("the scheduler has not begun yet",)
    silent = now - daemon.tick_at
    return (f"the scheduler has not shown a sign of life for {silent:.0f} s",) if silent > TICK_LIMIT else ()
