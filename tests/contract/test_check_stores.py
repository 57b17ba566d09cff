"""What `check` finds out about a store by trying."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from holdfast.jobs import one_place
from holdfast.jobs.checks.finding import Finding
from holdfast.jobs.checks.stores import check_store
from holdfast.stores.base import Conditions, RefusedError, Store
from holdfast.stores.gcs import GcsStore
from holdfast.stores.limited import LimitedStore, Meter
from holdfast.stores.local import LocalStore
from holdfast.stores.read_only import ReadOnlyStore
from holdfast.stores.s3 import S3Store
from support import gcs_emulator, moto_server
from support.memory_store import MemoryStore
from support.world import world


def found(store: Store) -> list[tuple[str, str]]:
    return [
        (finding.level, finding.message) for finding in check_store(store) if "free" not in finding.message
    ]


def test_a_directory_can_do_everything(tmp_path: Path) -> None:
    ((level, message),) = found(LocalStore("disk", tmp_path))
    assert (level, message) == ("ok", f"{tmp_path}: write, read, list and delete work")
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_store_is_only_listed(tmp_path: Path) -> None:
    ((level, message),) = found(ReadOnlyStore(LocalStore("disk", tmp_path)))
    assert (level, message) == ("ok", f"{tmp_path}: can be listed; the config says read-only")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("store.services")
def test_a_service_that_honours_conditions_is_told_from_one_that_ignores_them() -> None:
    with moto_server.moto_server() as url:
        store = S3Store(moto_server.settings(url, prefix="check"))
        assert [level for level, _ in found(store)] == ["ok"]
        assert list(store.list()) == []
    with gcs_emulator.gcs_emulator() as url:
        other = GcsStore(gcs_emulator.settings(url, prefix="check"))
        assert found(other)[1:] == [("warn", "does not refuse to overwrite (no conditional put)")]
        assert list(other.list()) == []


class Half(MemoryStore):
    def conditions(self, key: str) -> Conditions:
        self.objects[key] = b"second"
        return "honoured for small objects"


def test_half_a_guard_is_told_and_a_wrapper_hides_nothing() -> None:
    (_, (level, message)) = found(LimitedStore(Half(), Meter(1e9)))
    assert (level, "by an upload in parts" in message) == ("warn", True)


class Careless(MemoryStore):
    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        del absent
        return super().put(key, chunks)


def test_a_store_that_overwrites_is_told_with_what_to_do() -> None:
    findings: list[Finding] = list(check_store(Careless()))
    assert findings[-1].level == "warn"
    assert "`pruner`" in (findings[-1].hint or "")


@pytest.mark.parametrize("broken", ["get", "list", "delete"])
def test_a_store_that_cannot_do_one_thing_fails(broken: str) -> None:
    class Broken(MemoryStore):
        pass

    lies = {"get": lambda *_, **__: iter([b"other"]), "list": lambda *_: iter(()), "delete": lambda *_: None}
    setattr(Broken, broken, lies[broken])
    assert [finding.level for finding in check_store(Broken())][-1] == "fail"


class Writer(MemoryStore):
    def delete(self, key: str) -> None:
        raise RefusedError(f"memory: cannot delete {key}: 403")


def test_a_writer_that_may_not_delete_is_as_it_should_be() -> None:
    store = Writer()
    ((level, message),) = found(store)
    assert level == "ok"
    assert "deleting is refused" in message
    assert len(store.objects) == 1


def test_the_probes_of_writers_are_removed_by_who_may() -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    store = MemoryStore(now=lambda: now[0])
    store.put(".holdfast-probe/old", [b"x"])
    now[0] += timedelta(minutes=90)
    store.put(".holdfast-probe/of-another-host-just-now", [b"x"])
    assert [level for level, _ in found(store)] == ["ok"]
    assert list(store.objects) == [".holdfast-probe/of-another-host-just-now"]


def test_a_probe_that_stays_is_told() -> None:
    class Deaf(MemoryStore):
        def delete(self, key: str) -> None:
            del key

    assert found(Deaf()) == [("fail", "memory://memory: still has what was deleted")]


def test_a_store_under_two_names_is_told_from_two_stores(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    stores = {name: LocalStore(name, tmp_path / name) for name in ("a", "link", "b")}
    with world(tmp_path / "home", "postgresql://", stores=stores) as home:
        told = list(one_place.check(home.services, [home.target]))
    assert [(each.level, each.subject) for each in told] == [
        ("fail", "stores a and link"),
        ("ok", "stores a and b"),
        ("ok", "stores link and b"),
    ]
    assert "are one and the same place: a copy there is none" in told[0].message
    assert not any(path.is_file() for path in (tmp_path / "a").rglob("*"))
