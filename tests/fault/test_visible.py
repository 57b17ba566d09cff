"""What lasts is told by an alert: the shipped rules, by promtool, on what a scrape says after each kind of fault."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import runner
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.copies import catch_up
from holdfast.jobs.monitoring import probe
from holdfast.ledger import probes, scheduling
from holdfast.model import layout
from holdfast.model.errors import BlockedError, StoreError
from holdfast.model.run import Job, Run
from holdfast.stores.base import Stored
from holdfast.system.stop import Stop
from support.asking import QUESTIONS
from support.memory_store import MemoryStore
from support.model_values import sample_backup
from support.oracle import Oracle
from support.shelved import gives_back, shelved
from support.yard import Yard, yard

pytestmark = pytest.mark.extended

HOURS = 2
BUT_VISIBLE = sorted(QUESTIONS - {"visible"})


class Away(MemoryStore):
    """A store that does not answer once it is away."""

    away = False

    def list(self, prefix: str = "") -> Iterator[Stored]:
        if self.away:
            raise StoreError(f"{self.location}: no answer")
        return super().list(prefix)

    def stat(self, key: str) -> Stored | None:
        if self.away:
            raise StoreError(f"{self.location}: no answer")
        return super().stat(key)

    def put(self, *args: object, **more: object) -> bool:
        if self.away:
            raise StoreError(f"{self.location}: no answer")
        return super().put(*args, **more)  # type: ignore[arg-type]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path, ("a", "b"), lambda name, clock: Away(name, now=clock.now)) as made:
        made.take(5)
        catch_up(made.services, made.target, Stop())
        yield made


@pytest.fixture
def oracle(place: Yard, tmp_path: Path) -> Oracle:
    return Oracle(
        services=place.services,
        targets=(place.target,),
        folder=tmp_path,
        restores=lambda services, row: gives_back(services, row, b"x" * 1000),
    )


def fails(place: Yard, job: Job) -> None:
    def body(_: object) -> None:
        raise StoreError("no answer")

    services = place.services
    run = Run(job=job, target="shop", started_at=services.clock.now(), host=services.host, pid=services.pid)
    with pytest.raises(StoreError):
        runner.execute(services, run, body)


def a_job_fails(place: Yard) -> None:
    for _ in range(2):
        fails(place, "backup")


def a_process_dies(place: Yard) -> None:
    services = place.services
    for _ in range(2):
        services.ledger.begin(
            Run(
                job="backup",
                target="shop",
                started_at=services.clock.now(),
                host=services.host,
                pid=2**22 + 1,
            )
        )
        for run in runner.lost_runs(services, "backup", "shop"):
            runner.close_lost(services, run)


def retention_is_blocked(place: Yard) -> None:
    place.prune()
    place.clock.set(place.clock.now() + timedelta(days=3650))
    with pytest.raises(BlockedError):
        place.prune()
    place.clock.set(place.clock.now() - timedelta(days=3650))


def copies_lag(place: Yard) -> None:
    place.take(3)


def a_store_is_away(place: Yard) -> None:
    store = place.stores["b"]
    assert isinstance(store, Away)
    store.away = True
    services = place.services
    probes.record(services.ledger, probe(services.ledger, services.stores, services.clock, Stop()))
    store.away = False


def the_clock_went_back(place: Yard) -> None:
    ledger, now = place.services.ledger, place.clock.now()
    scheduling.started(ledger, now=now, version="1", host="h", pid=1)
    scheduling.ticked(ledger, now, clock_suspect=True)


def the_ledger_was_rolled_back(place: Yard) -> None:
    services = place.made.services = replace(place.services, host=sample_backup().host)
    backup_id = layout.new_backup_id(place.clock.now(), "0001")
    signer = services.keys.signer().public.text
    shelved(services, place.stores["a"], backup_id, data=b"x" * 1000, signer=signer)
    rebuild(services, quick=True, forget=False)


def the_ledger_is_unreadable(place: Yard) -> None:
    os.truncate(place.services.ledger.path, 100)


CASES: dict[str, Callable[[Yard], None]] = {
    "HoldfastJobFailing": a_job_fails,
    "HoldfastRetentionBlocked": retention_is_blocked,
    "HoldfastCopyLagging": copies_lag,
    "HoldfastStoreDown": a_store_is_away,
    "HoldfastClockSuspect": the_clock_went_back,
    "HoldfastLedgerLoss": the_ledger_was_rolled_back,
}


@pytest.mark.fault("silence")
@pytest.mark.parametrize(("alert", "fault"), CASES.items(), ids=CASES)
def test_a_fault_that_lasts_fires_its_alert(
    place: Yard, oracle: Oracle, alert: str, fault: Callable[[Yard], None]
) -> None:
    assert alert not in oracle.alerts(HOURS)
    fault(place)
    assert alert in oracle.alerts(HOURS)
    oracle.holds()


@pytest.mark.fault("silence", "kill.daemon")
def test_runs_that_are_lost_again_and_again_fire_an_alert(place: Yard, oracle: Oracle) -> None:
    a_process_dies(place)
    assert "HoldfastJobFailing" in oracle.alerts(HOURS)
    oracle.holds()


@pytest.mark.fault("silence", "ledger.corrupt")
@pytest.mark.unasked("it is not mended here: test_ledger_faults asks after that", *BUT_VISIBLE)
def test_a_ledger_that_cannot_be_read_fires_an_alert(place: Yard, oracle: Oracle) -> None:
    the_ledger_is_unreadable(place)
    assert "HoldfastLedgerTrouble" in oracle.alerts(HOURS)
