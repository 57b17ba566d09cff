"""Two daemons with one config, on two hosts, work on the same stores for a month: nothing is lost, no slot is taken twice."""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import keeping, marks
from holdfast.jobs.backup import backup
from holdfast.jobs.copies import catch_up
from holdfast.jobs.prune import Wish, complain, prune
from holdfast.jobs.reading import open_backup, plain_chunks
from holdfast.jobs.services import Services
from holdfast.jobs.writing import Place
from holdfast.ledger.ledger import BackupRow
from holdfast.model import layout
from holdfast.model.errors import Error
from holdfast.model.retention import Policy
from holdfast.model.run import Occasion
from holdfast.model.target import Rules, Target
from holdfast.system.stop import Stop
from support.oracle import Good, Oracle
from support.twins import Job, Twins, twins

START = datetime(2031, 1, 1, tzinfo=UTC)
FEW = Rules(policy=Policy(daily=3, weekly=1, monthly=0, yearly=0, minimum=1))
TARGETS = (
    Target(name="shop", stores=("a", "b"), retention=FEW),
    Target(name="wiki", stores=("b",), retention=FEW),
)
FIRST = {target.name: target.stores[0] for target in TARGETS}


def back_up(world: Twins, services: Services) -> None:
    """Take the day's slot of each target, as the daemon does at 02:00."""
    now = world.clock.now()
    slot = now.replace(hour=2, minute=0, second=0)
    for target in TARGETS if slot <= now else ():
        with suppress(Error):
            backup(services, target, Stop(), occasion=Occasion(trigger="schedule", slot=slot))


def copy(_: Twins, services: Services) -> None:
    with suppress(Error):
        catch_up(services, TARGETS[0], Stop())


def prune_all(_: Twins, services: Services) -> None:
    for target in TARGETS:
        with suppress(Error):
            complain(prune(services, target, Stop(), wish=Wish()))


def undelete(world: Twins, services: Services) -> None:
    """Bring something back, even in the last moment. What is said to be back is there, whole."""
    hidden = [row for row in services.ledger.backups() if row.hidden]
    if hidden:
        row = world.chance.choice(hidden)
        with suppress(Error):
            for store in keeping.undelete(services, row):
                world.recorder.info("undeleted", store=store, backup=row.backup.id)


JOBS: tuple[Job, ...] = (back_up, copy, prune_all, undelete)


def a_day(world: Twins, number: int) -> None:
    """Both begin at 02:00 each of their jobs, in some order, and try again what failed."""
    world.clock.sleep(max(START + timedelta(days=number, hours=2) - world.clock.now(), timedelta()))
    for job in (back_up, copy, prune_all, back_up, undelete):
        hosts = ["one", "two"]
        world.chance.shuffle(hosts)
        for host in hosts:
            world.work(host, job)
            world.clock.sleep(timedelta(minutes=world.chance.choice((1, 40))))


def look(world: Twins, ever: set[tuple[str, str]]) -> None:
    """What is to be seen is whole, what is gone was removed on purpose, and each slot has one backup."""
    with world.calm():
        committed, buried = world.holding(layout.MANIFEST), world.holding(layout.TOMBSTONE)
        slots: Counter[tuple[str, datetime | None]] = Counter()
        for place in committed:
            if place.store.name == FIRST[place.target]:
                slots[place.target, open_backup(place, world.keys).backup.slot] += 1
            if marks.tombstone(place, world.keys) is None:
                assert restored(world, place) == world.expected[place.backup_id], (
                    "what can be seen is not whole"
                )
    assert [slot for slot, count in slots.items() if count > 1] == [], "a slot was taken twice"
    there, gone = ids(committed), ids(buried)
    ever |= there
    assert ever - there <= gone, "a backup is gone without a tombstone"
    for target in TARGETS:
        newest = max((each for each in ever if each[0] == target.name), default=None)
        assert newest is None or newest in there - gone, "the newest backup is gone or hidden"


def ids(places: list[Place]) -> set[tuple[str, str]]:
    return {(each.target, each.backup_id) for each in places}


def restored(world: Twins, place: Place) -> bytes:
    opened = open_backup(place, world.keys)
    part = opened.backup.part("database", "app")
    assert part is not None
    return b"".join(plain_chunks(place, part, world.keys))


def ask(world: Twins, host: str, before: Good) -> Good:
    """Ask the oracle about a host's day, as if it started again; its own ledger learns nothing by that. Give what is good now."""
    state = world.folder / "looked at"
    shutil.copytree(world.folder / host, state)

    def restores(services: Services, row: BackupRow) -> None:
        for copy in row.copies:
            if copy.state == "complete":
                store = services.store(copy.store)
                place = Place(store=store, target=row.backup.target, backup_id=row.backup.id)
                assert restored(world, place) == world.expected[row.backup.id]

    with world.calm(), world.process(host, state) as services:
        asked = Oracle(
            services=services, targets=TARGETS, folder=world.folder, before=before, restores=restores
        )
        with asked as oracle:
            oracle.silent("a host that waits for another fails at nothing")
        good = Oracle(services=services, targets=TARGETS, folder=world.folder).before
    shutil.rmtree(state)
    return good


def endure(folder: Path, seed: int, days: int) -> Twins:
    with twins(folder, seed, START, TARGETS, JOBS) as world:
        ever: set[tuple[str, str]] = set()
        good: dict[str, Good] = {"one": {}, "two": {}}
        for number in range(days):
            a_day(world, number)
            look(world, ever)
            good = {host: ask(world, host, before) for host, before in good.items()}
    return world


@pytest.mark.fault("two")
def test_some_days_of_two_daemons_lose_nothing_and_take_no_slot_twice(tmp_path: Path) -> None:
    endure(tmp_path, 1, 3)


@pytest.mark.extended
@pytest.mark.timeout(900)
@pytest.mark.fault("two")
@pytest.mark.parametrize("seed", range(2, 6))
def test_a_month_of_two_daemons_loses_nothing_and_takes_no_slot_twice(tmp_path: Path, seed: int) -> None:
    world = endure(tmp_path, seed, 31)
    said = Counter(event for event, _ in world.recorder.infos)
    assert world.crossed > 100
    assert world.kills > 8
    assert min(said[event] for event in ("a backup is hidden", "a backup is removed", "a backup is back")) > 3
