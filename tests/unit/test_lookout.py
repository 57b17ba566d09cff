"""A daemon learns what other hosts put into its stores, and says once what is wrong there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.lookout import EVERY, Lookout
from holdfast.jobs.setup import Setup
from holdfast.ledger.scheduling import Key
from holdfast.model import layout
from holdfast.model.planning import Timetable
from holdfast.model.schedule import parse
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

DAILY = Timetable(schedule=parse("@daily"))
BACKUP: Key = ("backup", "shop")
TEST: Key = ("restore_test", "shop")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[World]:
    with world(tmp_path, "postgresql:///x", stores={"a": MemoryStore("a")}) as made:
        yield made


def setup(home: World, planned: set[Key], able: set[Key]) -> Setup:
    return Setup(
        services=home.services,
        targets={"shop": home.target},
        planned=dict.fromkeys(planned, DAILY),
        timetables=dict.fromkeys(able, DAILY),
        kinds={},
        max_dumps=1,
    )


def test_backups_that_come_later_are_learnt_of(home: World) -> None:
    lookout = Lookout()
    assert lookout.look(home.services) == 0
    made = shelved(home.services, home.services.stores["a"])
    assert lookout.look(home.services) == 1
    assert [row.backup.id for row in home.services.ledger.backups() if row.good] == [made.id]
    assert lookout.look(home.services) == 0


def test_what_stays_wrong_is_told_once(home: World) -> None:
    made, lookout, store = (
        shelved(home.services, home.services.stores["a"]),
        Lookout(),
        home.services.stores["a"],
    )
    store.delete(layout.key("shop", made.id, layout.MANIFEST))
    told = []
    for _ in range(4):
        lookout.look(home.services)
        told.append(len(home.recorder.warnings))
    assert told == [0, 1, 1, 1]


@pytest.mark.parametrize(
    ("planned", "able", "looks"),
    [
        pytest.param({BACKUP, TEST}, {BACKUP, TEST}, False, id="all-alone"),
        pytest.param({TEST}, {TEST}, True, id="prover"),
        pytest.param({BACKUP, TEST}, {BACKUP}, True, id="writer"),
    ],
)
def test_every_hour_is_looked_where_others_write(
    home: World, planned: set[Key], able: set[Key], *, looks: bool
) -> None:
    lookout, made = Lookout(), setup(home, planned, able)
    found = [lookout.is_due(made, passed) for passed in (5.0, 6.0, 5.0 + EVERY, 6.0 + EVERY)]
    assert found == [looks, False, looks, False]
