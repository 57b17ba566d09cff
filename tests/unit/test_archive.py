from __future__ import annotations

import contextlib
import tracemalloc
from collections.abc import Iterator
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres.archive import (
    TocReader,
    UnsupportedArchiveError,
    read_toc,
    watch,
)
from holdfast.postgres.entries import data_tables, defined_tables
from support.archives import Item, archive, head, item, number

ITEMS = (
    Item(tag="büch er\n", owner="o'wner", dependencies=(7, 8)),
    Item(desc="TABLE DATA", section=3, has_data=True, oid=16384, table_oid=0, namespace=None),
    Item(desc="INDEX", section=4, oid=16999, definition="x" * 5000),
    Item(desc="COMMENT", section=1, oid=0, table_oid=0),
)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("minor", [12, 13, 14, 15, 16])
def test_every_known_version_is_read(minor: int) -> None:
    toc = read_toc([archive(*ITEMS, minor=minor)])
    assert toc.header.version == f"1.{minor}"
    assert (toc.header.database, toc.header.server_version, toc.header.dump_version) == (
        "app",
        "15.18",
        "15.18 (Debian)",
    )
    first, second, third, fourth = toc.entries
    assert (first.dump_id, first.tag, first.owner, first.dependencies) == (1, "büch er\n", "o'wner", (7, 8))
    assert (second.desc, second.has_data, second.namespace, second.section) == (
        "TABLE DATA",
        True,
        None,
        "data",
    )
    assert (third.oid, third.section, fourth.section) == (16999, "post-data", "none")


@pytest.mark.parametrize(
    ("minor", "value", "said"),
    [(14, 0, "none"), (14, -1, "gzip"), (14, 6, "gzip"), (16, 0, "none"), (16, 3, "zstd")],
)
def test_the_compression_is_told(minor: int, value: int, said: str) -> None:
    assert read_toc([archive(minor=minor, compression=value)]).header.compression == said


@given(st.integers(1, 400))
def test_the_size_of_the_chunks_makes_no_difference(size: int) -> None:
    data = archive(*ITEMS)
    assert read_toc(pieces(data, size)) == read_toc([data])


@given(st.integers(0, len(archive(*ITEMS)) - 1), st.integers(1, 400))
def test_any_truncation_is_an_integrity_error(length: int, size: int) -> None:
    with pytest.raises(IntegrityError, match="nightly: not a custom-format archive"):
        read_toc(pieces(archive(*ITEMS)[:length], size), where="nightly")


@pytest.mark.fault("fuzz")
@given(st.binary(max_size=300))
def test_arbitrary_bytes_are_an_integrity_error(data: bytes) -> None:
    for prefix in (b"", b"PGDMP", b"PGDMP\x01\x0e\x00\x04\x08\x01", head(16, count=3)):
        with pytest.raises(IntegrityError):
            read_toc([prefix + data])


@pytest.mark.fault("fuzz")
@given(st.data())
def test_a_flipped_byte_is_read_or_an_integrity_error(data: st.DataObject) -> None:
    raw = bytearray(archive(*ITEMS, minor=16))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(IntegrityError):
        assert read_toc([bytes(raw)]).header.version.startswith("1.")


@pytest.mark.parametrize(
    "hostile",
    [
        head(count=2**31 - 1),
        head(count=-1),
        head(count=1) + number(1) + number(0) + number(2**31 - 1),
        head(count=1) + item(14, 1, Item()).replace(b"1259", b"12x9"),
        head(count=1) + item(14, -5, Item()),
        head(count=1) + item(14, 1, Item(section=9)),
    ],
)
def test_insane_values_are_refused_without_allocating(hostile: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(IntegrityError):
            read_toc([hostile])
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_definitions_are_not_kept() -> None:
    def long_definition() -> Iterator[bytes]:
        whole = archive(Item(definition="x"), Item(desc="VIEW"))
        before, after = whole.split(number(1) + b"x", 1)
        yield before + number(64 * 2**20)
        for _ in range(64):
            yield bytes(2**20)
        yield after

    tracemalloc.start()
    try:
        toc = read_toc(long_definition())
        assert tracemalloc.get_traced_memory()[1] < 8 * 2**20
    finally:
        tracemalloc.stop()
    assert [entry.desc for entry in toc.entries] == ["TABLE", "VIEW"]


def test_a_version_to_come_is_told_apart() -> None:
    with pytest.raises(UnsupportedArchiveError, match=r"version 1\.17"):
        read_toc([archive(minor=17)])


def test_watch_passes_everything_on_and_learns_the_entries() -> None:
    data = archive(*ITEMS) + b"data blocks" * 1000
    reader = TocReader()
    assert b"".join(watch(pieces(data, 77), reader)) == data
    assert reader.done
    assert len(reader.entries) == 4


def test_watch_costs_nothing_after_the_table_of_contents() -> None:
    chunks = iter([archive(*ITEMS), b"1", b"2"])
    seen = watch(chunks, TocReader())
    assert next(seen)
    assert list(seen) == [b"1", b"2"]


def test_watch_stops_at_once_when_it_is_no_archive() -> None:
    endless = iter(lambda: b"-- PostgreSQL database dump\n", b"")
    with pytest.raises(IntegrityError):
        list(islice(watch(endless, TocReader()), 3))


def test_watch_fails_when_the_end_comes_too_early() -> None:
    with pytest.raises(IntegrityError, match="ends inside"):
        list(watch([archive(*ITEMS)[:200]], TocReader()))


def test_a_reader_that_failed_never_becomes_done() -> None:
    reader = TocReader()
    with pytest.raises(IntegrityError):
        reader.feed(b"nonsense")
    reader.feed(archive(*ITEMS))
    assert not reader.done
    with pytest.raises(IntegrityError):
        reader.finish()


def test_tables_and_their_data_are_told_by_oid() -> None:
    kinds = (
        "TABLE",
        "FOREIGN TABLE",
        "VIEW",
        "MATERIALIZED VIEW",
        "PARTITIONED TABLE",
        "SEQUENCE",
        "TABLE ATTACH",
    )
    entries = read_toc([archive(*(Item(desc=kind, oid=oid) for oid, kind in enumerate(kinds, 1)))]).entries
    assert defined_tables(entries) == {1, 2, 3, 4, 5}
    assert data_tables(entries) == frozenset()
    assert data_tables(read_toc([archive(*ITEMS)]).entries) == {16384}
