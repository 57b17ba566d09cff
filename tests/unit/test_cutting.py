from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres.archive import read_toc
from holdfast.postgres.cutting import cut, cut_head, cut_ranges, data_ranges, held_back, moved_last
from holdfast.postgres.entries import Entry
from support.archives import Item, archive, head, item, number

ROWS = st.lists(st.binary(min_size=1, max_size=30).map(lambda b: b.replace(b"\0", b"\1")), max_size=4)
LARGE = st.lists(
    st.tuples(st.integers(1, 2**31 - 1), st.lists(st.binary(min_size=1, max_size=40), max_size=3)), max_size=3
)


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(number(len(piece)) + piece for piece in pieces) + number(0)


def table_block(dump_id: int, rows: list[bytes]) -> bytes:
    return b"\1" + number(dump_id) + chunked(rows)


def large_block(dump_id: int, objects: list[tuple[int, list[bytes]]]) -> bytes:
    return b"\3" + number(dump_id) + b"".join(number(o) + chunked(d) for o, d in objects) + number(0)


def data_item(place: int) -> Item:
    return Item(desc="TABLE DATA", tag=f"t{place}", section=3, has_data=True, table_oid=0)


def whole(blocks: list[bytes], *, compression: int = 0) -> tuple[bytes, list[int]]:
    """Give an archive with a table for each block, and where the blocks begin. The data has the dump ids 1, 2, …"""
    data = archive(*(data_item(place) for place in range(len(blocks))), compression=compression)
    starts = []
    for block in blocks:
        starts.append(len(data))
        data += block
    return data, starts


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def chosen(data: bytes, which: set[int]) -> tuple[Entry, ...]:
    return tuple(entry for entry in read_toc([data]).entries if entry.dump_id in which)


@given(
    tables=st.lists(ROWS, min_size=1, max_size=5),
    large=LARGE,
    compression=st.sampled_from([0, 6]),
    size=st.integers(1, 200),
    data=st.data(),
)
def test_what_is_cut_out_is_as_if_nothing_else_had_been_dumped(
    tables: list[list[bytes]],
    large: list[tuple[int, list[bytes]]],
    compression: int,
    size: int,
    data: st.DataObject,
) -> None:
    blocks = [table_block(place, rows) for place, rows in enumerate(tables, start=1)]
    blocks.append(large_block(len(blocks) + 1, large))
    which = data.draw(st.sets(st.integers(1, len(blocks))))
    stream, starts = whole(blocks, compression=compression)
    toc, entries = read_toc([stream]), chosen(stream, which)
    expected = (
        head(count=len(which), compression=compression)
        + b"".join(item(14, number, data_item(number - 1)) for number in sorted(which))
        + b"".join(blocks[number - 1] for number in sorted(which))
    )

    assert b"".join(cut(pieces(stream, size), toc, entries)) == expected

    places = dict(enumerate(starts, start=1))
    read = lambda start, end: pieces(stream[start:end], size)  # noqa: E731 - as short as it gets
    assert b"".join(cut_ranges(read, toc, entries, places, len(stream))) == expected
    assert (
        cut_head(pieces(stream, size), toc, entries)
        + b"".join(stream[start:end] for start, end in data_ranges(entries, places, len(stream)))
        == expected
    )


@given(rows=st.lists(ROWS, min_size=1, max_size=3), data=st.data())
def test_an_archive_that_ends_too_early_is_noticed(rows: list[list[bytes]], data: st.DataObject) -> None:
    stream, starts = whole([table_block(place, each) for place, each in enumerate(rows, start=1)])
    toc = read_toc([stream])
    end = data.draw(st.integers(0, len(stream) - 1))
    if end in starts:
        return  # between two blocks nothing shows: that every byte came is for the digest to say
    with pytest.raises(IntegrityError, match="ends too early"):
        list(cut(pieces(stream[:end], 7), toc, toc.entries))


def test_a_block_of_an_unknown_kind_is_refused() -> None:
    stream, _ = whole([b"\7" + number(1) + number(0)])
    with pytest.raises(IntegrityError, match="unknown kind 7"):
        list(cut([stream], read_toc([stream]), ()))


def test_a_data_offset_does_not_survive_the_cut() -> None:
    stream, _ = whole([table_block(1, [b"x"])])
    toc = read_toc([stream])
    (entry,) = toc.entries
    place = entry.end - 9
    changed = stream[:place] + b"\2" + b"\x11" * 8 + stream[entry.end :]
    assert b"".join(cut([changed], toc, toc.entries)) == stream


def test_nobody_has_the_last_byte_before_the_source_ended_well() -> None:
    got: list[bytes] = []

    def source() -> Iterator[bytes]:
        yield b"rows of"
        yield b""
        yield b" a table"
        raise IntegrityError("not what was written")

    with pytest.raises(IntegrityError):
        got.extend(held_back(source()))
    assert b"".join(got) == b"rows of a tabl"
    assert b"".join(held_back([b"a", b"", b"bc"])) == b"abc"
    assert b"".join(held_back([])) == b""


def test_the_cut_reads_its_source_to_the_end() -> None:
    stream, _ = whole([table_block(1, [b"x"]), table_block(2, [b"y"])])
    toc = read_toc([stream])
    ended = []

    def source() -> Iterator[bytes]:
        yield from pieces(stream, 10)
        ended.append(True)

    list(cut(source(), toc, toc.entries[:1]))
    assert ended


@given(late=st.sets(st.integers(1, 4)), size=st.integers(1, 300))
def test_entries_are_moved_to_the_end_and_nothing_is_changed(late: set[int], size: int) -> None:
    data, _ = whole([table_block(dump_id, [b"rows of %d" % dump_id]) for dump_id in range(1, 5)])
    moved = b"".join(moved_last(pieces(data, size), lambda entry: entry.dump_id in late))
    before, after = read_toc([data]), read_toc([moved])
    assert [entry.dump_id for entry in after.entries] == [
        *(number for number in range(1, 5) if number not in late),
        *sorted(late),
    ]
    assert (len(moved), moved[after.end :]) == (len(data), data[before.end :])
    assert {e.dump_id: moved[e.start : e.end] for e in after.entries} == {
        e.dump_id: data[e.start : e.end] for e in before.entries
    }


@given(data=st.binary(max_size=300), size=st.integers(1, 300))
def test_what_is_not_understood_goes_on_as_it_is(data: bytes, size: int) -> None:
    assert b"".join(moved_last(pieces(data, size), lambda _: True)) == data
