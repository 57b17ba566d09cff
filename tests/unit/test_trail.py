"""Rows that come again are known again, and whatever else comes counts as it does without a trail."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres import data_script, trail
from holdfast.postgres.data_digest import DataDigest
from holdfast.postgres.data_script import DataReader
from holdfast.postgres.multiset import Multiset

_LINES = [b"%d\trow" % number for number in range(40)]
_HEAD = b"COPY public.t (a, b) FROM stdin;\n"

_line = st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"").replace(b"\\.", b""))


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trail, "PIECE_BYTES", 32)


def _script(*copies: list[bytes]) -> bytes:
    return b"".join(_HEAD + b"".join(line + b"\n" for line in lines) + b"\\.\n\n" for lines in copies)


def _read(script: bytes, size: int, before: DataDigest | None = None) -> DataDigest:
    reader = DataReader(before=before.tables if before is not None else None)
    for at in range(0, len(script), size):
        reader.feed(script[at : at + size])
    return reader.finish()


def _told(digest: DataDigest) -> object:
    return {name: (rows.columns, rows.lines.sum) for name, rows in digest.tables.items()}


@given(st.lists(_line, max_size=30), st.lists(_line, max_size=30), st.integers(1, 80), st.integers(1, 80))
@example([b"a"] * 30, [b"a"] * 29, 7, 7)
@example([b"a"] * 29, [b"a"] * 30, 7, 1000)
def test_other_rows_count_as_they_do_without_a_trail(
    once: list[bytes], again: list[bytes], size: int, other: int
) -> None:
    script = _script(again)
    assert _told(_read(script, size, _read(_script(once), other))) == _told(_read(script, size))


@given(st.randoms(use_true_random=False), st.integers(1, 80))
def test_the_same_rows_in_another_order_are_the_same(chance: random.Random, size: int) -> None:
    first = _read(_script(_LINES), size)
    lines = _LINES.copy()
    at, to = chance.randrange(40), chance.randrange(40)
    lines.insert(to, lines.pop(at))
    assert _told(_read(_script(lines), size, first)) == _told(first)


@pytest.mark.parametrize("at", [0, 20, 39])
def test_a_row_that_is_changed_missing_or_there_twice_is_noticed(at: int) -> None:
    first = _read(_script(_LINES), 50)
    for changed in (
        [*_LINES[:at], b"%d\trox" % at, *_LINES[at + 1 :]],
        [*_LINES[:at], *_LINES[at + 1 :]],
        [*_LINES[:at], _LINES[at], *_LINES[at:]],
    ):
        assert _told(_read(_script(changed), 50, first)) != _told(first)


def test_rows_that_come_again_are_not_looked_at_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    script = _script(_LINES, [], _LINES[:7])
    first = _read(script, 50)
    looked: list[bytes] = []
    monkeypatch.setattr(Multiset, "add", lambda _, lines: looked.extend(lines))
    again = _read(script, 11, first)
    assert looked == []
    assert _told(again) == _told(first)


def test_each_copy_into_a_table_has_its_own_trail() -> None:
    first = _read(_script(_LINES, _LINES[::-1]), 50)
    swapped = _script(_LINES[::-1], _LINES, [b"more"])
    assert _told(_read(swapped, 50, first)) == _told(_read(swapped, 50))


def test_after_a_row_too_long_to_be_held_there_is_no_trail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_script, "_LONG", 64)
    script = _script([*_LINES, b"x" * 500, *_LINES])
    first = _read(script, 10)
    (noted,) = first.tables["public", "t"].trails
    assert sum(piece.lines.lines for piece in noted.pieces()) == 40
    assert _told(_read(script, 7, first)) == _told(first)


@pytest.mark.parametrize("lost", [4, 60])
def test_rows_that_end_too_early_are_refused(lost: int) -> None:
    script = _script(_LINES)
    with pytest.raises(IntegrityError, match="ends inside"):
        _read(script[:-lost], 50, _read(script, 50))
