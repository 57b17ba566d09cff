"""Days on end of several targets and stores, with kills, lost answers, stores away and ledgers gone; the oracle looks every day."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import catalog, runner
from holdfast.jobs.backup import backup
from holdfast.jobs.copies import catch_up
from holdfast.jobs.prune import Wish, prune
from holdfast.jobs.reading import open_backup, plain_chunks
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.model.errors import BusyError, Error
from holdfast.model.run import Occasion
from holdfast.model.target import Target
from holdfast.system.stop import Stop
from support.endurance import MARKER, Ordeal, ordeal

START = datetime(2026, 1, 1, tzinfo=UTC)
TARGETS = (Target(name="shop", stores=("a", "b", "c")), Target(name="wiki", stores=("b", "a")))


def back_up(world: Ordeal, target: Target, slot: datetime) -> None:
    """Try the slot as the daemon does: up to three times."""
    for attempt in (1, 2, 3):
        with world.process() as services:
            world.arm()
            try:
                backup(
                    services,
                    target,
                    Stop(),
                    occasion=Occasion(trigger="schedule", slot=slot, attempt=attempt),
                )
            except runner.SkippedError:
                return
            except Error:
                world.failed += 1
            else:
                return
        world.clock.sleep(timedelta(minutes=5))


def copy_all(world: Ordeal, target: Target) -> None:
    with world.process() as services:
        world.arm()
        try:
            world.failed += len(catch_up(services, target, Stop()).failed)
        except BusyError:
            pytest.fail("a dead process holds a lock")


def prune_all(world: Ordeal, target: Target) -> None:
    """Let retention work, once in a while by a clock that is ten years ahead: then it may hide and remove nothing."""
    right, wrong = world.clock.now(), world.chance.random() < 0.1
    before = world.committed(), world.buried()
    with world.process() as services:
        if wrong:
            world.clock.set(right + timedelta(days=3650))
        world.arm()
        try:
            prune(services, target, Stop(), wish=Wish())
        except Error:
            world.failed += 1
        finally:
            world.clock.set(right)
    if wrong:  # what a listing that was cut short makes look needed may come back
        committed, buried = before
        assert world.committed() == committed, "a clock that jumped took backups away"
        assert world.buried() <= buried, "a clock that jumped hid backups"


def a_day(world: Ordeal, number: int) -> None:
    """What befalls the host, and what it does."""
    chance = world.chance
    for store in world.stores.values():
        if store.away:
            store.away = chance.random() > 0.3
        else:
            store.away = chance.random() < 0.05
    slot = START + timedelta(days=number, hours=2)
    world.clock.sleep(slot - world.clock.now())
    if chance.random() < 0.05:
        for path in world.ledger_file.parent.glob("ledger.sqlite*"):
            path.unlink()
    elif chance.random() < 0.05 and world.ledger_file.exists():
        world.ledger_file.write_bytes(b"SQLite format 3\0" + bytes(5000))
    elif chance.random() < 0.05:
        roll_back(world, number)
    keep(world, number)
    for target in TARGETS:
        back_up(world, target, slot)
        copy_all(world, target)
        prune_all(world, target)


def keep(world: Ordeal, number: int) -> None:
    """Keep the ledger as it is on this day."""
    if world.ledger_file.exists():
        shutil.copyfile(world.ledger_file, world.folder / f"ledger-{number}")


def roll_back(world: Ordeal, number: int) -> None:
    """Put the ledger of a week ago in place, as when a host is restored from a snapshot."""
    old = world.folder / f"ledger-{number - 7}"
    if old.exists():
        for path in world.ledger_file.parent.glob("ledger.sqlite*"):
            path.unlink()
        shutil.copyfile(old, world.ledger_file)
        world.rolled_back += 1


def restores(world: Ordeal, services: Services, store: str, target: str, backup_id: str) -> None:
    place = Place(store=world.stores[store], target=target, backup_id=backup_id)
    opened = open_backup(place, services.keys)
    part = opened.backup.part("database", "app")
    assert part is not None
    assert b"".join(plain_chunks(place, part, services.keys)) == world.expected[backup_id]


def agree(services: Services, *, rolled_back: bool) -> None:
    """Nothing is odd about the stores. The ledger of a week ago knows tombstones that were taken away since: they are told of, once."""

    def odd() -> list[tuple[str, str]]:
        problems = catalog.rebuild(services, forget=False).problems
        return [problem for problem in problems if "without a manifest" not in problem[1]]

    found = odd()
    if rolled_back:
        assert [problem for problem in found if "put the store or the ledger back" not in problem[1]] == []
        found = odd()
    assert found == [], "the ledger and the stores disagree"


def look(world: Ordeal, *, thoroughly: bool, rolled_back: bool) -> None:
    """The oracle."""
    committed = world.committed()
    held = {(target, backup_id) for _, target, backup_id in committed}
    buried = {(target, backup_id) for _, target, backup_id in world.buried()}
    assert world.ever - held <= buried, "a good backup is gone without a tombstone"
    for target in TARGETS:
        newest = max((each for each in world.ever if each[0] == target.name), default=None)
        assert newest not in buried, "the newest backup was hidden"
    for store in world.stores.values():
        assert not any(MARKER in data for data in store.objects.values()), "plaintext in a store"
    with world.calm(), world.process() as services:
        agree(services, rolled_back=rolled_back)
        known = {
            (copy.store, row.backup.target, row.backup.id)
            for row in services.ledger.backups()
            for copy in row.copies
            if copy.state == "complete"
        }
        assert known == committed - world.buried()
        slots = [(row.backup.target, row.backup.slot) for row in services.ledger.backups()]
        assert len(slots) == len(set(slots)), "a slot was taken twice"
        whole = committed - world.buried()  # what is hidden may be half removed
        for target in TARGETS:
            mine = sorted(backup_id for _, name, backup_id in whole if name == target.name)
            chosen = [
                each for each in whole if each[1] == target.name and (thoroughly or each[2] == mine[-1])
            ]
            for where, name, backup_id in chosen:
                restores(world, services, where, name, backup_id)
        assert services.ledger.unfinished() == [], "a run that nobody runs"


def endure(folder: Path, seed: int, days: int, *, short: float = 0.0) -> None:
    """Go through it all; a listing is cut short as often as `short` says."""
    with ordeal(folder, seed, START, TARGETS) as world:
        for store in world.stores.values():
            store.short = short
        for number in range(days):
            before = world.rolled_back
            a_day(world, number)
            look(world, thoroughly=number == days - 1, rolled_back=world.rolled_back > before)
        assert len(world.kills) >= days // 10
        assert world.failed >= days // 10
        assert all(store.cut for store in world.stores.values()) == bool(short)
        assert len(world.ever) >= days  # of two slots a day some had no store to go to


@pytest.mark.unasked("`look` asks as much each day, of stores in memory where nothing else can be left")
@pytest.mark.fault("endurance")
def test_some_days_lose_nothing(tmp_path: Path) -> None:
    endure(tmp_path, 7, 4)


@pytest.mark.unasked("`look` asks as much each day, of stores in memory where nothing else can be left")
@pytest.mark.fault("endurance", "ledger.old")
@pytest.mark.extended
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(2, 7))
def test_sixty_days_lose_nothing(tmp_path: Path, seed: int) -> None:
    endure(tmp_path, seed, 60)


@pytest.mark.unasked("`look` asks as much each day, of stores in memory where nothing else can be left")
@pytest.mark.fault("endurance", "store.stale")
@pytest.mark.extended
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(10, 13))
def test_sixty_days_of_listings_that_are_cut_short_lose_nothing(tmp_path: Path, seed: int) -> None:
    endure(tmp_path, seed, 60, short=0.1)
