"""Who may change what in a store: by leases, by the named pruner, and by what the service can."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.ledger import leases as ledger
from holdfast.model import layout
from holdfast.model.errors import BusyError, ConfigError
from holdfast.model.lease import Terms
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


def test_a_mere_writer_takes_leases_and_leaves_them_for_who_may_delete(
    both: tuple[Host, Host], store: Shared
) -> None:
    one, two = both
    store.no_delete = True
    for _ in range(6):
        with one.fenced():
            pass
    assert len(store.leases()) == 12
    store.no_delete = False
    with two.fenced():
        pass
    assert len(store.leases()) == 4


@pytest.mark.fault("two")
def test_where_conditions_are_ignored_only_the_named_host_prunes(
    both: tuple[Host, Host], store: Shared
) -> None:
    one, two = both
    store.ignores = True
    with (
        pytest.raises(
            ConfigError, match="no lease can be held there, and the config names no pruner"
        ) as refused,
        one.fenced(),
    ):
        pass
    assert refused.value.hint is not None
    assert f'stores.{store.name}.pruner = "one"' in refused.value.hint
    for each in both:
        each.terms(Terms(pruner="one"))
    with one.fenced() as mine:
        mine.put("shop/x", [b"x"])
    with (
        pytest.raises(BusyError, match="by the config host one prunes this store, and this is host two"),
        two.fenced(),
    ):
        pass
    with two.fenced("copies") as mine:
        mine.put("shop/y", [b"y"])
    assert store.leases() == []


def test_a_named_pruner_is_alone_where_leases_work_too(both: tuple[Host, Host], store: Shared) -> None:
    one, two = both
    for each in both:
        each.terms(Terms(pruner="two"))
    with pytest.raises(BusyError, match="host two prunes this store"), one.fenced():
        pass
    with two.fenced():
        assert store.leases() == [1]


def test_what_check_found_is_believed_for_a_month_and_for_that_place(
    both: tuple[Host, Host], store: Shared
) -> None:
    one, _ = both
    with one.fenced():
        pass
    known = ledger.conditions(one.made.services.ledger, store.name)
    assert known is not None
    assert known.found == "honoured"
    store.ignores = True
    with one.fenced():
        pass
    passes(timedelta(days=30), one)
    with pytest.raises(ConfigError), one.fenced():
        pass
    store.ignores = False
    store.location = "memory://elsewhere"
    with one.fenced():
        pass
    assert not [key for key in store.objects if key.startswith(layout.PROBE_PREFIX)]
