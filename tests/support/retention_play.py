"""Random sequences of real work by two hosts, and of mischief, on real stores, and an oracle that knows what may go.

The oracle looks at the objects alone, and asks the slow reference which backups the policy keeps.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from holdfast.jobs import catalog, keeping
from holdfast.jobs.copies import locked
from holdfast.jobs.copy import copy
from holdfast.jobs.prune import Wish, prune
from holdfast.jobs.repair import repair
from holdfast.jobs.services import Services
from holdfast.jobs.verify import verify
from holdfast.ledger.ledger import BackupRow, Ledger
from holdfast.model import layout
from holdfast.model.errors import Error, StoreError
from holdfast.model.retention import Candidate, Policy
from holdfast.model.target import Rules
from holdfast.stores.base import Store, Stored
from support.clock import FakeClock
from support.retention_reference import kept as reference
from support.shelved import shelved
from support.world import World, world
from support.yard import NOWHERE, START

GRACE, MINIMUM = timedelta(days=3), 2
POLICIES = [
    Policy(daily=daily, weekly=weekly, monthly=monthly, yearly=0, keep_last=last, minimum=MINIMUM)
    for daily, weekly, monthly, last in (
        (3, 0, 0, 0),
        (2, 2, 0, 0),
        (0, 1, 1, 0),
        (7, 4, 12, 0),
        (0, 0, 0, 3),
        (1, 0, 0, 0),
    )
]


class KilledError(BaseException):
    """The process is dead."""


class Dated:
    """A store whose objects are dated by a clock of the test's, and that can be away."""

    read_only = False

    def __init__(self, inner: Store, clock: FakeClock) -> None:
        self.inner, self.clock = inner, clock
        self.name, self.location = inner.name, inner.location
        self.times: dict[str, datetime] = {}
        self.began, self.passed = clock.now(), clock.passed
        self.away = False

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self.clock.passed - self.passed)

    def _try(self) -> None:
        if self.away:
            raise StoreError(f"{self.location}: no answer")

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        self._try()
        done = self.inner.put(key, chunks, absent=absent)
        self.times[key] = self.now()
        return done

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        self._try()
        return self.inner.get(key, start=start, length=length)

    def stat(self, key: str) -> Stored | None:
        self._try()
        found = self.inner.stat(key)
        return None if found is None else replace(found, modified_at=self.times[key])

    def list(self, prefix: str = "") -> Iterator[Stored]:
        self._try()
        return iter([replace(each, modified_at=self.times[each.key]) for each in self.inner.list(prefix)])

    def delete(self, key: str) -> None:
        self._try()
        self.inner.delete(key)


@dataclass(slots=True)
class Play:
    """The stores, the hosts, and what the oracle knows: `objects` of each backup as they were committed, who is pinned, since when what is hidden."""

    chance: random.Random
    clock: FakeClock
    stores: dict[str, Dated]
    hosts: list[World]
    policy: dict[str, Policy] = field(default_factory=lambda: dict.fromkeys(("a", "b"), POLICIES[0]))
    objects: dict[str, dict[str, bytes]] = field(default_factory=dict)
    pins: dict[str, bool] = field(default_factory=dict)
    seen_hidden: dict[tuple[str, str], float] = field(default_factory=dict)
    dates: dict[str, datetime] = field(default_factory=dict)
    saved: dict[tuple[str, str], bytes] = field(default_factory=dict)
    jumped: timedelta = timedelta()
    steps: list[str] = field(default_factory=list)
    armed: int | None = None
    gone: int = 0
    hid: int = 0

    def services(self, number: int | None = None) -> Services:
        made = self.hosts[self.chance.randrange(len(self.hosts)) if number is None else number]
        return replace(made.services, clock=self.clock, stage=self.stage, stores=dict(self.stores))

    def stage(self, _: str) -> None:
        if self.armed is not None:
            self.armed -= 1
            if self.armed <= 0:
                self.armed = None
                raise KilledError

    def folders(self, store: str) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for each in self.stores[store].inner.list("shop/"):
            where = layout.parse_key(each.key)
            assert where is not None
            found.setdefault(where.backup_id, set()).add(where.name)
        return found

    def candidates(self, store: str, folders: dict[str, set[str]]) -> list[Candidate]:
        found = []
        for backup_id, names in folders.items():
            if layout.MANIFEST in names:
                at = self.dates[backup_id]
                good = names >= self.objects[backup_id].keys()
                stored = self.stores[store].times[f"shop/{backup_id}/{layout.MANIFEST}"]
                pinned = "why" if self.pins.get(backup_id) else None
                found.append(Candidate(id=backup_id, at=at, good=good, stored_at=stored, pinned=pinned))
        return found

    # What is done

    def take(self, at: datetime | None = None) -> None:
        services = self.services()
        at = self.clock.now() if at is None else at
        backup_id = layout.new_backup_id(
            at.replace(microsecond=self.chance.randrange(10**6)), f"{self.chance.randrange(16**4):04x}"
        )
        signer = services.keys.signer().public.text
        made = shelved(services, self.stores["a"], backup_id, data=b"x" * 1000, signer=signer, server="7")
        prefix = f"shop/{backup_id}/"
        self.objects[backup_id] = {
            each.key.removeprefix(prefix): b"".join(self.stores["a"].inner.get(each.key))
            for each in self.stores["a"].inner.list(prefix)
            if not each.key.endswith("RESTORE.txt")
        }
        self.dates[backup_id] = made.started_at
        if at == self.clock.now() and self.chance.random() < 0.9:
            held = self.objects[backup_id]
            services.ledger.record_backup(
                made, manifest=held["manifest.json"], signature=held["manifest.json.minisig"], coverage=None
            )
            services.ledger.record_copy(backup_id, "a", "complete", self.clock.now())

    def back(self) -> None:
        self.take(self.clock.now() - timedelta(hours=self.chance.randrange(1, 24 * 40)))

    def ahead(self) -> None:
        self.take(self.clock.now() + timedelta(hours=self.chance.randrange(3, 2000)))

    def pick(self, services: Services) -> BackupRow | None:
        rows = services.ledger.backups("shop")
        return self.chance.choice(rows) if rows else None

    def copy(self) -> None:
        services = self.services()
        row = self.pick(services)
        if row is not None:
            one, other = self.chance.sample(["a", "b"], 2)
            with locked(services, "shop"):
                copy(services, "shop", row.backup.id, one, other, self.hosts[0].stop)

    def prune(self) -> None:
        services = self.services()
        rules = {
            name: Rules(policy=policy, max_deletions=self.chance.choice([None, 1000]))
            for name, policy in self.policy.items()
        }
        target = replace(self.hosts[0].target, retention=rules["a"], retention_in=rules)
        if self.chance.random() < 0.3:
            self.armed = self.chance.randrange(1, 40)
        prune(
            services,
            target,
            self.hosts[0].stop,
            wish=Wish(
                allow=self.chance.choice([0, 0, 50]),
                accept_clock=not self.jumped and self.chance.random() < 0.5,
            ),
        )

    def pin(self) -> None:
        services = self.services()
        row = self.pick(services)
        if row is not None and not row.hidden:
            keeping.pin(services, row, why="w", until=None)
            self.pins[row.backup.id] = True

    def unpin(self) -> None:
        services = self.services()
        catalog.rebuild(services, quick=True, forget=False)
        row = self.pick(services)
        if row is not None:
            keeping.unpin(services, row, why="w")
            self.pins[row.backup.id] = False

    def undelete(self) -> None:
        services = self.services()
        rows = [row for row in services.ledger.backups("shop") if row.hidden]
        if rows:
            keeping.undelete(services, self.chance.choice(rows))

    def ack(self) -> None:
        services = self.services()
        for row in services.ledger.backups("shop"):
            if row.backup.started_at > self.clock.now() or self.chance.random() < 0.02:
                keeping.acknowledge(services, row, why="w")

    def lose(self) -> None:
        store = self.chance.choice(["a", "b"])
        found = {key: names for key, names in self.folders(store).items() if layout.MANIFEST in names}
        if len(found) > 6:
            backup_id = self.chance.choice(sorted(found))
            for name in sorted(found[backup_id]):
                if name.startswith("globals"):
                    self.stores[store].inner.delete(f"shop/{backup_id}/{name}")

    def verify(self) -> None:
        services = self.services()
        row = self.pick(services)
        if row is not None:
            verify(services, row, self.hosts[0].stop)

    def repair(self) -> None:
        services = self.services()
        row = self.pick(services)
        if row is not None:
            repair(services, row, self.hosts[0].stop)

    def rebuild(self) -> None:
        catalog.rebuild(self.services(), quick=self.chance.random() < 0.5, forget=self.chance.random() < 0.5)

    def forget(self) -> None:
        number = self.chance.randrange(len(self.hosts))
        made = self.hosts[number]
        made.services.ledger.close()
        for path in made.services.ledger.path.parent.glob("ledger.sqlite*"):
            path.unlink()
        ledger = Ledger.open(made.services.ledger.path, now=self.clock.now())
        self.hosts[number] = replace(made, services=replace(made.services, ledger=ledger))
        catalog.rebuild(self.services(number), forget=False)

    def away(self) -> None:
        store = self.stores[self.chance.choice(["a", "b"])]
        store.away = not store.away

    def change(self) -> None:
        self.policy[self.chance.choice(["a", "b"])] = self.chance.choice(POLICIES)

    def sleep(self) -> None:
        self.clock.sleep(timedelta(hours=self.chance.choice([1, 5, 12, 24, 24, 24, 100])))

    def jump(self) -> None:
        by = -self.jumped if self.jumped else timedelta(days=self.chance.choice([-400, -3, 3, 40, 4000]))
        self.clock.set(self.clock.now() + by)
        self.jumped += by

    def replay(self) -> None:
        """Put an old tombstone back, into its own store or another."""
        found = [key for key in self.saved if key[1].endswith(layout.TOMBSTONE)]
        if found:
            store, key = self.chance.choice(found)
            into, signature = self.stores[self.chance.choice(["a", "b"])], layout.signature_name(key)
            if (store, signature) in self.saved and any(into.inner.list(key.removesuffix(layout.TOMBSTONE))):
                into.put(signature, [self.saved[store, signature]])
                into.put(key, [self.saved[store, key]])

    # What must hold

    def step(self) -> None:
        before = {name: self.folders(name) for name in self.stores}
        judged = {name: self.candidates(name, before[name]) for name in self.stores}
        work = self.chance.choice(self.works)
        doing = work.__name__
        self.steps.append(doing)
        policy = dict(self.policy)
        try:
            work()
        except KilledError:
            self.steps.append("killed")
        except Error as error:
            self.steps.append(f"{type(error).__name__}: {error}"[:160])
        self.armed = None
        for name in self.stores:
            if doing not in {"lose", "replay"}:
                self.hold(name, before[name], judged[name], policy[name])
            self.note(name)

    def hold(self, store: str, before: dict[str, set[str]], judged: list[Candidate], policy: Policy) -> None:
        after, now = self.folders(store), self.clock.now()
        kept = reference(judged, policy, now)
        for backup_id, names in before.items():
            lost = {each for each in names - after.get(backup_id, set()) if "tombstone" not in each}
            if lost and layout.MANIFEST in names:
                self.gone += 1
                where = f"{store} {backup_id} lost {lost}"
                assert self.steps[-1] == "prune" or "prune" in self.steps[-2:], where
                since = self.seen_hidden.get((store, backup_id))
                assert since is not None, f"{where}, and was not hidden"
                assert self.clock.passed - since >= GRACE.total_seconds(), f"{where} in its grace"
                assert not self.pins.get(backup_id), f"{where}, and is pinned"
                assert not self.jumped, f"{where} while the clock is wrong"
                began = not names >= self.objects[backup_id].keys()  # nothing but its end is possible
                assert began or backup_id not in kept, f"{where}, and the rules keep it"
            if layout.TOMBSTONE in after.get(backup_id, ()) and layout.TOMBSTONE not in names:
                self.hid += 1
                where = f"{store} {backup_id} was hidden"
                assert not self.jumped, f"{where} while the clock is wrong"
                assert backup_id not in kept, f"{where}, and the rules keep it"
                assert not self.pins.get(backup_id), f"{where}, and is pinned"
        if judged:
            good = [each for each in judged if each.good and not each.suspect(now)]
            for each in sorted(good, key=lambda one: (one.at, one.id))[-MINIMUM:]:
                assert after[each.id] >= before[each.id] - {"tombstone.json", "tombstone.json.minisig"}

    def note(self, store: str) -> None:
        found = self.folders(store)
        for backup_id, names in found.items():
            if layout.TOMBSTONE in names:
                self.seen_hidden.setdefault((store, backup_id), self.clock.passed)
                for name in {layout.TOMBSTONE, layout.signature_name(layout.TOMBSTONE)} & names:
                    key = f"shop/{backup_id}/{name}"
                    self.saved.setdefault((store, key), b"".join(self.stores[store].inner.get(key)))
            else:
                self.seen_hidden.pop((store, backup_id), None)

    @property
    def works(self) -> list[Callable[[], None]]:
        if self.jumped and self.chance.random() < 0.5:
            return [self.jump]
        away = [each for each in self.stores.values() if each.away]
        if away and self.chance.random() < 0.3:
            away[0].away = False
        if self.chance.random() < 0.05:
            return [self.jump, self.ahead, self.forget, self.away, self.rebuild, self.lose]
        return [
            *[self.take] * 6,
            *[self.copy] * 6,
            *[self.prune] * 8,
            *[self.sleep] * 6,
            self.pin,
            self.unpin,
            self.undelete,
            self.ack,
            self.verify,
            self.repair,
            self.change,
            self.replay,
            self.back,
        ]


def play(folder: Path, seed: int, inner: Mapping[str, Store], steps: int) -> Play:
    clock = FakeClock(START)
    with ExitStack() as stack:
        stores = {name: Dated(store, clock) for name, store in inner.items()}
        first = stack.enter_context(world(folder / "one", NOWHERE, stores=stores))
        second = stack.enter_context(world(folder / "two", NOWHERE, stores=stores))
        second = replace(second, services=replace(second.services, keys=first.keys, host="other"))
        made = Play(chance=random.Random(seed), clock=clock, stores=stores, hosts=[first, second])
        for _ in range(steps):
            made.step()
        for host in made.hosts:
            host.services.ledger.close()
        return made
