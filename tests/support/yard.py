"""Stores full of small backups, on a clock that the test moves: where retention is let loose."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from holdfast.jobs.prune import Pruned, Wish, complain, prune
from holdfast.jobs.services import Services
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout
from holdfast.model.retention import Policy
from holdfast.model.target import Rules, Target
from support.clock import FakeClock
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

START = datetime(2031, 3, 1, 2, 0, tzinfo=UTC)  # later than any real ledger was made
DAY = timedelta(days=1)
FEW = Policy(daily=3, weekly=0, monthly=0, yearly=0, minimum=1)
NOWHERE = "postgresql://nobody@127.0.0.1:1/"


@dataclass(slots=True)
class Yard:
    """A host and its stores. `stage` is told each step of a run, and may raise there."""

    made: World
    clock: FakeClock
    stores: dict[str, MemoryStore]
    target: Target
    stage: Callable[[str], None] = field(default=lambda _: None)

    @property
    def services(self) -> Services:
        return dataclasses.replace(self.made.services, clock=self.clock, stage=self.stage)

    def take(
        self, count: int = 1, *, store: str = "a", every: timedelta = DAY, size: int = 1000
    ) -> list[str]:
        """Take backups, one and then one more each time `every` has passed; the clock stands at the last."""
        taken = []
        for number in range(count):
            if number or self.ids(store):
                self.clock.sleep(every)
            taken.append(self.put(self.clock.now(), store=store, size=size))
        return taken

    def put(self, at: datetime, *, store: str = "a", size: int = 1000, server: str = "7") -> str:
        """Commit a backup of that time, and let the ledger know it."""
        backup_id = layout.new_backup_id(at, "0000")
        signer = self.services.keys.signer().public.text
        made = shelved(
            self.services, self.stores[store], backup_id, data=b"x" * size, signer=signer, server=server
        )
        folder = f"shop/{backup_id}"
        objects = self.stores[store].objects
        self.services.ledger.record_backup(
            made,
            manifest=objects[f"{folder}/manifest.json"],
            signature=objects[f"{folder}/manifest.json.minisig"],
            coverage=None,
        )
        self.services.ledger.record_copy(backup_id, store, "complete", self.clock.now())
        return backup_id

    def prune(
        self, *, allow: int = 0, dry_run: bool = False, accept_clock: bool = False
    ) -> tuple[Pruned, ...]:
        """Let retention do its work; raise what kept it from that."""
        wish = Wish(allow=allow, dry_run=dry_run, accept_clock=accept_clock)
        results = prune(self.services, self.target, self.made.stop, wish=wish)
        complain(results)
        return results

    def rules(self, **policy: object) -> None:
        """Change the rules of all stores."""
        self.target = dataclasses.replace(
            self.target,
            retention=Rules(policy=dataclasses.replace(FEW, **policy)),  # type: ignore[arg-type]
        )

    def ids(self, store: str = "a") -> list[str]:
        """The backups that have a manifest in a store."""
        keys = self.stores[store].objects
        return sorted(key.split("/")[1] for key in keys if key.endswith("/manifest.json"))

    def listed(self) -> list[str]:
        """The backups that the ledger knows and nothing hides, the oldest first."""
        return sorted(row.backup.id for row in self.services.ledger.backups() if row.good)

    def hidden(self, store: str = "a") -> list[str]:
        """The backups that a tombstone hides, and that are still there."""
        keys = self.stores[store].objects
        return sorted(found for found in self.ids(store) if f"shop/{found}/tombstone.json" in keys)

    def row(self, backup_id: str) -> BackupRow:
        found = self.services.ledger.backup(backup_id)
        assert found is not None
        return found

    def drop(self, backup_id: str, names: Sequence[str] = (), store: str = "a") -> None:
        """Lose objects of a backup: all, or those whose names begin so."""
        for key in list(self.stores[store].objects):
            if key.startswith(f"shop/{backup_id}/") and (
                not names or key.rpartition("/")[2].startswith(tuple(names))
            ):
                self.stores[store].delete(key)


@contextmanager
def yard(
    folder: Path,
    names: Sequence[str] = ("a",),
    make: Callable[[str, FakeClock], MemoryStore] | None = None,
) -> Iterator[Yard]:
    """Make a yard whose target `shop` keeps the first backup of each of three days; `make` makes its stores."""
    clock = FakeClock(START)
    stores = {name: MemoryStore(name, now=clock.now) if make is None else make(name, clock) for name in names}
    with world(folder, NOWHERE, stores=stores, retention=Rules(policy=FEW)) as made:
        yield Yard(made=made, clock=clock, stores=stores, target=made.target)
