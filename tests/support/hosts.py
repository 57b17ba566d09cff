"""Several hosts that share a store: each has its own ledger, state directory and clocks, and the same keys."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from holdfast.jobs import fence, runner
from holdfast.model import layout
from holdfast.model.errors import StoreError
from holdfast.model.layout import LeaseKind
from holdfast.model.lease import Lease, Terms, parse
from holdfast.stores.base import RefusedError, Store, Stored
from support.clock import FakeClock
from support.memory_store import MemoryStore
from support.world import World, world

NOWHERE = "postgresql://nobody@127.0.0.1:1/"


@dataclass(slots=True)
class Host:
    """One of them. Its `clock` may go wrong by itself."""

    made: World
    clock: FakeClock

    @contextmanager
    def fenced(self, kind: LeaseKind = "retention") -> Iterator[Store]:
        """Do what the jobs do: lock on this host, and hold the lease."""
        services = self.made.services
        with (
            runner.retention_lock(services, "shop"),
            fence.fenced(services, self.store, "shop", kind) as store,
        ):
            yield store

    @property
    def store(self) -> Store:
        """The store as this host sees it."""
        (name,) = self.made.target.stores[:1]
        return self.made.services.store(name)

    def terms(self, terms: Terms) -> None:
        """Set the terms of the store's leases in the config of this host."""
        self.made.services = dataclasses.replace(self.made.services, leases={self.store.name: terms})


@contextmanager
def hosts(
    folder: Path, stores: Mapping[str, Store], start: datetime, names: tuple[str, ...]
) -> Iterator[list[Host]]:
    """Make the hosts, each with the target `shop` in those stores."""
    made: list[Host] = []
    with ExitStack() as stack:
        for name in names:
            each = stack.enter_context(world(folder / name, NOWHERE, stores=stores))
            clock = FakeClock(start)
            keys = made[0].made.keys if made else each.keys
            each.services = dataclasses.replace(each.services, keys=keys, host=name, clock=clock)
            made.append(Host(made=each, clock=clock))
        yield made


class Shared(MemoryStore):
    """The store that the hosts share, under a name of its own each. It may ignore conditions, be away, or refuse to delete."""

    numbers = itertools.count(1)

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(f"s{next(self.numbers)}", now=clock.now)
        self.ignores = self.away = self.no_delete = False
        self.before_put: list[Callable[[], object]] = []

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        self._answer()
        while self.before_put and key.startswith(layout.LEASE_PREFIX):
            self.before_put.pop()()
        return super().put(key, chunks, absent=absent and not self.ignores)

    def stat(self, key: str) -> Stored | None:
        self._answer()
        return super().stat(key)

    def delete(self, key: str) -> None:
        if self.no_delete:
            raise RefusedError(f"{self.location}: no right to delete {key}")
        super().delete(key)

    def _answer(self) -> None:
        if self.away:
            raise StoreError(f"{self.location}: no answer")

    def leases(self) -> list[int]:
        found = (layout.lease_generation(key) for key in self.objects)
        return sorted(each for each in found if each is not None)

    def newest_lease(self) -> Lease:
        """The newest generation of the lease of retention."""
        said = parse(self.objects[layout.lease_key("shop", "retention", self.leases()[-1])])
        assert isinstance(said, Lease)
        return said


def sharing(pair: list[Host], store: MemoryStore, start: datetime) -> tuple[Host, Host]:
    """Give two hosts another store, and clocks that are right."""
    one, two = pair
    for host in pair:
        host.clock, made = FakeClock(start), host.made
        made.target = dataclasses.replace(made.target, stores=(store.name,))
        made.services = dataclasses.replace(
            made.services, clock=host.clock, stores={store.name: store}, leases={}
        )
    return one, two
