"""Two hosts at work on one store: who prunes, copies and brings back does so alone, and the other leaves it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.jobs import catalog, keeping, lease, scheduled
from holdfast.jobs.checks.check import check
from holdfast.jobs.copies import catch_up
from holdfast.jobs.lease import LostError
from holdfast.jobs.prune import Pruned, Wish, complain, prune
from holdfast.jobs.reading import open_backup, stored_chunks
from holdfast.jobs.repair import repair
from holdfast.jobs.writing import Place
from holdfast.ledger import facts, losses
from holdfast.ledger import leases as ledger
from holdfast.ledger.ledger import BackupRow
from holdfast.metrics import stores as metrics
from holdfast.metrics.scene import Scene as Scrape
from holdfast.model import layout
from holdfast.model.errors import BusyError
from holdfast.model.lease import LASTS, MARGIN
from holdfast.model.overview import Configured
from holdfast.model.retention import Policy
from holdfast.model.run import Occasion
from holdfast.model.target import Rules
from support.clock import FakeClock
from support.hosts import Host, Shared, hosts, sharing
from support.marked import bury
from support.memory_store import MemoryStore
from support.shelved import shelved

START = datetime(2031, 3, 10, 2, tzinfo=UTC)
DAY = timedelta(days=1)
FEW = Rules(policy=Policy(daily=2, weekly=0, monthly=0, yearly=0, minimum=1))
LATE = LASTS + MARGIN


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    with hosts(tmp_path_factory.mktemp("pair"), {}, START, ("one", "two")) as made:
        yield made


@dataclasses.dataclass(slots=True)
class Scene:
    """Both hosts and their store: `gone` is hidden and due, `old` is to be hidden, `kept` are to stay."""

    one: Host
    two: Host
    store: Shared
    time: FakeClock
    gone: str
    old: str
    kept: list[str]

    def passes(self, delta: timedelta) -> None:
        for clock in (self.time, self.one.clock, self.two.clock):
            clock.sleep(delta)

    def row(self, host: Host, backup_id: str) -> BackupRow:
        found = host.made.services.ledger.backup(backup_id)
        assert found is not None
        return found

    def is_whole(self, backup_id: str) -> bool:
        place = Place(store=self.store, target="shop", backup_id=backup_id)
        opened = open_backup(place, self.one.made.keys)
        return all(
            sum(map(len, stored_chunks(place, part))) == part.stored_size for part in opened.backup.parts
        )

    def holding(self, name: str) -> list[str]:
        found = (layout.parse_key(key) for key in self.store.objects)
        return sorted(each.backup_id for each in found if each is not None and each.name == name)


@pytest.fixture
def scene(pair: list[Host]) -> Scene:
    time = FakeClock(START)
    store = Shared(time)
    one, two = sharing(pair, store, START)
    for host in (one, two):
        for row in host.made.services.ledger.backups():
            host.made.services.ledger.forget_backup(row.backup.id)
        host.made.target = dataclasses.replace(host.made.target, retention=FEW)
    ids = [layout.new_backup_id(START - days * DAY, "0000") for days in (5, 2, 1, 0)]
    for backup_id in ids:
        shelved(one.made.services, store, backup_id)
    bury(one.made.services, store, ids[0], at=START - 4 * DAY)
    for host in (one, two):
        catalog.rebuild(host.made.services)
        host.made.services.ledger.meta_set(losses.SETTLE_AFTER, "2000-01-01T00:00:00Z")
        host.made.services.ledger.meta_set("created_at", "2000-01-01T00:00:00Z")
    return Scene(one=one, two=two, store=store, time=time, gone=ids[0], old=ids[1], kept=ids[2:])


def pruned(host: Host, stage: Callable[[str], None] = lambda _: None) -> Pruned:
    services = dataclasses.replace(host.made.services, stage=stage)
    (result,) = prune(services, host.made.target, host.made.stop, wish=Wish())
    return result


def at(name: str, action: Callable[[], object]) -> Callable[[str], None]:
    """Do something once, at a stage."""
    left = [action]

    def stage(found: str) -> None:
        if found == name and left:
            left.pop()()

    return stage


def test_a_store_that_another_host_prunes_is_left_and_the_run_is_no_failure(scene: Scene) -> None:
    found: list[Pruned] = []
    pruned(scene.one, at("prune:planned", lambda: found.append(pruned(scene.two))))
    assert found[0].elsewhere
    assert found[0].plan is None
    with pytest.raises(BusyError, match=r"store s\d+: .* on one has the lease"):
        complain(found)
    (run,) = scene.two.made.services.ledger.runs("shop", "prune", limit=1)
    assert (run.status, run.error_code) == ("skipped", "skipped")
    assert scene.holding("tombstone.json") == [scene.gone, scene.old]
    assert scene.holding("manifest.json") == [scene.old, *scene.kept]


def test_a_metric_tells_whose_the_lease_was(scene: Scene) -> None:
    host, name = scene.two, scene.store.name
    with scene.one.fenced():
        assert pruned(host).elsewhere
    assert elsewhere(host) == {
        ("shop", name, "retention"): 1,
        ("shop", name, "copies"): 0,
        ("shop", name, "backup"): 0,
        ("shop", name, "objects"): 0,
    }
    assert set(elsewhere(host, timedelta(days=3)).values()) == {0}  # met once, and not wanted since
    pruned(host)
    assert set(elsewhere(host).values()) == {0}


def elsewhere(host: Host, later: timedelta = timedelta()) -> dict[tuple[str, ...], float]:
    store = host.store.name
    overview = facts.overview(host.made.services.ledger.path, host.clock.now() + later)
    seen = Scrape(
        overview=overview, configured=Configured(targets={"shop": (store,)}, stores=(store,)), now=0
    )
    return dict(next(samples for family, samples in metrics.families(seen) if family is metrics.ELSEWHERE))


def test_the_daemon_takes_anothers_work_for_nothing_to_do(scene: Scene) -> None:
    kind = next(each for each in scheduled.KINDS if each.job == "prune")
    services, recorder = scene.two.made.services, scene.two.made.recorder
    recorder.warnings.clear()
    with scene.one.fenced():
        occasion = Occasion(trigger="schedule", slot=START)
        scheduled.execute(kind, services, scene.two.made.target, scene.two.made.stop, occasion)
    assert recorder.warnings == []
    (run,) = services.ledger.runs("shop", "prune", limit=1)
    assert (run.slot, run.status) == (START, "skipped")


def test_what_is_being_removed_cannot_be_brought_back_meanwhile(scene: Scene) -> None:
    busy: list[BusyError] = []

    def bring_back() -> None:
        with pytest.raises(BusyError, match="on one has the lease") as refused:
            keeping.undelete(scene.two.made.services, scene.row(scene.two, scene.gone))
        busy.append(refused.value)

    assert pruned(scene.one, at("prune:removing", bring_back)).removed == (scene.gone,)
    assert busy


def test_a_pruner_that_was_held_up_removes_nothing_of_what_was_brought_back(scene: Scene) -> None:
    def bring_back() -> None:
        scene.passes(LATE)
        keeping.undelete(scene.two.made.services, scene.row(scene.two, scene.gone))

    result = pruned(scene.one, at("prune:removing", bring_back))
    assert isinstance(result.error, LostError)
    assert not result.elsewhere
    assert scene.is_whole(scene.gone)
    assert scene.gone not in scene.holding("tombstone.json")
    (run,) = scene.one.made.services.ledger.runs("shop", "prune", limit=1)
    assert (run.status, run.error_code) == ("failed", "busy")


def test_a_pruner_that_died_half_way_is_finished_by_another_host_when_its_lease_is_over(scene: Scene) -> None:
    class KilledError(BaseException):
        """The process is dead."""

    held: list[dict[str, bytes]] = []

    def die() -> None:
        held.append(dict(scene.store.objects))
        raise KilledError

    with pytest.raises(KilledError):
        pruned(scene.one, at("prune:object_removed", die))
    scene.store.objects = held[0]  # nothing was given back
    assert pruned(scene.two).elsewhere
    scene.passes(LATE)
    assert pruned(scene.two).removed == (scene.gone,)
    assert scene.holding("manifest.json") == [scene.old, *scene.kept]
    assert all(map(scene.is_whole, scene.kept))


def test_nothing_is_swept_while_another_host_copies_into_the_store(scene: Scene) -> None:
    stray = layout.new_backup_id(START - 9 * DAY, "0000")
    key = layout.key("shop", stray, "app.dump.zst.age")
    scene.store.put(key, [b"the first of many"])
    scene.passes(3 * DAY)
    with scene.one.fenced("copies"):
        assert pruned(scene.two).swept == ()
    assert key in scene.store.objects
    assert pruned(scene.two).swept == (stray,)


def test_a_store_that_another_host_copies_into_is_left_to_it(scene: Scene) -> None:
    other = MemoryStore("z", now=scene.time.now)
    for host in (scene.one, scene.two):
        host.made.services = dataclasses.replace(
            host.made.services, stores={**host.made.services.stores, "z": other}
        )
        host.made.target = dataclasses.replace(host.made.target, stores=(scene.store.name, "z"))
    with ExitStack() as stack:
        services = scene.one.made.services
        held = lease.take(services, other, "shop", "copies", lasts=LASTS)
        done = catch_up(scene.two.made.services, scene.two.made.target, scene.two.made.stop)
        assert (done.copied, done.failed, done.left["z"]) == ([], [], 2)
        stack.callback(held.release)
    done = catch_up(scene.two.made.services, scene.two.made.target, scene.two.made.stop)
    assert [backup_id for backup_id, _ in done.copied] == scene.kept


def test_a_copy_that_another_host_is_at_is_not_mended(scene: Scene) -> None:
    backup_id = scene.kept[0]
    scene.store.delete(layout.key("shop", backup_id, "RESTORE.txt"))
    scene.store.objects[layout.key("shop", backup_id, "manifest.json.minisig")] = b"damaged"
    with scene.one.fenced("copies"):
        (done,) = repair(scene.two.made.services, scene.row(scene.two, backup_id), scene.two.made.stop)
        assert isinstance(done.error, BusyError)
    (done,) = repair(scene.two.made.services, scene.row(scene.two, backup_id), scene.two.made.stop)
    assert done.objects == ("manifest.json.minisig", "manifest.json")


def test_check_tells_retention_whether_leases_can_be_held(scene: Scene) -> None:
    scene.store.ignores = True
    services = scene.one.made.services
    assert any("no conditional put" in each.message for each in check(services, (), encrypted=True))
    known = ledger.conditions(services.ledger, scene.store.name)
    assert known is not None
    assert known.found == "ignored"
