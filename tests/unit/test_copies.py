"""A store that was away catches up by itself: oldest first, resumed, and never past what a person has to see."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from holdfast.jobs import copies
from holdfast.jobs.catalog import rebuild
from holdfast.jobs.copies import catch_up
from holdfast.ledger.ledger import GONE, CopyState
from holdfast.model.errors import BusyError, StoreError
from holdfast.model.retention import Policy
from holdfast.model.run import Run
from holdfast.model.target import Rules
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

IDS = tuple(f"2026112{day}T020000Z-aaaa" for day in (1, 2, 3))
NOWHERE = "postgresql://nobody@127.0.0.1:1/"


class Away(MemoryStore):
    """A store that refuses to be written to while it is away."""

    away = False

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        if self.away:
            raise StoreError(f"{self.name} is away")
        return super().put(key, chunks, absent=absent)


@pytest.fixture
def stores() -> dict[str, Away]:
    return {name: Away(name) for name in "abc"}


@pytest.fixture
def home(tmp_path: Path, stores: dict[str, Away]) -> Iterator[World]:
    with world(tmp_path, NOWHERE, stores=stores) as made:
        for backup_id in IDS:
            shelved(made.services, stores["a"], backup_id)
        rebuild(made.services)
        yield made


def held(store: MemoryStore) -> list[str]:
    return sorted(key.split("/")[1] for key in store.objects if key.endswith("/manifest.json"))


def test_every_store_gets_every_backup_the_oldest_first(home: World, stores: dict[str, Away]) -> None:
    done = catch_up(home.services, home.target, home.stop)
    assert stores["b"].backups == stores["c"].backups == stores["a"].backups
    assert [backup for backup, _ in done.copied] == sorted([*IDS, *IDS])
    assert done.failed == []
    assert done.left == {"a": 0, "b": 0, "c": 0}
    assert catch_up(home.services, home.target, home.stop).copied == []


@pytest.mark.fault("store.away")
def test_a_store_that_is_away_holds_up_no_other_and_catches_up_later(
    home: World, stores: dict[str, Away]
) -> None:
    stores["b"].away = True
    done = catch_up(home.services, home.target, home.stop)
    assert held(stores["c"]) == list(IDS)
    assert [(backup, store) for backup, store, _ in done.failed] == [
        (IDS[0], "b")
    ]  # tried once, not three times
    assert done.left["b"] == 3
    stores["b"].away = False
    assert [store for _, store in catch_up(home.services, home.target, home.stop).copied] == ["b"] * 3
    assert held(stores["b"]) == list(IDS)


def test_it_copies_from_whichever_store_holds_it(home: World, stores: dict[str, Away]) -> None:
    catch_up(home.services, home.target, home.stop)
    stores["a"].objects.clear()
    for backup_id in IDS:
        home.services.ledger.forget_copy(backup_id, "a")
    catch_up(home.services, home.target, home.stop)
    assert held(stores["a"]) == list(IDS)


@pytest.mark.parametrize(("state", "error"), [("damaged", "flipped"), ("missing", GONE)])
def test_what_a_person_has_to_see_is_left_alone(
    home: World, stores: dict[str, Away], state: CopyState, error: str
) -> None:
    now = home.services.clock.now()
    home.services.ledger.record_copy(IDS[0], "b", state, now, error)
    catch_up(home.services, home.target, home.stop)
    assert held(stores["b"]) == list(IDS[1:])


def test_what_arrived_before_a_break_is_not_sent_again(
    home: World, stores: dict[str, Away], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = next(key for key in stores["a"].objects if "globals" in key)
    stores["b"].objects[part] = stores["a"].objects[part]
    sent: list[str] = []
    original = stores["a"].get

    def get(key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        sent.append(key)
        return original(key, start=start, length=length)

    monkeypatch.setattr(stores["a"], "get", get)
    catch_up(home.services, home.target, home.stop)
    assert sent.count(part) == 1  # for c only
    assert stores["b"].backups == stores["a"].backups


def test_what_retention_would_take_away_at_once_is_not_sent(home: World, stores: dict[str, Away]) -> None:
    nothing = Policy(daily=0, weekly=0, monthly=0, yearly=0, minimum=1)
    target = replace(home.target, retention_in={"b": Rules(policy=nothing)})
    done = catch_up(home.services, target, home.stop)
    assert held(stores["b"]) == [IDS[2]]
    assert held(stores["c"]) == list(IDS)
    assert done.left == {"a": 0, "b": 0, "c": 0}


@pytest.mark.fault("two")
def test_two_at_once_do_not_copy_twice(home: World) -> None:
    with copies.locked(home.services, "shop"), pytest.raises(BusyError, match="the copies of target shop"):
        catch_up(home.services, home.target, home.stop)


def test_a_copy_that_died_is_closed_and_one_that_lives_is_not(home: World) -> None:
    services = home.services
    run = services.ledger.begin(
        Run(job="copy", target="shop", started_at=services.clock.now(), host=services.host, pid=services.pid)
    )
    with copies.locked(services, "shop"):
        copies.close_lost(services, "shop")
        assert [each.id for each in services.ledger.unfinished("shop", "copy")] == [run.id]
    copies.close_lost(services, "shop")
    assert services.ledger.runs("shop", "copy")[0].status == "lost"
