"""Sixty days in seconds: real jobs on stores in memory, a clock of our own, and whatever can go wrong at random.

A kill is exact: what the stores and the ledger held at that moment is put back, whatever the dying code still did.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from holdfast.app import fill
from holdfast.jobs import backup as backup_job
from holdfast.jobs import lost, slots
from holdfast.jobs.services import Keys, Services
from holdfast.ledger.ledger import Ledger
from holdfast.methods.base import Facts, Source
from holdfast.model import catalog as catalog_model
from holdfast.model import layout
from holdfast.model.backup import Server
from holdfast.model.errors import StoreError
from holdfast.model.target import Target
from holdfast.stores.base import Stored
from holdfast.streams import age_keys, sign
from holdfast.system.stop import Stop
from support.clock import FakeClock
from support.memory_store import MemoryStore
from support.world import Recorder

MARKER = b"plaintext of the customers"
_LOSE, _BREAK, _KILL = 0.01, 0.01, 0.7


class KilledError(BaseException):
    """The process is dead from here on."""


class FrailStore(MemoryStore):
    """A store that fails now and then, and for days on end."""

    def __init__(self, name: str, clock: FakeClock, chance: random.Random) -> None:
        began, passed = clock.now(), clock.passed
        super().__init__(
            name, now=lambda: began + timedelta(seconds=clock.passed - passed)
        )  # its own clock is right
        self.chance = chance
        self.frail = True
        self.away = False
        self.cut = 0
        self.short = 0.0  # how often a listing ends too early without a word
        self.stage: Callable[[str], None] = lambda _: None

    def _try(self, doing: str) -> None:
        if self.away or (self.frail and self.chance.random() < _BREAK):
            raise StoreError(f"{self.location}: {doing}: no answer")

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        self._try("put")
        self.stage(f"put {key}")
        vouched = super().put(key, chunks, absent=absent)
        if self.frail and self.chance.random() < _LOSE:
            raise StoreError(f"{self.location}: put: the answer was lost")
        return vouched

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        self._try("get")
        return super().get(key, start=start, length=length)

    def stat(self, key: str) -> Stored | None:
        self._try("stat")
        return super().stat(key)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        self._try("list")
        found = sorted(super().list(prefix), key=lambda each: each.key)
        if self.frail and found and self.chance.random() < self.short:
            found = found[: self.chance.randrange(len(found))]
            self.cut += 1
        return iter(found)

    def delete(self, key: str) -> None:
        self._try("delete")
        super().delete(key)


@dataclass(slots=True)
class FakeMethod:
    """Gives the parts of a small server without one; `content` is what its database holds today."""

    content: bytes
    name: str = "logical"

    def capture(self, stop: Stop) -> Generator[Source, None, None]:
        stop.check()
        yield Source(role="globals", format="plain", stem="globals", chunks=iter([b"CREATE ROLE app;"]))
        pieces = (self.content[at : at + 700] for at in range(0, len(self.content), 700))
        yield Source(role="database", format="custom", stem="app", database="app", chunks=pieces)

    @property
    def facts(self) -> Facts:
        return Facts(
            server=Server(version="17.1", version_num=170001, system_identifier="7"),
            tools={"pg_dump": "17.1"},
            databases=("app",),
            catalog=catalog_model.Catalog(
                version=1,
                server_version="17.1",
                version_num=170001,
                system_identifier="7",
                roles=(),
                tablespaces={},
                role_passwords=True,
                databases=(),
            ),
        )


@dataclass(slots=True)
class Ordeal:
    """The world of one simulated host. `expected` is what each backup has to give back, by id; `ever` all that was committed when a process had ended."""

    folder: Path
    seed: int
    clock: FakeClock
    targets: tuple[Target, ...]
    keys: Keys
    stores: dict[str, FrailStore] = field(default_factory=dict)
    recorder: Recorder = field(default_factory=Recorder)
    expected: dict[str, bytes] = field(default_factory=dict)
    ever: set[tuple[str, str]] = field(default_factory=set)
    kills: list[str] = field(default_factory=list)
    failed: int = 0
    rolled_back: int = 0
    chance: random.Random = field(init=False)
    _armed: int | None = None
    _frozen: tuple[dict[str, dict[str, bytes]], bytes] | None = None

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        for name in ("a", "b", "c"):
            self.stores[name] = FrailStore(name, self.clock, self.chance)
            self.stores[name].stage = self._stage

    @property
    def ledger_file(self) -> Path:
        return self.folder / "state" / "ledger.sqlite"

    @contextmanager
    def process(self) -> Iterator[Services]:
        """Be a process: open the ledger, close what earlier ones left, work, end. A kill ends it anywhere."""
        with Ledger.open(self.ledger_file, now=self.clock.now()) as ledger:
            services = Services(
                ledger=ledger,
                stores=self.stores,
                keys=self.keys,
                clock=self.clock,
                reporter=self.recorder,
                state_dir=self.folder / "state",
                host="db1",
                pid=4711,
            )
            armed = replace(services, stage=self._stage)
            try:
                fill(services)
                by_name = {target.name: target for target in self.targets}
                for target in lost.settle(services, by_name):
                    lost.sweep_up(services, target)
                yield armed
            except KilledError:
                pass
        if self._frozen is not None:
            objects, image = self._frozen
            for name, held in objects.items():
                self.stores[name].objects = held
            for path in self.ledger_file.parent.glob("ledger.sqlite*"):
                path.unlink()
            self.ledger_file.write_bytes(image)
        self._frozen, self._armed = None, None
        self.ever |= {(target, backup_id) for _, target, backup_id in self.committed()}

    def buried(self) -> set[tuple[str, str, str]]:
        """What has a tombstone: (store, target, id)."""
        return self._with(layout.TOMBSTONE)

    def committed(self) -> set[tuple[str, str, str]]:
        """What is committed: (store, target, id)."""
        return self._with(layout.MANIFEST)

    def _with(self, name: str) -> set[tuple[str, str, str]]:
        found = set()
        for store in self.stores.values():
            for key in store.objects:
                where = layout.parse_key(key)
                if where is not None and where.name == name:
                    found.add((store.name, where.target, where.backup_id))
        return found

    def content(self, target: Target) -> bytes:
        """What a target's database holds now."""
        seed = f"{target.name} {self.clock.now():%Y%m%d%H%M}".encode()
        return MARKER + b"".join(hashlib.sha256(seed + bytes([n])).digest() for n in range(60))

    def arm(self) -> None:
        """Let the next work die at one of its stages, perhaps."""
        self._armed = self.chance.randrange(1, 60) if self.chance.random() < _KILL else None

    def _stage(self, name: str) -> None:
        if self._armed is None or self._frozen is not None:
            return
        self._armed -= 1
        if self._armed == 0:
            image = self.folder / "image"
            image.unlink(missing_ok=True)
            with (
                closing(sqlite3.connect(self.ledger_file)) as source,
                closing(sqlite3.connect(image)) as copy,
            ):
                source.backup(copy)
            self._frozen = ({n: dict(s.objects) for n, s in self.stores.items()}, image.read_bytes())
            self.kills.append(name)
            raise KilledError

    @contextmanager
    def calm(self) -> Iterator[None]:
        """Let every store answer, for who looks from outside."""
        before = {name: store.away for name, store in self.stores.items()}
        for store in self.stores.values():
            store.frail, store.away = False, False
        try:
            yield
        finally:
            for name, store in self.stores.items():
                store.frail, store.away = True, before[name]


@contextmanager
def ordeal(folder: Path, seed: int, start: datetime, targets: tuple[Target, ...]) -> Iterator[Ordeal]:
    """Make the world of a host whose servers need no PostgreSQL."""
    identity, key = age_keys.generate(), sign.generate()
    keys = Keys(recipients=(identity.recipient,), identities=(identity,), signing=key, trusted=(key.public,))
    made = Ordeal(folder=folder, seed=seed, clock=FakeClock(start), targets=targets, keys=keys)

    def method(target: Target, *, label: str, warn: Callable[[str], None]) -> FakeMethod:  # noqa: ARG001 - as Logical
        backup_id = label.rpartition(" ")[2]
        made.expected[backup_id] = made.content(target)
        return FakeMethod(made.expected[backup_id])

    @contextmanager
    def locked(*_: object) -> Iterator[Session]:
        yield Session()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backup_job, "Logical", method)
        patch.setattr(backup_job, "_server_lock", locked)
        patch.setattr(slots, "_same_server", lambda *_: True)
        yield made


class Session:
    """The lock session of a server that is always there."""

    def check(self) -> None:
        """Find it alive."""
