"""Every data block of an archive is found, whatever lies in its rows, and nobody who writes rows can fake one."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres.archive import TocReader, watch
from holdfast.postgres.blocks import BlockFinder, dump_note, parse_note, watch_blocks
from support.archives import Item, archive, number
from support.streams import cut, cuttings

ROWS = st.lists(st.binary(min_size=1, max_size=20).map(lambda row: row.replace(b"\0", b"0")), max_size=6)
OBJECTS = st.lists(
    st.tuples(st.integers(1, 2**32 - 1), st.lists(st.binary(min_size=1, max_size=20), max_size=4)), max_size=4
)


def oid(value: int) -> bytes:
    return number(value if value < 2**31 else value - 2**32)


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(number(len(piece)) + piece for piece in pieces) + number(0)


def table(dump_id: int, rows: list[bytes]) -> bytes:
    return b"\1" + number(dump_id) + chunked(rows)


def large_objects(dump_id: int, objects: list[tuple[int, list[bytes]]]) -> bytes:
    return b"\3" + number(dump_id) + b"".join(oid(o) + chunked(pieces) for o, pieces in objects) + number(0)


def toc(count: int, *, compression: int = 0) -> bytes:
    return archive(*[Item(desc="TABLE DATA", has_data=True)] * count, compression=compression, minor=16)


def found_in(data: bytes, sizes: list[int] | None = None) -> BlockFinder:
    reader = TocReader()
    finder = BlockFinder(reader)
    chunks = cut(data, sizes or [len(data)])
    assert b"".join(watch_blocks(watch(chunks, reader), finder)) == data
    return finder


BLOCKS = ROWS.map(lambda rows: partial(table, rows=rows)) | OBJECTS.map(
    lambda objects: partial(large_objects, objects=objects)
)


@settings(deadline=None)
@given(st.lists(BLOCKS, max_size=5), cuttings(30), st.sampled_from([0, 1, 3]))
def test_every_block_is_found_however_the_archive_is_cut(
    blocks: list[Callable[[int], bytes]], sizes: list[int], compression: int
) -> None:
    data, expected = toc(len(blocks), compression=compression), {}
    for dump_id, block in enumerate(blocks, start=1):
        expected[dump_id] = len(data)
        data += block(dump_id)
    finder = found_in(data, sizes)
    assert finder.found == expected
    assert finder.size == len(data)


def test_rows_that_pg_dump_compressed_may_hold_anything() -> None:
    head, block = toc(2, compression=1), table(1, [bytes(20), table(2, [b"fake"])])
    assert found_in(head + block + table(2, [b"row\n"])).found == {1: len(head), 2: len(head + block)}


@pytest.mark.parametrize("length", [1, 255, 256, 2**16, 2**24, 2**24 + 256])
@pytest.mark.parametrize("dump_id", [1, 256])
def test_lengths_that_are_nearly_all_zeros_end_no_block(length: int, dump_id: int) -> None:
    head = toc(257)
    data = head + table(dump_id, [b"x" * length, b"y"]) + table(257, [])
    for sizes in ([len(data)], [len(head) + 6, 1, 1, 1, 1, 1, len(data)]):
        assert found_in(data, sizes).found == {dump_id: len(head), 257: len(data) - 11}


@pytest.mark.parametrize("compression", [0, 1])
def test_a_large_object_cannot_fake_a_block(compression: int) -> None:
    """Its owner chooses every byte of it, and knows what follows in an archive."""
    fake = number(0) + number(0) + table(2, [b"0\tevil\n"]) + b"\3" + number(3) + oid(5)
    head = toc(3, compression=compression)
    hostile, good = large_objects(1, [(5, [fake, fake])]), table(2, [b"1\tgood\n"])
    finder = found_in(head + hostile + good + table(3, []))
    assert finder.found == {1: len(head), 2: len(head + hostile), 3: len(head + hostile + good)}


@pytest.mark.parametrize(
    "strange",
    [
        b"\2" + number(2),  # a type that nobody knows
        b"\1" + number(9),  # an entry that is not there
        b"\1" + number(1),  # the same entry again
        b"\1" + number(-2),
        b"garbage" * 10,
    ],
)
def test_what_is_not_understood_ends_the_search_and_nothing_else(strange: bytes) -> None:
    head = toc(3)
    data = head + table(1, [b"row\n"]) + strange + table(2, [b"row\n"])
    assert found_in(data).found == {1: len(head)}


def test_an_archive_with_other_numbers_is_passed_on_unsearched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("support.archives.INT_SIZE", 8)
    assert found_in(toc(1) + table(1, [b"row\n"])).found == {}


@given(st.dictionaries(st.integers(1, 2**31 - 1), st.integers(0, 2**63 - 1)))
def test_the_note_says_what_was_found(found: dict[int, int]) -> None:
    assert parse_note(dump_note(found)) == found


def test_the_note_of_many_tables_is_small() -> None:
    assert len(dump_note({number: number * 1000 for number in range(100_000)})) < 1_250_000


@pytest.mark.parametrize("note", [b"", b"pgblocks\2" + bytes(12), b"another kind of note"])
def test_a_note_of_another_kind_tells_of_no_blocks(note: bytes) -> None:
    assert parse_note(note) == {}


@pytest.mark.parametrize("cut_by", [1, 11])
def test_a_damaged_note_is_refused(cut_by: int) -> None:
    with pytest.raises(IntegrityError, match="note"):
        parse_note(dump_note({1: 2, 3: 4})[:-cut_by])


def test_a_note_is_read_as_the_reference_says() -> None:
    assert parse_note(b"pgblocks\1" + struct.pack("<IQ", 7, 2**40)) == {7: 2**40}
