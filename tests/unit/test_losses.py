"""A ledger that lost what it knew tells of it, until somebody has it rebuilt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs.catalog import rebuild
from holdfast.jobs.services import Services
from holdfast.jobs.status import status
from holdfast.ledger import Ledger, losses
from holdfast.ledger.losses import Loss
from holdfast.model import layout
from holdfast.model.backup import Backup
from holdfast.model.run import Run
from holdfast.stores.base import Store
from holdfast.streams import sign
from holdfast.system import lasting
from support.clock import FakeClock
from support.memory_store import MemoryStore
from support.model_values import NOW, sample_backup
from support.shelved import shelved
from support.world import World, world

HOST = sample_backup().host
LATER = NOW + timedelta(hours=1)
POD = "31 30 8:1 /kubelet/volumes/kubernetes.io~empty-dir/state / rw - ext4 /dev/sda1 rw\n"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[World]:
    """A host whose ledger is of a day before the sample backup."""
    clock = FakeClock(NOW + timedelta(hours=1))
    with (
        world(tmp_path, "postgresql:///x", stores={"a": MemoryStore("a", now=clock.now)}) as made,
        Ledger.open(tmp_path / "ledger.sqlite", now=NOW - timedelta(days=1)) as ledger,
    ):
        made.services = dataclasses.replace(made.services, ledger=ledger, clock=clock, host=HOST)
        yield made


def ours(services: Services, store: Store, *backup_id: str) -> Backup:
    """Put a backup into the store that the host signed, as it says."""
    return shelved(services, store, *backup_id, signer=services.keys.signer().public.text)


def found(services: Services) -> tuple[Loss, ...]:
    """What is lost, once the stores were looked through as prune does."""
    rebuild(services, quick=True, forget=False)
    return losses.unsettled(services.ledger)


def test_a_backup_of_ours_that_no_run_tells_of_is_a_loss_until_a_rebuild(home: World) -> None:
    ours(home.services, home.services.stores["a"])
    assert found(home.services) == (Loss(reason="rolled_back", at=LATER, set_aside=None),)
    assert any("put back to an earlier state" in event for event, _ in home.recorder.warnings)
    [told] = status(home.services, [home.target])
    assert "put back to an earlier state" in told.notes[0]
    rebuild(home.services)
    assert losses.unsettled(home.services.ledger) == ()


def test_what_a_run_tells_of_is_no_loss_though_it_died(home: World) -> None:
    made = ours(home.services, home.services.stores["a"])
    home.services.ledger.begin(
        Run(job="backup", target="shop", status="lost", started_at=NOW, backup_id=made.id)
    )
    assert found(home.services) == ()


def test_the_backups_of_others_are_no_loss(home: World) -> None:
    theirs = sign.generate()
    other = dataclasses.replace(home.services, keys=dataclasses.replace(home.keys, signing=theirs))
    both = dataclasses.replace(home.keys, trusted=(*home.keys.trusted, theirs.public))
    here = dataclasses.replace(home.services, keys=both)
    for days in (2, 0):
        ours(other, other.stores["a"], layout.new_backup_id(NOW - timedelta(days=days), "0000"))
        assert found(here) == ()
    ours(home.services, home.services.stores["a"])
    assert found(dataclasses.replace(here, host="another")) == ()


def test_a_ledger_in_a_damaged_ones_place_says_so_at_every_start(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path, now=NOW) as ledger:
        assert losses.unsettled(ledger) == ()
    path.write_bytes(bytes(8192))
    for _ in range(2):
        with Ledger.open(path, now=LATER) as ledger:
            [loss] = losses.unsettled(ledger)
            assert (loss.reason, loss.at) == ("damaged", LATER)
            assert loss.set_aside == "ledger.sqlite.corrupt-20261122T030000Z"


def test_a_ledger_that_is_gone_is_a_loss_where_this_host_signed_backups_before(home: World) -> None:
    before = layout.new_backup_id(NOW - timedelta(days=2), "0000")
    ours(home.services, home.services.stores["a"], before)
    assert found(home.services) == (Loss(reason="vanished", at=LATER, set_aside=None),)
    [told] = status(home.services, [home.target])
    assert "the ledger was gone" in told.notes[0]
    rebuild(home.services)
    assert losses.unsettled(home.services.ledger) == ()


def test_in_a_pod_that_was_given_a_directory_for_its_life_no_ledger_is_missed(
    home: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = layout.new_backup_id(NOW - timedelta(days=2), "0000")
    ours(home.services, home.services.stores["a"], before)
    monkeypatch.setattr(lasting, "_mounts", lambda: POD)
    assert found(home.services) == ()


def test_where_no_state_directory_lasts_the_note_says_to_mount_a_volume(
    home: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses.record(home.services.ledger, "vanished", LATER)
    [told] = status(home.services, [home.target])
    assert "Was " in told.notes[0]
    monkeypatch.setattr(lasting, "passing", lambda _: "in a container's own files")
    [told] = status(home.services, [home.target])
    assert "lies in a container's own files" in told.notes[0]
    assert f"--volume holdfast:{home.services.ledger.path.parent}" in told.notes[0]
