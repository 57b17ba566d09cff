"""What nobody may manage: a wrong clock, a typo, a planted backup and a lost ledger take no history away."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from holdfast.jobs import keeping, mixed
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.unusual import unusual
from holdfast.ledger import marks as kept_marks
from holdfast.ledger import retention, scheduling
from holdfast.model.errors import BlockedError, StoreError
from holdfast.model.proof import Proof
from holdfast.streams import sign
from support.marked import bury
from support.yard import DAY, Yard, yard

GRACE = timedelta(days=3, minutes=1)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path) as made:
        yield made


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Yard]:
    with yard(tmp_path, ("a", "b")) as made:
        yield made


def blocked(place: Yard, cause: str) -> str:
    """Retention refuses for that cause, changes nothing, and says so in the ledger; give what it says."""
    before = place.stores["a"].backups
    with pytest.raises(BlockedError) as caught:
        place.prune()
    assert place.stores["a"].backups == before
    refused = retention.refused(place.services.ledger, "shop")
    assert cause in {each.cause for each in refused}
    assert caught.value.hint
    (run,) = place.services.ledger.runs("shop", "prune", limit=1)
    assert (run.status, run.error_code) == ("failed", "retention")
    return caught.value.message


@pytest.mark.fault("clock.jump")
@pytest.mark.parametrize("days", [-1, -400, 1, 3650])
def test_a_clock_that_jumped_removes_nothing(place: Yard, days: int) -> None:
    place.take(6)
    place.prune()
    place.take(2)
    place.clock.set(place.clock.now() + timedelta(days=days))
    assert "clock" in blocked(place, "clock")
    place.clock.set(place.clock.now() - timedelta(days=days))
    place.clock.sleep(timedelta(hours=1))
    assert place.prune()[0].hidden


@pytest.mark.fault("clock.jump")
def test_years_that_only_the_clock_saw_remove_nothing(place: Yard) -> None:
    """The machine was started anew, and its clock came up wrong: all graces would be over."""
    place.take(6)
    place.prune()
    place.clock.set(place.clock.now() + timedelta(days=400))
    place.clock.booted, place.clock.passed = "second", 10.0
    assert "400 days have passed" in blocked(place, "clock")
    assert place.prune(accept_clock=True)[0].removed


@pytest.mark.fault("store.clock")
def test_a_store_whose_clock_differs_removes_nothing(place: Yard) -> None:
    place.take(6)
    place.stores["a"]._now = lambda: place.clock.now() - 2 * DAY
    assert "store a" in blocked(place, "clock")
    with pytest.raises(BlockedError):
        place.prune(accept_clock=True)


@pytest.mark.fault("clock.jump")
def test_a_daemon_that_saw_the_clock_go_back_removes_nothing(place: Yard) -> None:
    place.take(6)
    scheduling.started(place.services.ledger, now=place.clock.now(), version="1", host="h", pid=1)
    scheduling.ticked(place.services.ledger, place.clock.now(), clock_suspect=True)
    blocked(place, "clock")


@pytest.mark.fault("ledger.rebuilt")
def test_a_new_ledger_removes_nothing_before_it_has_seen_a_backup(tmp_path: Path) -> None:
    with yard(tmp_path / "old") as old:
        taken = old.take(6)
        with yard(tmp_path / "new") as new:
            new.made.services = dataclasses.replace(new.made.services, keys=old.made.keys)
            new.clock, new.stores = old.clock, old.stores
            new.made.services = dataclasses.replace(new.made.services, stores=dict(old.stores))
            new.services.ledger.meta_set("created_at", "2031-03-07T00:00:00Z")
            assert "ledger is of" in blocked(new, "rebuilt")
            new.take(1)
            assert list(new.prune()[0].hidden) == taken[:4]


@pytest.mark.fault("ledger.rebuilt")
def test_a_rebuild_that_was_asked_for_counts_as_a_new_ledger(place: Yard) -> None:
    place.take(6)
    place.clock.sleep(timedelta(hours=1))
    rebuild(place.services)
    blocked(place, "rebuilt")
    place.take(1)
    assert place.prune()[0].hidden


@pytest.mark.fault("retention.typo")
def test_a_policy_that_shrank_by_a_typo_removes_nothing_in_one_run(place: Yard) -> None:
    place.rules(monthly=12)
    place.take(14, every=timedelta(days=31))
    place.prune()
    place.rules(monthly=1, daily=1)
    said = blocked(place, "max_deletions")
    assert "11 of 13 backups" in said or "of" in said
    (result,) = place.prune(allow=99)
    assert result.hidden
    assert len(place.listed()) >= 1


@pytest.mark.fault("retention.typo")
def test_history_that_was_hidden_by_a_wrong_policy_comes_back_with_the_right_one(place: Yard) -> None:
    taken = place.take(6)
    place.rules(daily=6)
    place.prune()
    place.rules(daily=1)
    place.prune()
    assert len(place.hidden()) == 5
    place.rules(daily=6)
    assert sorted(place.prune()[0].returned) == taken[:5]
    assert place.listed() == taken


@pytest.mark.fault("retention.typo")
def test_a_target_that_was_renamed_is_never_pruned(place: Yard) -> None:
    taken = place.take(6)
    place.target = dataclasses.replace(place.target, name="store")
    place.prune()
    place.clock.sleep(timedelta(days=400))
    place.prune()
    assert place.ids() == taken


@pytest.mark.fault("attack.flood")
def test_backups_dated_in_the_future_evict_nobody_and_block_until_somebody_looked(place: Yard) -> None:
    taken = place.take(6)
    planted = [place.put(place.clock.now() + timedelta(days=days)) for days in (1, 30, 3000)]
    said = blocked(place, "suspect")
    assert all(each in said for each in planted)
    assert [
        each.backup_id for each in unusual(place.services, "shop", place.services.ledger.backups("shop"))
    ] == planted
    for each in planted:
        keeping.acknowledge(place.services, place.row(each), why="a test")
    assert list(place.prune()[0].hidden) == taken[:3]
    assert set(place.ids()) >= {*taken, *planted}


def test_a_backup_planted_for_yesterday_with_tomorrows_date_stays_suspect(place: Yard) -> None:
    """Its date has come meanwhile; but it came into the store a week before it was taken."""
    place.take(6)
    planted = place.put(place.clock.now() + timedelta(days=7, hours=1))
    place.take(9)
    assert planted in blocked(place, "suspect")


@pytest.mark.fault("attack.flood")
def test_many_new_tiny_backups_evict_nobody(place: Yard) -> None:
    place.rules(keep_last=3, daily=7)
    real = place.take(8, size=200_000)
    place.prune()
    place.take(20, every=timedelta(seconds=1), size=1)
    place.prune()
    assert set(real[1:]) <= set(place.listed())


@pytest.mark.fault("retention.wrong")
def test_an_anomaly_keeps_all_until_somebody_looked(place: Yard) -> None:
    taken = place.take(3)
    database = place.row(taken[-1]).backup
    with place.services.ledger.writing() as connection:
        connection.execute(
            "INSERT INTO measures VALUES ('shop', 'app', 'rows', ?, 10, 1000.0, -5.0)", [taken[-1]]
        )
    assert database.id == taken[-1]
    later = place.take(3)
    assert "rows of database app" in blocked(place, "anomaly")
    assert [
        each.backup_id for each in unusual(place.services, "shop", place.services.ledger.backups("shop"))
    ] == [taken[-1]]
    keeping.acknowledge(place.services, place.row(later[-1]), why="the archive was emptied")
    assert place.prune()[0].hidden


def test_an_ack_of_a_backup_dated_in_the_future_silences_no_anomaly(place: Yard) -> None:
    taken = place.take(6)
    planted = place.put(place.clock.now() + timedelta(days=3000))
    keeping.acknowledge(place.services, place.row(planted), why="a clock was wrong")
    with place.services.ledger.writing() as connection:
        connection.execute(
            "INSERT INTO measures VALUES ('shop', 'app', 'rows', ?, 10, 1000.0, -5.0)", [taken[-1]]
        )
    blocked(place, "anomaly")


def test_a_server_that_takes_turns_with_another_loses_nothing_to_it(place: Yard) -> None:
    def take(server: str) -> str:
        place.clock.sleep(DAY)
        return place.put(place.clock.now(), server=server)

    [*_, upgraded] = [take(server) for server in "77778888"]
    place.prune()  # once another, as after an upgrade
    assert mixed.another(place.services, "shop", "8") is None
    assert upgraded in (mixed.another(place.services, "shop", "7") or "")
    back = take("7")
    assert f"{back} was taken of server 7 by" in blocked(place, "anomaly")
    assert (
        f"after {upgraded} of server 8"
        in unusual(place.services, "shop", place.services.ledger.backups("shop"))[0].findings[0]
    )
    keeping.acknowledge(place.services, place.row(back), why="the upgrade was taken back")
    place.prune()
    take("8")
    blocked(place, "anomaly")


@pytest.mark.fault("retention.last")
def test_the_newest_good_stays_though_newer_ones_are_damaged(place: Yard) -> None:
    taken = place.take(8)
    for damaged in taken[1:]:
        place.drop(damaged, ["globals"])
    place.rules(daily=1)
    place.prune()
    place.clock.sleep(GRACE)
    place.prune()
    assert taken[0] in place.listed()


@pytest.mark.fault("retention.last")
def test_the_newest_proven_stays(place: Yard) -> None:
    taken = place.take(8)
    proof = Proof(
        backup_id=taken[1], target="shop", level="proven", method="restored", at=place.clock.now(), store="a"
    )
    place.services.ledger.record_proof(proof)
    place.prune()
    place.clock.sleep(GRACE)
    place.prune()
    assert place.ids() == [taken[1], *taken[5:]]


def test_a_hidden_backup_comes_back_when_it_is_the_newest_good_one(place: Yard) -> None:
    taken = place.take(6)
    place.prune()
    for lost in taken[3:]:
        place.drop(lost, ["globals"])
    place.clock.sleep(GRACE)
    (result,) = place.prune()
    assert taken[2] in result.returned
    assert taken[2] in place.listed()


@pytest.mark.fault("attack.plant")
def test_a_planted_tombstone_is_neither_obeyed_nor_replaced(place: Yard) -> None:
    taken = place.take(6)
    stranger = sign.generate()
    thief = dataclasses.replace(
        place.services,
        keys=dataclasses.replace(place.made.keys, signing=stranger, trusted=(stranger.public,)),
    )
    for each in (taken[0], taken[-1]):
        bury(thief, place.stores["a"], each, at=place.clock.now())
        kept_marks.forget(place.services.ledger, each, "a", "tombstone.json")
    place.prune()
    place.clock.sleep(timedelta(days=30))
    place.prune()
    assert place.ids() == [taken[0], *taken[3:]]
    assert taken[-1] in place.listed()


@pytest.mark.fault("store.stale")
def test_a_store_that_lists_nothing_removes_nothing_and_is_an_error(place: Yard) -> None:
    place.take(6)
    kept = place.stores["a"].backups
    place.stores["a"].objects.clear()
    with pytest.raises(StoreError, match="lists no backup"):
        place.prune()
    place.stores["a"].objects.update(kept)
    assert place.prune()[0].hidden
