"""A rebuild learns what the stores hold, and forgets nothing that may still be there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.jobs.catalog import Rebuilt, rebuild, tell
from holdfast.stores.base import Stored
from support.memory_store import MemoryStore
from support.shelved import shelved
from support.world import World, world

FIRST, SECOND = "20261121T020000Z-aaaa", "20261122T020000Z-bbbb"
NOWHERE = "postgresql://nobody@127.0.0.1:1/"


@pytest.fixture
def stores() -> dict[str, MemoryStore]:
    return {"a": MemoryStore("a"), "b": MemoryStore("b")}


@pytest.fixture
def home(tmp_path: Path, stores: dict[str, MemoryStore]) -> Iterator[World]:
    with world(tmp_path, NOWHERE, stores=stores) as made:
        yield made


def known(home: World) -> dict[str, dict[str, str]]:
    return {
        row.backup.id: {copy.store: copy.state for copy in row.copies}
        for row in home.services.ledger.backups()
    }


def test_a_rebuild_learns_and_forgets(home: World, stores: dict[str, MemoryStore]) -> None:
    shelved(home.services, stores["a"], FIRST)
    shelved(home.services, stores["a"], SECOND)
    assert rebuild(home.services).backups == 2
    for key in list(stores["a"].objects):
        if FIRST in key:
            stores["a"].delete(key)
    assert rebuild(home.services).forgotten == 1
    assert known(home) == {SECOND: {"a": "complete"}}


@pytest.mark.fault("store.stale")
@pytest.mark.parametrize("quick", [True, False])
def test_a_store_that_lists_nothing_is_a_problem_and_forgets_nothing(
    home: World, stores: dict[str, MemoryStore], *, quick: bool
) -> None:
    """A disk that is not mounted and a mistyped prefix look like an empty store."""
    shelved(home.services, stores["a"], FIRST)
    rebuild(home.services)
    stores["a"].objects.clear()
    result = rebuild(home.services, quick=quick)
    assert result.forgotten == 0
    ((where, said),) = result.problems
    assert where == "memory://a"
    assert "1 backup" in said
    assert "catalog rebuild --store a" in said
    assert known(home) == {FIRST: {"a": "complete"}}


def test_an_empty_store_that_is_named_is_believed(home: World, stores: dict[str, MemoryStore]) -> None:
    shelved(home.services, stores["a"], FIRST)
    rebuild(home.services)
    stores["a"].objects.clear()
    assert rebuild(home.services, store="a").forgotten == 1
    assert known(home) == {}


class _Slow(MemoryStore):
    """Something else happens right after a listing was answered."""

    meanwhile = staticmethod(lambda: None)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        found = list(super().list(prefix))
        meanwhile, self.meanwhile = self.meanwhile, staticmethod(lambda: None)
        meanwhile()
        return iter(found)


def test_a_backup_that_is_committed_during_a_rebuild_is_not_forgotten(tmp_path: Path) -> None:
    slow = _Slow("a")
    with world(tmp_path, NOWHERE, stores={"a": slow}) as home:
        shelved(home.services, slow, FIRST)
        rebuild(home.services)
        slow.meanwhile = lambda: _commit(home, slow)
        assert rebuild(home.services).forgotten == 0
        assert known(home) == {FIRST: {"a": "complete"}, SECOND: {"a": "complete"}}


def test_a_copy_that_ends_during_a_rebuild_is_not_forgotten(tmp_path: Path) -> None:
    slow, main = _Slow("b"), MemoryStore("a")
    with world(tmp_path, NOWHERE, stores={"a": main, "b": slow}) as home:
        shelved(home.services, slow, FIRST)
        shelved(home.services, main, FIRST)
        shelved(home.services, main, SECOND)
        rebuild(home.services)
        home.services.ledger.record_copy(SECOND, "b", "copying", home.services.clock.now())
        slow.meanwhile = lambda: home.services.ledger.record_copy(
            SECOND, "b", "complete", home.services.clock.now()
        )
        rebuild(home.services)
        assert known(home)[SECOND] == {"a": "complete", "b": "complete"}


def _commit(home: World, store: MemoryStore) -> None:
    made = shelved(home.services, store, SECOND)
    folder = f"shop/{SECOND}"
    home.services.ledger.record_backup(
        made,
        manifest=store.objects[f"{folder}/manifest.json"],
        signature=store.objects[f"{folder}/manifest.json.minisig"],
        coverage=None,
    )
    home.services.ledger.record_copy(SECOND, "a", "complete", home.services.clock.now())


def test_two_targets_with_the_same_id_do_not_take_each_others_place(
    home: World, stores: dict[str, MemoryStore]
) -> None:
    shelved(home.services, stores["a"], FIRST)
    rebuild(home.services)
    shelved(home.services, stores["a"], FIRST, target="other")
    for _ in range(2):
        result = rebuild(home.services)
        assert [row.backup.target for row in home.services.ledger.backups()] == ["shop"]
        assert [where for where, _ in result.problems] == [f"other/{FIRST}/manifest.json"]


def test_a_bucket_full_of_strangers_does_not_fill_the_log(home: World) -> None:
    tell(home.services, Rebuilt(problems=[(f"shop/{number}", "not trusted") for number in range(500)]))
    assert len(home.recorder.warnings) == 21
    assert "480 more" in str(home.recorder.warnings[-1])
