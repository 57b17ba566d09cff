"""A host whose ledger may be damaged at will: its store holds good backups, and the oracle is asked of it afterwards."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from holdfast.app import fill
from holdfast.jobs import lost
from holdfast.jobs.catalog import rebuild
from holdfast.ledger import Ledger
from holdfast.model.errors import LedgerError
from holdfast.model.run import Run
from support.model_values import NOW
from support.oracle import Good, Oracle
from support.shelved import gives_back
from support.yard import Yard

BACKUPS, RUNS = 3, 40
LOSS = "holdfast_ledger_loss_timestamp_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host whose ledger each test has for itself; the store with its good backups is that of them all."""

    path: Path
    place: Yard
    good: Good

    def fill(self) -> None:
        """Make a ledger of several pages in every table, closed cleanly."""
        with Ledger.open(self.path, now=NOW) as ledger:
            rebuild(replace(self.place.services, ledger=ledger))
            for _ in range(RUNS):
                run = Run(job="backup", target="shop", started_at=NOW, error="e" * 500)
                ledger.finish(ledger.begin(run).id, status="failed", now=NOW)

    @contextmanager
    def asked(self) -> Iterator[Oracle]:
        """Start again, as a daemon does, on the ledger that is there; ask the oracle all that was not asked yet."""
        with Ledger.open(self.path, now=NOW) as ledger:
            services = replace(self.place.services, ledger=ledger, state_dir=self.path.parent)
            targets = {self.place.target.name: self.place.target}
            fill(services)
            for target in lost.settle(services, targets):
                lost.sweep_up(services, target)
            with Oracle(
                services=services,
                targets=(self.place.target,),
                folder=self.path.parent,
                before=self.good,
                restores=lambda services, row: gives_back(services, row, b"x" * 1000),
            ) as oracle:
                yield oracle

    def told(self, error: LedgerError | subprocess.CompletedProcess[str]) -> None:
        """Whoever gave the command was told, and all else holds."""
        with self.asked() as oracle:
            oracle.told(error)


def good_of(place: Yard) -> Good:
    """What is good in the yard's stores."""
    oracle = Oracle(services=place.services, targets=(place.target,), folder=place.services.state_dir)
    return oracle.before
