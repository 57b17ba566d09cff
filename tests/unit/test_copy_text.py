"""Rows of COPY's text format become CSV, byte for byte as the server writes it."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from typing import TypeAlias

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres import copy_text
from holdfast.postgres.copy_text import Rows, columns, to_csv
from support.streams import cut, cuttings

Row: TypeAlias = Sequence[bytes | None]

# Every character that means something to one of the two formats, and some that do not.
VALUES = st.one_of(
    st.none(),
    st.lists(st.sampled_from([bytes([c]) for c in b'\\\t\n\r\b\f\v,".NEB0LRDa \x01\xff']), max_size=6).map(
        b"".join
    ),
    st.sampled_from([b"", b"\\.", b"\\N", b"a\n\\.\nb", "ü".encode()]),
)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(VALUES, min_size=width, max_size=width), max_size=8)
)


def as_text(rows: Sequence[Row]) -> bytes:
    """Write rows as the server does (CopyAttributeOutText)."""
    letters = {
        b"\\": b"\\\\",
        b"\b": b"\\b",
        b"\f": b"\\f",
        b"\n": b"\\n",
        b"\r": b"\\r",
        b"\t": b"\\t",
        b"\v": b"\\v",
    }

    def field(value: bytes | None) -> bytes:
        return b"\\N" if value is None else b"".join(letters.get(bytes([c]), bytes([c])) for c in value)

    return b"".join(b"\t".join(map(field, row)) + b"\n" for row in rows) + b"\\.\n\n\n"


def as_csv(rows: Sequence[Row]) -> bytes:
    """Write rows as the server does (CopyAttributeOutCSV)."""

    def field(value: bytes | None, *, alone: bool) -> bytes:
        if value is None:
            return b""
        special = not value or any(c in value for c in b',"\n\r') or (alone and value == b"\\.")
        return b'"' + value.replace(b'"', b'""') + b'"' if special else value

    return b"".join(b",".join(field(v, alone=len(row) == 1) for v in row) + b"\n" for row in rows)


def converted(text: bytes, names: Sequence[bytes], sizes: Sequence[int] = ()) -> tuple[bytes, int]:
    rows = Rows()
    return b"".join(to_csv(cut(text, sizes), names, rows)), rows.count


@given(table=TABLES, sizes=cuttings(9))
@example(table=[[b"\\."], [b"\\."], [b""], [b""], [b""], [None], [b"a\n\\.\nb"]], sizes=[99])
@example(table=[[b"", b"", b"", b""], [b"", b"", None, b""]], sizes=[99])
def test_every_row_is_written_as_the_server_writes_it_in_chunks_of_any_size(
    table: list[list[bytes | None]], sizes: list[int]
) -> None:
    names = [b"c%d" % number for number in range(len(table[0]) if table else 2)]
    csv, count = converted(as_text(table), names, sizes)
    assert csv == b",".join(names) + b"\n" + as_csv(table)
    assert count == len(table)


@pytest.mark.extended
def test_large_rows_and_many_rows_are_whole() -> None:
    table: list[Row] = [[b"x" * 700_000, b'"' * 10], [b"", None]] * 3
    table += [[b"%d" % number, b","] for number in range(50_000)]
    csv, count = converted(as_text(table), [b"a", b"b"], [100_000] * 200)
    assert csv == b"a,b\n" + as_csv(table)
    assert count == len(table)


def read_csv(text: bytes) -> list[list[bytes | None]]:
    """Read CSV back, line by line: what is empty and without quotes is NULL."""
    fields = re.compile(rb'(?:"((?:[^"]|"")*)"|([^,"\n]*))([,\n])')
    table: list[list[bytes | None]] = [[]]
    for found in fields.finditer(text):
        quoted, plain, behind = found.groups()
        table[-1].append(plain or None if quoted is None else quoted.replace(b'""', b'"'))
        if behind == b"\n":
            table.append([])
    return table[:-1]


@given(table=TABLES, sizes=cuttings(9), longest=st.integers(2, 5))
def test_a_long_row_is_the_same_in_pieces(
    table: list[list[bytes | None]], sizes: list[int], longest: int
) -> None:
    names = [b"c%d" % number for number in range(len(table[0]) if table else 2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copy_text, "_LONG", longest)
        csv, count = converted(as_text(table), names, sizes)
    assert read_csv(csv) == [list(names), *table]
    assert count == len(table)


@pytest.mark.extended
def test_a_field_of_any_length_is_not_held_whole() -> None:
    piece = b'\\\\x00 "\\n\\\\' * 100_000
    chunks = itertools.chain([b"1\t"], itertools.repeat(piece, 60), [b"\t\\N\n", b"\\.\n\n\n"])
    meant = piece.replace(b"\\\\", b"\0").replace(b"\\n", b"\n").replace(b"\0", b"\\").replace(b'"', b'""')
    written = list(to_csv(chunks, [b"a", b"b", b"c"], Rows()))
    assert max(map(len, written)) < 16 * 1024 * 1024
    assert b"".join(written) == b'a,b,c\n1,"' + meant * 60 + b'",\n'


def test_a_table_without_columns_has_empty_lines() -> None:
    assert converted(b"\n\n\n\\.\n\n\n", ()) == (b"\n\n\n\n", 3)


@pytest.mark.parametrize(
    "text",
    [b"", b"1\n", b"1\n\\.", b"1", b"1\n\\.\n2\n", b"1\n\\.\n\n\nx", b"\\.\n\n\n1\n\\.\n", b"\\x41\n\\.\n"],
)
def test_what_copy_does_not_write_is_refused(text: bytes) -> None:
    for sizes in ([], [1] * len(text)):
        with pytest.raises(IntegrityError, match="not what COPY writes"):
            converted(text, [b"a"], sizes)


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        (b"COPY public.t (id, word) FROM stdin;\n", (b"id", b"word")),
        (
            b'COPY "a ""(b) c".t ("x, y", "(", "q""q", "FROM stdin;", z) FROM stdin;\n',
            (b"x, y", b"(", b'q"q', b"FROM stdin;", b"z"),
        ),
        (b"COPY public.empty  FROM stdin;\n", ()),
        (b'COPY "S"."T\nU" ("\xe4") FROM stdin;\n', (b"\xe4",)),
    ],
)
def test_the_columns_are_those_of_the_statement(statement: bytes, names: tuple[bytes, ...]) -> None:
    assert columns(statement) == names


@pytest.mark.parametrize(
    "statement",
    [b"", b"COPY t", b"COPY t (a) WITH OIDS FROM stdin;", b"INSERT INTO t", b"COPY " + b"a" * 5000],
)
def test_another_statement_is_refused(statement: bytes) -> None:
    with pytest.raises(IntegrityError, match="COPY statement"):
        columns(statement)
