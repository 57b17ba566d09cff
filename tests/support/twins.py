"""Two daemons with one config on two hosts: whatever one is at, the other may do a whole job of its own meanwhile.

One thread plays both. At a stage of its work, or as it sends a request, a host is held up for seconds or hours, and the
other one works; both may be killed. Stores fail now and then, and the hosts' clocks differ.
"""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from holdfast.app import fill
from holdfast.jobs import backup as backup_job
from holdfast.jobs import lost, slots
from holdfast.jobs.services import Keys, Services
from holdfast.jobs.writing import Place
from holdfast.ledger.ledger import Ledger
from holdfast.model import layout
from holdfast.model.target import Target
from holdfast.streams import age_keys, sign
from holdfast.system.stop import Stop
from support.clock import FakeClock
from support.endurance import FakeMethod, FrailStore, KilledError, Session
from support.world import Recorder

Job = Callable[["Twins", Services], object]
# A request that was sent later than its lease lasts is what no lease can keep from its work: see decision 15.
_SHORT = (timedelta(), timedelta(minutes=4), timedelta(minutes=20))
_LONG = (*_SHORT, timedelta(minutes=40), timedelta(hours=3))


@dataclass(frozen=True, slots=True)
class LeaningClock:
    """The clock of a host, which is out by a little."""

    true: FakeClock
    host: str
    lean: timedelta

    def now(self) -> datetime:
        return self.true.now() + self.lean

    def monotonic(self) -> float:
        return self.true.monotonic()

    def boot(self) -> tuple[str, float]:
        return f"boot of {self.host}", self.true.passed


@dataclass(slots=True)
class Twins:
    """Both hosts, what they share, and what happened. `jobs` are what a host may do while the other is held up."""

    folder: Path
    clock: FakeClock
    targets: tuple[Target, ...]
    keys: Keys
    stores: Mapping[str, FrailStore]
    chance: random.Random
    jobs: tuple[Job, ...] = ()
    expected: dict[str, bytes] = field(default_factory=dict)
    recorder: Recorder = field(default_factory=Recorder)
    kills: int = 0
    crossed: int = 0
    working: list[str] = field(default_factory=list)
    _armed: dict[str, int] = field(default_factory=dict)
    _frozen: tuple[dict[str, dict[str, bytes]], bytes] | None = None

    def work(self, host: str, job: Job) -> None:
        """Be a process of the host that does a job; a kill ends it anywhere."""
        self.working.append(host)
        if self.chance.random() < 0.15:
            self._armed[host] = self.chance.randrange(1, 60)
        try:
            with self.process(host) as services:
                job(self, services)
        except KilledError:
            self.kills += 1
        finally:
            self.working.pop()
            self._armed.pop(host, None)
        if self._frozen is not None:
            objects, image = self._frozen
            for name, held in objects.items():
                self.stores[name].objects = held
            for path in (self.folder / host).glob("ledger.sqlite*"):
                path.unlink()
            (self.folder / host / "ledger.sqlite").write_bytes(image)
            self._frozen = None

    @contextmanager
    def process(self, host: str, state: Path | None = None) -> Iterator[Services]:
        """Start a process of the host, in its own state directory or another: what an earlier one left open is closed."""
        ledger_file = (state or self.folder / host) / "ledger.sqlite"
        with Ledger.open(ledger_file, now=self.clock.now()) as ledger:
            services = Services(
                ledger=ledger,
                stores=self.stores,
                keys=self.keys,
                clock=LeaningClock(self.clock, host, timedelta(seconds=20 if host == "one" else -20)),
                reporter=self.recorder,
                state_dir=ledger_file.parent,
                host=host,
                pid=1,
                stage=lambda _: self._at(host, _LONG),
            )
            fill(services)
            for target in lost.settle(services, {each.name: each for each in self.targets}):
                lost.sweep_up(services, target)
            yield services

    def holding(self, name: str) -> list[Place]:
        """The folders, in each store, that hold an object of that name."""
        found = [(store, layout.parse_key(key)) for store in self.stores.values() for key in store.objects]
        return [
            Place(store=store, target=where.target, backup_id=where.backup_id)
            for store, where in found
            if where is not None and where.name == name
        ]

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Let the stores answer, for who looks from outside."""
        for store in self.stores.values():
            store.frail = False
        yield
        for store in self.stores.values():
            store.frail = True

    def sent(self, _: str) -> None:
        """A request is on its way to a store."""
        if self.working:
            self._at(self.working[-1], _SHORT)

    def _at(self, host: str, pauses: tuple[timedelta, ...]) -> None:
        if self._frozen is not None or self.working[-1:] != [host]:
            return
        if host in self._armed:
            self._armed[host] -= 1
            if self._armed[host] == 0:
                self._freeze(host)
                raise KilledError
        if len(self.working) == 1 and self.chance.random() < 0.04:
            self.crossed += 1
            self.clock.sleep(self.chance.choice(pauses))
            self.work("two" if host == "one" else "one", self.chance.choice(self.jobs))

    def _freeze(self, host: str) -> None:
        image = self.folder / "image"
        image.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(self.folder / host / "ledger.sqlite")) as source,
            closing(sqlite3.connect(image)) as copy,
        ):
            source.backup(copy)
        self._frozen = ({name: dict(each.objects) for name, each in self.stores.items()}, image.read_bytes())


@contextmanager
def twins(
    folder: Path, seed: int, start: datetime, targets: tuple[Target, ...], jobs: tuple[Job, ...]
) -> Iterator[Twins]:
    """Make both. No lock of a server keeps their dumps apart: each might reach another server of a cluster."""
    chance, clock = random.Random(seed), FakeClock(start)
    identity, key = age_keys.generate(), sign.generate()
    keys = Keys(recipients=(identity.recipient,), identities=(identity,), signing=key, trusted=(key.public,))
    stores = {name: FrailStore(name, clock, chance) for name in ("a", "b")}
    made = Twins(
        folder=folder, clock=clock, targets=targets, keys=keys, stores=stores, chance=chance, jobs=jobs
    )
    for store in stores.values():
        store.stage = made.sent

    def method(target: Target, *, label: str, warn: Callable[[str], None]) -> FakeMethod:  # noqa: ARG001 - as Logical
        backup_id = label.rpartition(" ")[2]
        made.expected[backup_id] = f"{target.name} {backup_id} ".encode() * 50
        return FakeMethod(made.expected[backup_id])

    @contextmanager
    def locked(*_: object) -> Iterator[Session]:
        yield Session()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup_job, "Logical", method)
        patch.setattr(backup_job, "_server_lock", locked)
        patch.setattr(slots, "_same_server", lambda *_: True)
        patch.setattr(Stop, "wait", lambda _, seconds: clock.sleep(timedelta(seconds=seconds)))
        yield made
