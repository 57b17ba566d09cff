"""A lease is one host's at a time: taken, renewed, shown, lost, given back and taken over, whatever the clocks show."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import lease
from holdfast.jobs.lease import LostError
from holdfast.model import layout
from holdfast.model.errors import BusyError, StoreError
from holdfast.model.lease import LASTS, LONGEST, MARGIN, RENEWED, Terms, Unreadable, lasting, parse
from support.clock import FakeClock
from support.hosts import Host, Shared, hosts, sharing

START = datetime(2031, 3, 1, 2, tzinfo=UTC)
SECOND = timedelta(seconds=1)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Host]]:
    """Two hosts; each test gives them a store of its own."""
    with hosts(tmp_path_factory.mktemp("pair"), {}, START, ("one", "two")) as made:
        yield made


@pytest.fixture
def time() -> FakeClock:
    """The true time, which the store shows."""
    return FakeClock(START)


@pytest.fixture
def store(time: FakeClock) -> Shared:
    return Shared(time)


@pytest.fixture
def both(pair: list[Host], store: Shared) -> tuple[Host, Host]:
    return sharing(pair, store, START)


def passes(delta: timedelta, *clocks: FakeClock | Host) -> None:
    for each in clocks:
        (each.clock if isinstance(each, Host) else each).sleep(delta)


def abandon(host: Host) -> None:
    """Take the lease and die: nobody gives it back."""

    class DeadError(StoreError):
        """The store is away, so that the lease stays."""

    with suppress(DeadError), host.fenced():
        raise DeadError("died")


@pytest.mark.fault("two")
def test_one_host_at_a_time(both: tuple[Host, Host], store: Shared) -> None:
    one, two = both
    with one.fenced():
        with (
            pytest.raises(
                BusyError, match=r"process .* on one has the lease for the retention of target shop"
            ) as busy,
            two.fenced(),
        ):
            pass
        assert "until 2031-03-01 02:31:00Z at the latest" in str(busy.value)
        assert lease.holder(two.made.services, store, "shop", "retention") is not None
    with two.fenced():
        pass
    assert lease.holder(one.made.services, store, "shop", "retention") is None


def test_other_work_and_other_targets_have_leases_of_their_own(
    both: tuple[Host, Host], store: Shared
) -> None:
    one, two = both
    with one.fenced("retention"), two.fenced("copies"):
        held = lease.take(two.made.services, store, "wiki", "retention", lasts=LASTS)
        held.check()


@pytest.mark.fault("lock.stale")
def test_the_lease_of_a_dead_host_runs_out_by_the_stores_clock(
    both: tuple[Host, Host], time: FakeClock
) -> None:
    one, two = both
    abandon(one)
    passes(LASTS + MARGIN - SECOND, time)  # this host's own clock stands still
    with pytest.raises(BusyError), two.fenced():
        pass
    passes(SECOND, time)
    with two.fenced():
        pass


@pytest.mark.fault("clock.jump")
@pytest.mark.parametrize("days", [-400, 400])
def test_a_host_whose_clock_is_wrong_takes_nothing_from_anybody(both: tuple[Host, Host], days: int) -> None:
    one, two = both
    two.clock.set(START + timedelta(days=days))
    with one.fenced() as mine:
        with pytest.raises(BusyError), two.fenced():
            pass
        mine.delete("shop/x")


def test_where_the_stores_clock_was_set_back_who_waits_long_enough_gets_it(
    both: tuple[Host, Host], time: FakeClock
) -> None:
    one, two = both
    abandon(one)
    time.set(START - timedelta(days=400))
    with pytest.raises(BusyError), two.fenced():
        pass
    passes(LASTS, time, two)
    with pytest.raises(BusyError), two.fenced():
        pass
    passes(MARGIN, time, two)
    with two.fenced():
        pass


def test_a_process_of_the_same_host_goes_on_at_once_after_one_that_died(both: tuple[Host, Host]) -> None:
    one, _ = both
    abandon(one)
    with one.fenced():
        pass


def test_after_a_boot_the_same_host_is_another(both: tuple[Host, Host]) -> None:
    """A machine that was copied has the same name and files, and boots by itself."""
    one, _ = both
    abandon(one)
    one.clock.booted = "second"
    with pytest.raises(BusyError), one.fenced():
        pass


def test_long_work_renews_the_lease(both: tuple[Host, Host], store: Shared, time: FakeClock) -> None:
    one, two = both
    with one.fenced() as mine:
        for _ in range(12):
            passes(RENEWED, time, one, two)
            mine.put("shop/x", [b"x"])
            with pytest.raises(BusyError), two.fenced():
                pass
    assert store.newest_lease().released
    assert len(store.leases()) <= 5


def test_a_thread_renews_it_while_one_object_is_written(both: tuple[Host, Host], store: Shared) -> None:
    one, _ = both
    with one.fenced():
        held = lease.take(one.made.services, store, "wiki", "retention", lasts=LASTS)
        held.renew()
        assert store.stat(layout.lease_key("wiki", "retention", 2)) is None
        passes(RENEWED / 2, one)
        held.renew()
        assert store.stat(layout.lease_key("wiki", "retention", 2)) is not None


@pytest.mark.fault("two")
def test_who_was_held_up_and_lost_the_lease_changes_nothing(
    both: tuple[Host, Host], store: Shared, time: FakeClock
) -> None:
    one, two = both
    store.objects["shop/x"] = b"x"
    with one.fenced() as mine:
        passes(LASTS + MARGIN, time, two, one)
        with two.fenced():
            for change in (lambda: mine.delete("shop/x"), lambda: mine.put("shop/y", [b"y"])):
                with pytest.raises(LostError, match=r"taken by process .* on two: nothing more is changed"):
                    change()
        with pytest.raises(LostError):  # not even when the other has given it back
            mine.delete("shop/x")
        assert b"".join(mine.get("shop/x")) == b"x"
    assert "shop/y" not in store.objects
    assert store.newest_lease().host == "two"


def test_who_slept_without_his_clocks_going_on_finds_out_all_the_same(
    both: tuple[Host, Host], store: Shared, time: FakeClock
) -> None:
    one, two = both
    store.objects["shop/x"] = b"x"
    with one.fenced() as mine:
        passes(LASTS + MARGIN, time, two)
        with two.fenced(), pytest.raises(LostError):
            mine.delete("shop/x")


def test_who_was_held_up_and_lost_nothing_goes_on(
    both: tuple[Host, Host], store: Shared, time: FakeClock
) -> None:
    one, two = both
    store.objects["shop/x"] = b"x"
    with one.fenced() as mine:
        passes(3 * LASTS, time, one, two)
        mine.delete("shop/x")
        with pytest.raises(BusyError), two.fenced():
            pass
    assert "shop/x" not in store.objects


def test_a_lease_that_nobody_can_look_at_lets_nothing_be_changed(
    both: tuple[Host, Host], store: Shared
) -> None:
    one, _ = both
    store.objects["shop/x"] = b"x"
    with one.fenced() as mine:
        store.away = True
        with pytest.raises(StoreError, match="no answer"):
            mine.delete("shop/x")
    assert "shop/x" in store.objects
    said = [event for event, _ in one.made.recorder.infos]
    assert "a lease could not be given back, and runs out by itself" in said


def test_of_two_that_take_over_at_once_one_gets_it(
    both: tuple[Host, Host], store: Shared, time: FakeClock
) -> None:
    one, two = both
    abandon(one)
    passes(LASTS + MARGIN, time, one, two)
    one.clock.booted = "second"
    with ExitStack() as stack:
        store.before_put.append(lambda: stack.enter_context(one.fenced()))
        with pytest.raises(BusyError, match="on one"), two.fenced():
            pass


def test_many_threads_never_hold_it_together(tmp_path: Path, store: Shared) -> None:
    inside, most, got, lock = 0, 0, 0, threading.Lock()

    def work(host: Host) -> None:
        nonlocal inside, most, got
        for _ in range(5):
            try:
                with host.fenced() as mine:
                    with lock:
                        inside += 1
                        most, got = max(most, inside), got + 1
                    mine.put(f"shop/{got}", [b""])
                    with lock:
                        inside -= 1
            except BusyError:
                continue

    with hosts(tmp_path, {"a": store}, START, tuple("abcd")) as all_of_them:
        threads = [threading.Thread(target=work, args=[host]) for host in all_of_them]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert most == 1
    assert got >= 1


def test_an_answer_that_was_lost_is_no_loss(
    both: tuple[Host, Host], store: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adapter tries again, and finds the key taken by its own first try."""
    one, _ = both
    original = store.put

    def twice(key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        data = list(chunks)
        if key.startswith(layout.LEASE_PREFIX):
            original(key, data, absent=absent)
        return original(key, data, absent=absent)

    monkeypatch.setattr(store, "put", twice)
    with one.fenced() as mine:
        mine.put("shop/x", [b"x"])


@pytest.mark.parametrize(
    ("planted", "lasts"),
    [
        (b"", LASTS),
        (b"\xff not JSON", LASTS),
        (b"[" * 100_000, LASTS),
        (json.dumps({"format_version": 2, "holds": "for ever"}).encode(), LONGEST),
    ],
    ids=["empty", "garbage", "deep", "newer"],
)
def test_what_cannot_be_read_holds_others_up_for_a_while_only(
    both: tuple[Host, Host], store: Shared, time: FakeClock, planted: bytes, lasts: timedelta
) -> None:
    one, _ = both
    store.put(layout.lease_key("shop", "retention", 7), [planted])
    with pytest.raises(BusyError, match="somebody whose lease cannot be read"), one.fenced():
        pass
    passes(lasts + MARGIN, time)
    with one.fenced():
        pass
    assert store.leases()[-2:] == [8, 9]


def test_a_lease_that_claims_to_last_for_years_is_not_believed(
    both: tuple[Host, Host], time: FakeClock
) -> None:
    one, two = both
    one.terms(Terms(lasts=timedelta(days=4000)))
    abandon(one)
    passes(LONGEST + MARGIN, time)
    with two.fenced():
        pass


def test_a_high_number_that_somebody_planted_is_counted_on_from(
    both: tuple[Host, Host], store: Shared, time: FakeClock
) -> None:
    one, _ = both
    store.put(layout.lease_key("shop", "retention", 10**24), [b"planted"])
    with pytest.raises(BusyError), one.fenced():
        pass
    passes(LASTS + MARGIN, time)
    with one.fenced():
        pass
    assert store.leases()[-1] == 10**24 + 2


@pytest.mark.fault("store.stale")
def test_a_listing_that_is_behind_gives_nobody_an_old_generation(
    both: tuple[Host, Host], store: Shared, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = both
    with one.fenced():
        pass
    old = list(store.list())
    with one.fenced():
        pass
    with one.fenced():
        monkeypatch.setattr(
            store, "list", lambda prefix="": iter(each for each in old if each.key.startswith(prefix))
        )
        with pytest.raises(BusyError), two.fenced():
            pass


def test_a_lease_lasts_longer_than_the_store_tries_again() -> None:
    assert lasting(None) == lasting(900) == LASTS
    assert lasting(3600) == timedelta(minutes=75)


def test_keys_of_leases_are_read_as_they_are_made() -> None:
    for generation in (1, 9_999_999_999, 10**30):
        key = layout.lease_key("shop", "copies", generation)
        assert layout.lease_generation(key) == generation
        assert layout.parse_key(key) is None
    assert layout.lease_generation("shop/20310301T020000Z-0000/retention-0000000001.json") is None
    assert isinstance(parse(b"{}"), Unreadable)
