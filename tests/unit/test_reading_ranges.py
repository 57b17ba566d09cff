"""A piece of a part is what a full read gives there; what is not as it was written raises, and says where."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.jobs import reading, writing
from holdfast.jobs.reading import Ranged, ranged
from holdfast.jobs.services import Keys
from holdfast.methods.base import Source
from holdfast.model.backup import Part
from holdfast.model.errors import IntegrityError, KeyFileError
from holdfast.model.target import Compression
from holdfast.postgres.blocks import dump_note
from holdfast.stores.base import NoRangesError
from holdfast.streams import age_keys
from support.frames import frames_of, small_frames
from support.memory_store import MemoryStore

IDENTITY = age_keys.generate()
KEYS = Keys(recipients=(IDENTITY.recipient,), identities=(IDENTITY,))
DATA = random.Random(3).randbytes(500_000) + bytes(500_000)
FOUND = {7: 0, 2: 123_456, 5: 999_999}
KIB = 1024


class Watched(MemoryStore):
    """A store that remembers which ranges it gave."""

    def __init__(self) -> None:
        super().__init__(vouches=True)
        self.asked: list[tuple[str, int, int | None]] = []

    def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        self.asked.append((key, start, length))
        return super().get(key, start=start, length=length)


def place(store: MemoryStore) -> writing.Place:
    return writing.Place(store=store, target="shop", backup_id="20261122T020000Z-7f3a")


def written(
    store: MemoryStore,
    data: bytes = DATA,
    *,
    note: Callable[[], bytes] | None = lambda: dump_note(FOUND),
    encrypted: bool = True,
    compression: Compression | None = None,
) -> Part:
    source = Source(
        role="database", format="custom", stem="app", database="app", chunks=iter([data]), note=note
    )
    with small_frames(64 * KIB):
        return writing.write_part(
            place(store),
            source,
            recipients=KEYS.recipients if encrypted else (),
            compression=compression or Compression(),
            on_bytes=lambda _: None,
        )


def opened(store: MemoryStore, part: Part) -> Ranged:
    found = ranged(place(store), part, KEYS)
    assert found is not None
    return found


@pytest.fixture
def segmented(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.model.layout.SEGMENT_BYTES", 100_000)


STORE = Watched()
PART = written(STORE)


@settings(deadline=None)
@given(st.lists(st.integers(0, len(DATA)), min_size=2, max_size=2).map(sorted))
def test_any_range_is_the_slice(bounds: list[int]) -> None:
    start, end = bounds
    assert b"".join(opened(STORE, PART).read(start, end)) == DATA[start:end]


@pytest.mark.usefixtures("segmented")
@pytest.mark.parametrize(("start", "end"), [(0, len(DATA)), (60_000, 330_000), (499_000, 499_001)])
def test_a_range_may_span_segments(start: int, end: int) -> None:
    store = Watched()
    part = written(store)
    assert len(part.segments) > 4
    assert b"".join(opened(store, part).read(start, end)) == DATA[start:end]


def test_the_size_and_the_blocks_are_told() -> None:
    found = opened(STORE, PART)
    assert (found.size, dict(found.blocks)) == (len(DATA), FOUND)


def test_a_part_without_a_note_has_ranges_and_no_blocks() -> None:
    store = Watched()
    found = opened(store, written(store, note=None))
    assert dict(found.blocks) == {}
    assert b"".join(found.read(5, 9)) == DATA[5:9]


def test_a_note_of_data_behind_the_end_is_refused() -> None:
    store = MemoryStore()
    part = written(store, note=lambda: dump_note({7: len(DATA)}))
    with pytest.raises(IntegrityError, match=r"memory://memory: shop/.*behind its end"):
        ranged(place(store), part, KEYS)


def test_a_small_range_costs_one_request_of_its_frames() -> None:
    found = opened(STORE, PART)
    STORE.asked.clear()
    assert b"".join(found.read(200_000, 300_000)) == DATA[200_000:300_000]
    ((_, _, length),) = STORE.asked
    assert length is not None
    assert length < 4 * 64 * KIB  # three frames, which do not compress, and the chunks around them
    assert opened(STORE, PART) is not None
    assert sum(length or 0 for _, _, length in STORE.asked) < PART.stored_size


def test_nothing_is_read_before_it_is_asked_for() -> None:
    found = opened(STORE, PART)
    STORE.asked.clear()
    reader = found.read(0, found.size)
    assert STORE.asked == []
    assert next(reader) == DATA[: 64 * KIB]


@pytest.mark.parametrize(
    "change",
    [
        lambda part: replace(part, header_sha256=None),
        lambda part: replace(part, recipients=()),
        lambda part: replace(part, codec="none"),
        lambda part: replace(part, size=part.size + 1),
    ],
)
def test_a_part_that_is_not_to_be_read_in_pieces_is_none(change: Callable[[Part], Part]) -> None:
    assert ranged(place(STORE), change(PART), KEYS) is None


def test_an_unencrypted_part_is_none() -> None:
    store = MemoryStore()
    assert ranged(place(store), written(store, encrypted=False), KEYS) is None


def test_an_uncompressed_part_is_none() -> None:
    store = MemoryStore()
    part = written(store, compression=Compression(kind="none"))
    assert ranged(place(store), part, KEYS) is None


def test_a_part_of_a_single_frame_without_a_table_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("holdfast.streams.seekable.table", lambda _: b"")
    store = MemoryStore()
    part = written(store, note=None)
    assert ranged(place(store), part, KEYS) is None
    assert b"".join(reading.plain_chunks(place(store), part, KEYS)) == DATA


def test_a_store_that_gives_whole_objects_only_is_none() -> None:
    class Whole(MemoryStore):
        def get(self, key: str, *, start: int = 0, length: int | None = None) -> Iterator[bytes]:
            if start or length is not None:
                raise NoRangesError("memory://memory: whole objects only")
            return super().get(key)

    store = Whole()
    part = written(store)
    assert ranged(place(store), part, KEYS) is None


def test_a_part_that_a_stranger_encrypted_to_us_is_refused() -> None:
    ours, theirs = MemoryStore(), MemoryStore()
    part = written(ours)
    written(theirs, b"CREATE FUNCTION evil")
    ours.objects = theirs.objects
    with pytest.raises(IntegrityError, match=r"memory://memory: shop/.*not the one that was written"):
        ranged(place(ours), part, KEYS)


def test_without_the_identity_the_error_names_the_part() -> None:
    keys = replace(KEYS, identities=(age_keys.generate(),))
    with pytest.raises(KeyFileError, match=r"memory://memory: shop/.*app\.dump\.zst\.age: .*does not open"):
        ranged(place(STORE), PART, keys)


@pytest.mark.usefixtures("segmented")
def test_a_missing_segment_is_named() -> None:
    store = Watched()
    part = written(store)
    found = opened(store, part)
    del store.objects[place(store).key(part.segments[2].name)]
    assert b"".join(found.read(0, 100)) == DATA[:100]
    with pytest.raises(IntegrityError, match=r"memory://memory: shop/.*age\.0003 is missing"):
        list(found.read(0, found.size))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, PART.stored_size - 1), st.integers(0, 7))
def test_a_flipped_bit_never_gives_another_byte(at: int, bit: int) -> None:
    store = MemoryStore()
    (key,) = STORE.objects
    damaged = bytearray(STORE.objects[key])
    damaged[at] ^= 1 << bit
    store.objects[key] = bytes(damaged)
    pieces: list[bytes] = []
    with pytest.raises(IntegrityError, match=f"^memory://memory: {re.escape(key)}"):
        pieces.extend(opened(store, PART).read(0, PART.size))
    assert DATA.startswith(b"".join(pieces))


@settings(deadline=None, max_examples=40)
@given(st.integers(0, PART.stored_size - 1))
def test_a_truncated_object_raises(end: int) -> None:
    store = MemoryStore()
    (key,) = STORE.objects
    store.objects[key] = STORE.objects[key][:end]
    with pytest.raises(IntegrityError, match=r"memory://memory: shop/.* is shorter than what was written"):
        opened(store, PART)


def test_an_unencrypted_part_cut_between_two_frames_is_noticed_by_its_digest() -> None:
    store = MemoryStore()
    part = written(store, encrypted=False)
    (key,) = store.objects
    store.objects[key] = frames_of(store.objects[key])[0]
    with pytest.raises(IntegrityError, match="not what was written"):
        list(reading.plain_chunks(place(store), part, KEYS))
