"""The wrappers around a store: they keep its contract, and do what they are for."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.store_contract import StoreContract
from holdfast.model.errors import NotFoundError, StoreError
from holdfast.stores.base import ExistsError, RefusedError, Store, Stored, housekeeping, space
from holdfast.stores.limited import LimitedStore, Meter
from holdfast.stores.local import LocalStore
from holdfast.stores.read_only import ReadOnlyStore
from holdfast.stores.retrying import RetryingStore
from holdfast.stores.versioned import VersionedStore
from support.locked_store import LockedStore
from support.memory_store import MemoryStore

MIB = 1024 * 1024


class TestLimitedStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return LimitedStore(MemoryStore(), Meter(1e12))


class TestRetryingStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        return RetryingStore(MemoryStore(), patience=5, pause=0.001)


class Once:
    """Every key is written once, and counts."""

    def of(self, key: str) -> str:
        return f"{key.rpartition('/')[0]}/".lstrip("/")

    def count(self, folder: str, *, written: Collection[str], there: Collection[str]) -> bool:
        return bool(folder or written or there)


class TestVersionedStore(StoreContract):
    @pytest.fixture
    def store(self) -> Store:
        inner = LockedStore(rule=None)
        return VersionedStore(inner, inner.locks(), Once())


class Away(MemoryStore):
    """Fails the next `failures` times: before it does anything, or in the middle of it."""

    def __init__(self, failures: int, *, landing: bool = False) -> None:
        super().__init__(chunk_bytes=10)
        self.failures = failures
        self.landing = landing
        self.calls = 0

    def _fail(self) -> None:
        self.calls += 1
        if self.failures:
            self.failures -= 1
            raise StoreError("the store is away")

    def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
        if self.landing:
            done = super().put(key, chunks, absent=absent)
            self._fail()
            return done
        data = list(chunks)
        self._fail()
        return super().put(key, data, absent=absent)

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        chunks = super().get(key, start=start, length=length)
        for number, chunk in enumerate(chunks):
            if number == 2:
                self._fail()
            yield chunk

    def stat(self, key: str) -> Stored | None:
        return super().stat(key)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        for number, found in enumerate(super().list(prefix)):
            if number == 2:
                self._fail()
            yield found

    def delete(self, key: str) -> None:
        self._fail()
        super().delete(key)


def patient(store: Store) -> RetryingStore:
    return RetryingStore(store, patience=5, pause=0.001)


@pytest.mark.fault("store.passing")
def test_what_passes_is_survived() -> None:
    away = Away(0)
    store = patient(away)
    data = bytes(range(100))
    store.put("a", [data])
    for number in range(5):
        store.put(f"b/{number}", [b"x"])
    away.failures = 3
    assert b"".join(store.get("a")) == data
    away.failures = 3
    assert b"".join(store.get("a", start=7, length=60)) == data[7:67]
    away.failures = 3
    assert [found.key for found in store.list("b/")] == [f"b/{number}" for number in range(5)]
    away.failures = 3
    store.delete("a")
    assert store.stat("a") is None


def test_chunks_that_can_be_given_again_are() -> None:
    away = Away(2)
    patient(away).put("a", [b"1", b"2"])
    assert away.objects == {"a": b"12"}


def test_a_stream_that_was_begun_is_not_given_again() -> None:
    away = Away(1)
    with pytest.raises(StoreError, match="away"):
        patient(away).put("a", iter([b"1"]))
    assert away.calls == 1


def test_an_absent_put_whose_answer_got_lost_is_ours() -> None:
    away = Away(1, landing=True)
    assert patient(away).put("a", [b"ours"], absent=True) is False
    assert away.objects == {"a": b"ours"}


def test_an_absent_put_that_another_writer_won_is_not() -> None:
    class Raced(Away):
        def put(self, key: str, chunks: Iterable[bytes], *, absent: bool = False) -> bool:
            if self.failures:
                self.objects[key] = b"theirs"
            return super().put(key, chunks, absent=absent)

    with pytest.raises(ExistsError):
        patient(Raced(1)).put("a", [b"ours"], absent=True)


def test_what_does_not_pass_fails_after_the_deadline_and_once_when_hurried() -> None:
    away = Away(10**6)
    store = RetryingStore(away, patience=0.3, pause=0.01)
    started = time.monotonic()
    with pytest.raises(StoreError, match="away"):
        store.delete("a")
    assert 0.05 < time.monotonic() - started < 3
    assert away.calls > 2
    calls = away.calls
    store.hurry()
    with pytest.raises(StoreError, match="away"):
        store.delete("a")
    assert away.calls == calls + 1


def test_two_objects_are_never_mixed() -> None:
    away = Away(0)
    store = patient(away)
    store.put("a", [bytes(100)])
    reader = store.get("a")
    next(reader)
    away.put("a", [b"1" * 90])
    away.failures = 1
    with pytest.raises(StoreError, match="changed or deleted while it was read"):
        list(reader)


def test_a_refusal_is_not_tried_again() -> None:
    class Refusing(MemoryStore):
        calls = 0

        def delete(self, key: str) -> None:
            self.calls += 1
            raise RefusedError(f"no {key}")

    inner = Refusing()
    with pytest.raises(RefusedError):
        patient(inner).delete("a")
    assert inner.calls == 1


class Time:
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_limit_holds_over_both_ways_together() -> None:
    clock = Time()
    store = LimitedStore(MemoryStore(), Meter(1000, now=clock, sleep=clock.sleep))
    store.put("a", iter([bytes(100)] * 50))
    assert b"".join(store.get("a")) == bytes(5000)
    assert clock.now == pytest.approx(9, abs=0.3)  # 10,000 bytes, and one second's worth at once


def test_a_store_that_rested_gives_one_seconds_worth_at_once_and_no_more() -> None:
    clock = Time()
    meter = Meter(1000, now=clock, sleep=clock.sleep)
    clock.now = 3600.0
    meter.take(1000)
    assert clock.now == 3600.0
    meter.take(500)
    assert clock.now == pytest.approx(3600.5)


def test_a_limit_is_shared_by_threads_for_real() -> None:
    store = LimitedStore(MemoryStore(), Meter(1_000_000))
    started = time.monotonic()
    threads = [
        threading.Thread(target=store.put, args=(f"k{number}", [bytes(100_000)] * 5)) for number in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started > 0.45


def test_nothing_is_held_back_when_the_work_is_to_end() -> None:
    meter = Meter(10.0)
    threading.Timer(0.1, meter.hurry).start()
    started = time.monotonic()
    meter.take(10**6)
    meter.take(10**6)
    assert time.monotonic() - started < 5


@pytest.fixture
def shown(tmp_path: Path) -> ReadOnlyStore:
    inner = LocalStore("disk", tmp_path)
    inner.put("a", [b"12345"])
    return ReadOnlyStore(inner)


def test_a_read_only_store_gives_what_is_there(shown: ReadOnlyStore) -> None:
    assert b"".join(shown.get("a", start=1, length=3)) == b"234"
    assert shown.stat("a") is not None
    assert [found.key for found in shown.list()] == ["a"]
    with pytest.raises(NotFoundError):
        list(shown.get("b"))
    assert space(shown) is not None


def test_a_read_only_store_refuses_every_change(shown: ReadOnlyStore) -> None:
    asked = False

    def source() -> Iterator[bytes]:
        nonlocal asked
        asked = True
        yield b"x"

    for change in (lambda: shown.put("b", source()), lambda: shown.delete("a")):
        with pytest.raises(RefusedError, match="the store is read-only") as caught:
            change()
        assert "read_only" in (caught.value.hint or "")
        assert not caught.value.retryable
    assert not asked
    with pytest.raises(ValueError, match="not a key"):
        shown.delete("../a")
    assert [found.key for found in shown.list()] == ["a"]


def test_a_read_only_store_hides_what_would_change_it(shown: ReadOnlyStore) -> None:
    assert housekeeping(shown) is None
    inner = shown.inner
    assert (keeper := housekeeping(inner)) is not None
    assert keeper.abort_stale("", datetime.now(UTC)) == 0
    assert housekeeping(LimitedStore(inner, Meter(1e6))) is not None
