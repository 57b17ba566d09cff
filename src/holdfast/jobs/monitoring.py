"""What monitoring is told of this host: a scrape, whether the daemon is well, and whether the stores answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from holdfast.jobs.services import Services
from holdfast.ledger import facts, probes
from holdfast.ledger.ledger import Ledger
from holdfast.ledger.probes import Tried
from holdfast.metrics import collector
from holdfast.metrics.host import Surroundings
from holdfast.model import layout
from holdfast.model.errors import CancelledError, Error, LedgerError, StoreError
from holdfast.model.overview import Configured
from holdfast.stores.base import Store
from holdfast.system.clock import Clock
from holdfast.system.stop import Stop

PROBE_SECONDS = 300.0
_JOIN_SECONDS = 1.0  # a store that does not answer must not keep the daemon from ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What the endpoint answers with. `configured` gives what the config has now; any thread may call it."""

    ledger_file: Path
    surroundings: Surroundings
    configured: Callable[[], Configured]
    clock: Clock

    def metrics(self) -> bytes:
        """The text of a scrape."""
        now, configured = self.clock.now(), self.configured()
        return collector.scrape(
            lambda: facts.overview(self.ledger_file, now, configured.copies, configured.targets),
            configured,
            self.surroundings,
            now.timestamp(),
        )

    def problems(self) -> tuple[str, ...]:
        """What keeps the daemon from being well, if anything."""
        return collector.health(lambda: facts.daemon(self.ledger_file), self.clock.now().timestamp())


@contextmanager
def probing(
    services: Callable[[], Services], stop: Stop, keep: Callable[[tuple[Tried, ...]], None]
) -> Iterator[None]:
    """Try the stores again and again until the `with` ends, and hand out how they are. One that is away holds up nobody."""
    with stop.derived() as inner:
        thread = threading.Thread(target=_probe_all, args=(services, inner, keep), name="probe", daemon=True)
        thread.start()
        try:
            yield
        finally:
            inner.request()
            thread.join(_JOIN_SECONDS)


def _probe_all(
    services: Callable[[], Services], stop: Stop, keep: Callable[[tuple[Tried, ...]], None]
) -> None:
    while not stop.requested:
        now = services()
        try:
            keep(probe(now.ledger, now.stores, now.clock, stop))
        except CancelledError:
            return
        except LedgerError as trouble:
            now.reporter.warn("the ledger could not tell what the stores hold", error=str(trouble))
        stop.wait(PROBE_SECONDS)


def probe(ledger: Ledger, stores: Mapping[str, Store], clock: Clock, stop: Stop) -> tuple[Tried, ...]:
    """Try each store: tell whether it answers and still has the newest backup that is known to be in it."""
    found = []
    for name, store in stores.items():
        stop.check()
        newest = probes.newest_copy(ledger, name)
        error = None
        try:
            if newest is None:
                next(iter(store.list(f"{layout.PROBE_PREFIX}/")), None)
            elif store.stat(layout.key(*newest, layout.MANIFEST)) is None:
                raise StoreError(f"{store.location}: backup {newest[1]} of {newest[0]} is not there any more")
        except Error as failure:
            error = failure.message
        stop.check()
        found.append(Tried(store=name, at=clock.now(), error=error))
    return tuple(found)
