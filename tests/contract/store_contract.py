"""The contract of stores.base.Store as a suite: a subclass with the fixture `store` runs it for one adapter."""

from __future__ import annotations

import hashlib
import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from holdfast.model.errors import NotFoundError
from holdfast.stores.base import ExistsError, Store

MIB = 1024 * 1024
HOSTILE = [
    "../x",
    "/x",
    "a//b",
    "a/../b",
    "",
    ".",
    "..",
    "a/.",
    "a/",
    "a\\b",
    "a\x00b",
    "a\nb",
    "caf\u00e9",
    "a/\u202e/b",
]


class SourceBrokeError(Exception):
    """What a dump raises that did not end well."""


def data_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def broken_after(chunks: list[bytes]) -> Iterator[bytes]:
    yield from chunks
    raise SourceBrokeError


class StoreContract:
    """`edge` is a size near which the adapter changes its ways."""

    edge: int = MIB
    many: int = 1100
    atomic_sizes: tuple[int, ...] = (0, 1)  # in edges: where the store itself guards an absent put

    def keys(self, store: Store, prefix: str = "") -> list[str]:
        return [stored.key for stored in store.list(prefix)]

    def fill(self, store: Store, keys: list[str]) -> None:
        """Put many small objects; an adapter may know a quicker way."""
        for key in keys:
            store.put(key, [b"x"])

    @pytest.mark.sampled(5)
    @pytest.mark.parametrize("difference", [-1, 0, 1])
    @pytest.mark.parametrize("times", [0, 1, 2, 3])
    def test_gives_back_what_was_put_at_every_edge(self, store: Store, times: int, difference: int) -> None:
        data = data_of(max(0, times * self.edge + difference))
        store.put("shop/a.dump", iter([data]))
        assert b"".join(store.get("shop/a.dump")) == data
        found = store.stat("shop/a.dump")
        assert found is not None
        assert found.size == len(data)

    def test_keeps_an_object_made_of_no_chunks(self, store: Store) -> None:
        store.put("empty", iter([]))
        assert list(store.get("empty")) in ([], [b""])
        assert self.keys(store) == ["empty"]

    @pytest.mark.parametrize("seed", range(4))
    def test_does_not_care_how_the_bytes_are_cut(self, store: Store, seed: int) -> None:
        rng = random.Random(seed)
        longest = rng.choice([1000, self.edge // 3, self.edge * 2])
        chunks = [rng.randbytes(rng.choice([0, 1, rng.randrange(longest)])) for _ in range(8)]
        store.put("cut", iter(chunks))
        given = b"".join(store.get("cut"))
        assert hashlib.sha256(given).digest() == hashlib.sha256(b"".join(chunks)).digest()

    @pytest.mark.parametrize("seed", range(3))
    def test_gives_any_range_as_a_slice_would(self, store: Store, seed: int) -> None:
        rng = random.Random(seed)
        data = data_of(rng.choice([1, 1000, 2 * MIB + 1]))
        store.put("shop/a.dump", [data])
        for _ in range(12):
            start = rng.choice([0, 1, len(data) - 1, len(data), len(data) + 1, rng.randrange(2 * len(data))])
            length = rng.choice([None, 1, len(data), len(data) + 1, rng.randrange(1, 2 * len(data) + 1)])
            end = None if length is None else start + length
            assert b"".join(store.get("shop/a.dump", start=start, length=length)) == data[start:end]

    def test_an_empty_object_has_an_empty_range(self, store: Store) -> None:
        store.put("empty", [])
        assert b"".join(store.get("empty", length=1)) == b""

    def test_there_is_no_range_of_nothing(self, store: Store) -> None:
        with pytest.raises(NotFoundError, match="a/b"):
            list(store.get("a/b", start=5, length=7))

    @pytest.mark.parametrize(("start", "length"), [(-1, None), (0, 0), (3, -1)])
    def test_refuses_a_range_that_makes_no_sense(self, store: Store, start: int, length: int | None) -> None:
        store.put("a", [b"12345"])
        with pytest.raises(ValueError, match="no range"):
            list(store.get("a", start=start, length=length))

    @pytest.mark.parametrize("parts", [0, 1, 3])
    def test_a_source_that_breaks_leaves_nothing(self, store: Store, parts: int) -> None:
        with pytest.raises(SourceBrokeError):
            store.put("shop/id/a.dump", broken_after([data_of(self.edge)] * parts))
        assert store.stat("shop/id/a.dump") is None
        assert self.keys(store) == []
        with pytest.raises(NotFoundError):
            list(store.get("shop/id/a.dump"))

    @pytest.mark.parametrize("parts", [0, 3])
    def test_a_source_that_breaks_leaves_the_old_value(self, store: Store, parts: int) -> None:
        store.put("a", [b"old"])
        with pytest.raises(SourceBrokeError):
            store.put("a", broken_after([data_of(self.edge)] * parts))
        assert b"".join(store.get("a")) == b"old"

    @pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, OSError])
    def test_any_error_of_the_source_goes_through_as_it_is(
        self, store: Store, error: type[BaseException]
    ) -> None:
        def source() -> Iterator[bytes]:
            yield data_of(2 * self.edge)
            raise error

        with pytest.raises(error):
            store.put("a", source())
        assert self.keys(store) == []

    def test_a_later_put_replaces_the_object(self, store: Store) -> None:
        store.put("a", [data_of(self.edge * 2)])
        store.put("a", [b"new"])
        assert b"".join(store.get("a")) == b"new"
        assert self.keys(store) == ["a"]

    @pytest.mark.parametrize("size", [3, 2 * MIB])
    def test_an_absent_put_makes_a_new_object(self, store: Store, size: int) -> None:
        store.put("a/b", [data_of(size)], absent=True)
        assert b"".join(store.get("a/b")) == data_of(size)

    @pytest.mark.parametrize("times", [0, 3])
    def test_an_absent_put_on_a_taken_key_keeps_the_old(self, store: Store, times: int) -> None:
        store.put("a", [b"old"])
        with pytest.raises(ExistsError):
            store.put("a", [data_of(times * self.edge + 1)], absent=True)
        assert b"".join(store.get("a")) == b"old"

    def test_an_absent_put_sees_an_object_that_came_meanwhile(self, store: Store) -> None:
        def slow() -> Iterator[bytes]:
            yield b"mine"
            store.put("a", [b"theirs"])

        with pytest.raises(ExistsError):
            store.put("a", slow(), absent=True)
        assert b"".join(store.get("a")) == b"theirs"

    @pytest.mark.parametrize("times", [0, 1])
    def test_one_of_many_absent_puts_at_once_wins(self, store: Store, times: int) -> None:
        starters = 4
        barrier = threading.Barrier(starters, timeout=30)

        def attempt(number: int) -> bool:
            def source() -> Iterator[bytes]:
                barrier.wait()
                yield bytes([number]) * (times * self.edge + 1)

            try:
                store.put("lease", source(), absent=True)
            except ExistsError:
                return False
            return True

        with ThreadPoolExecutor(starters) as pool:
            won = list(pool.map(attempt, range(starters)))
        assert won.count(True) == 1 or (won.count(True) > 1 and times not in self.atomic_sizes)
        (holder,) = set(b"".join(store.get("lease")))
        assert won[holder]

    def test_tells_size_and_time(self, store: Store) -> None:
        store.put("a/b", [b"12345"])
        found = store.stat("a/b")
        assert found is not None
        assert (found.key, found.size) == ("a/b", 5)
        assert abs(datetime.now(UTC) - found.modified_at) < timedelta(minutes=2)
        assert [found.key for found in store.list()] == ["a/b"]
        assert next(store.list()).size == 5

    def test_there_is_nothing_where_nothing_was_put(self, store: Store) -> None:
        assert store.stat("a") is None
        assert store.stat("a/b/c") is None
        assert list(store.list()) == []
        assert list(store.list("a/")) == []
        with pytest.raises(NotFoundError, match="a/b"):
            list(store.get("a/b"))
        store.delete("a/b")

    @pytest.mark.parametrize(
        ("prefix", "expected"),
        [
            ("", ["a-b/c", "a.b", "a/b/c", "a/bc", "a0", "b"]),
            ("a", ["a-b/c", "a.b", "a/b/c", "a/bc", "a0"]),
            ("a/", ["a/b/c", "a/bc"]),
            ("a/b", ["a/b/c", "a/bc"]),
            ("a/b/", ["a/b/c"]),
            ("a/b/c", ["a/b/c"]),
            ("a/b/c/", []),
            ("b", ["b"]),
            ("c", []),
        ],
    )
    def test_lists_by_prefix_in_order_of_keys(self, store: Store, prefix: str, expected: list[str]) -> None:
        for key in ("b", "a/bc", "a0", "a.b", "a/b/c", "a-b/c"):
            store.put(key, [key.encode()])
        assert self.keys(store, prefix) == expected

    def test_lists_more_than_a_page(self, store: Store) -> None:
        expected = sorted(f"t/{number % 7}/{number}" for number in range(self.many))
        self.fill(store, expected)
        assert self.keys(store, "t/") == expected

    def test_a_listing_tells_another_checksum_of_other_bytes(self, store: Store) -> None:
        def told() -> str | None:
            (found,) = store.list()
            return found.checksum

        store.put("k", [b"one"])
        before = told()
        assert told() == before
        store.delete("k")
        store.put("k", [b"two"])
        changed = b"".join(store.get("k")) != b"one"  # not where the oldest version is the truth
        assert before is None or (told() != before) is changed

    def test_deleting_twice_is_no_error(self, store: Store) -> None:
        store.put("a/b/c", [b"x"])
        store.put("a/b/d", [b"y"])
        store.delete("a/b/c")
        store.delete("a/b/c")
        assert self.keys(store) == ["a/b/d"]

    @pytest.mark.parametrize("key", HOSTILE)
    def test_refuses_a_key_that_leaves_or_confuses(self, store: Store, key: str) -> None:
        uses: list[Callable[[], object]] = [
            lambda: store.put(key, [b"x"]),
            lambda: list(store.get(key)),
            lambda: store.stat(key),
            lambda: store.delete(key),
        ]
        for use in uses:
            with pytest.raises(ValueError, match="not a key"):
                use()

    @pytest.mark.parametrize("prefix", ["../", "/", "a//", "a/../", "\\", "\u00e9"])
    def test_refuses_a_prefix_that_leaves(self, store: Store, prefix: str) -> None:
        with pytest.raises(ValueError, match="not a key"):
            list(store.list(prefix))

    def test_a_reader_may_stop_half_way(self, store: Store) -> None:
        store.put("a", [data_of(3 * MIB)])
        reader = store.get("a")
        assert next(reader)
        reader.close()  # type: ignore[attr-defined]
        assert b"".join(store.get("a")) == data_of(3 * MIB)

    def test_chunks_are_small_enough_to_hold_many(self, store: Store) -> None:
        store.put("a", [data_of(3 * MIB)])
        assert max(len(chunk) for chunk in store.get("a")) <= MIB

    def test_may_be_used_from_several_threads(self, store: Store) -> None:
        def use(number: int) -> bool:
            key = f"dir{number % 2}/{number}"
            for _ in range(5):
                store.put(key, [key.encode() * 100])
                whole = b"".join(store.get(key)) == key.encode() * 100
                store.delete(key)
            return whole and store.stat(key) is None

        with ThreadPoolExecutor(4) as pool:
            assert all(pool.map(use, range(8)))
        assert self.keys(store) == []
