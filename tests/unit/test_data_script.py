"""The script of data that pg_restore and pg_dump print is understood whatever is in it, and however it comes."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres import data_script
from holdfast.postgres.data_digest import DataDigest, Rows
from holdfast.postgres.data_script import DataReader
from holdfast.postgres.multiset import Multiset

_SCRIPT = rb"""--
-- PostgreSQL database dump; it's no statement
--

\restrict 0aBc

SET client_encoding = 'UTF8';
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Data for Name: orders; Type: TABLE DATA; Schema: public; Owner: x
--

COPY public.orders (id, "a ""b"", c
d") FROM stdin;
1	\N
\\.	COPY public.other (a) FROM stdin;
2	'
\.


COPY "Od.d".no_columns  FROM stdin;


\.


COPY public.empty (x) FROM stdin;
\.

SELECT pg_catalog.lo_create('42');
ALTER LARGE OBJECT 42 OWNER TO "o;
w";
COMMENT ON LARGE OBJECT 42 IS 'it''s;
COPY public.orders (id) FROM stdin;
\.
';
INSERT INTO public.inserted VALUES (1, 'a;
b''');
INSERT INTO public.inserted (x) VALUES (-1);
BEGIN;

SELECT pg_catalog.lo_open('42', 131072);
SELECT pg_catalog.lowrite(0, '\x00ff');
SELECT pg_catalog.lowrite(0, '\xab');
SELECT pg_catalog.lo_close(0);

COMMIT;
SELECT pg_catalog.setval('public."Q''x"', 47, true);
SELECT pg_catalog.setval('public.down', -7, false);
GRANT SELECT ON LARGE OBJECT 42 TO reader;
"""


def _read(script: bytes, *sizes: int) -> DataDigest:
    reader = DataReader()
    at = 0
    for size in sizes:
        reader.feed(script[at : at + size])
        at += size
    reader.feed(script[at:])
    return reader.finish()


def _told(digest: DataDigest) -> object:
    return (
        {name: (rows.columns, rows.lines.count, rows.lines.digest) for name, rows in digest.tables.items()},
        digest.sequences,
        (digest.large_objects, digest.large_object_facts.count, digest.large_object_facts.digest),
        digest.others,
    )


def _rows(columns: bytes, *lines: bytes) -> tuple[set[bytes], int, str]:
    rows = Rows(columns={columns})
    rows.lines.add(lines)
    return rows.columns, rows.lines.count, rows.lines.digest


def test_rows_sequences_and_large_objects_are_told_apart() -> None:
    digest = _read(_SCRIPT)
    told = {name: (r.columns, r.lines.count, r.lines.digest) for name, r in digest.tables.items()}
    assert told[("public", "orders")] == _rows(
        b'(id, "a ""b"", c\nd")', rb"1	\N", rb"\\.	COPY public.other (a) FROM stdin;", b"2\t'"
    )
    assert told[("Od.d", "no_columns")] == _rows(b"", b"", b"")
    assert told[("public", "empty")] == _rows(b"(x)")
    assert told[("public", "inserted")][:2] == ({b"INSERT"}, 2)
    assert set(told) == {
        ("public", "orders"),
        ("Od.d", "no_columns"),
        ("public", "empty"),
        ("public", "inserted"),
    }
    assert digest.sequences == {
        ("public", "Q'x"): "47, called",
        ("public", "down"): "-7, not yet called",
    }
    assert (digest.large_objects, digest.large_object_facts.count) == (1, 5)
    assert digest.others == []


@given(st.lists(st.integers(0, 300), max_size=12))
@example([1] * len(_SCRIPT))
def test_chunking_does_not_matter(sizes: list[int]) -> None:
    assert _told(_read(_SCRIPT, *sizes)) == _told(_read(_SCRIPT))


@pytest.mark.parametrize("size", [1, 2, 7, 64, 1000])
def test_what_is_too_long_to_be_held_counts_the_same(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows and INSERTs that are longer than the limit are hashed as they come."""
    row, text = b"'\"\\\\N;x" * 40, b"a\"b'';\n-- c\n;" * 20
    insert = b"INSERT INTO public.\"i;'\" VALUES ('" + text + b"', '');\n"
    script = b"".join(
        [b"COPY public.t (a) FROM stdin;\n", row, b"\nx\n", row, b"\n\\.\n", insert, b"\n", insert, insert]
    )
    expected = _told(_read(script))
    assert [rows.lines.count for rows in _read(script).tables.values()] == [3, 3]
    monkeypatch.setattr(data_script, "_LONG", 64)
    assert _told(_read(script, *[size] * (len(script) // size))) == expected


@given(
    st.lists(
        st.binary(min_size=1, max_size=20).map(lambda b: b.replace(b"\n", b"").replace(b"\\.", b"")),
        max_size=20,
    ),
    st.integers(1, 40),
)
def test_rows_of_anything_are_the_rows(lines: list[bytes], size: int) -> None:
    script = b"COPY public.t (a) FROM stdin;\n" + b"".join(line + b"\n" for line in lines) + b"\\.\n"
    expected = Multiset()
    expected.add(lines)
    digest = _read(script, *[size] * (len(script) // size))
    found = digest.tables["public", "t"].lines
    assert (found.count, found.digest) == (expected.count, expected.digest)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"0, '\\x00ff'", b"0, '\\x00fe'"),
        (b'OWNER TO "o', b'OWNER TO "p'),
        (b"it''s;", b"its;"),
        (b"TO reader", b"TO writer"),
        (b"lo_open('42'", b"lo_open('43'"),
    ],
)
def test_whatever_changes_about_a_large_object_is_noticed(before: bytes, after: bytes) -> None:
    changed = _read(_SCRIPT.replace(before, after)).large_object_facts
    assert changed.digest != _read(_SCRIPT).large_object_facts.digest


def test_how_a_large_object_was_cut_for_writing_does_not_matter() -> None:
    joined = _SCRIPT.replace(b"\\x00ff');\nSELECT pg_catalog.lowrite(0, '\\xab", b"\\x00ffab")
    assert joined != _SCRIPT
    assert _told(_read(joined)) == _told(_read(_SCRIPT))


@pytest.mark.parametrize("end", [b'\\.\n\n\nCOPY "Od', b"DER TO", b"it''s;"])
def test_a_script_that_ends_too_early_is_refused(end: bytes) -> None:
    cut = _SCRIPT[: _SCRIPT.index(end)] if end in _SCRIPT else _SCRIPT[:-10]
    with pytest.raises(IntegrityError, match="ends inside"):
        _read(cut)


def test_rows_of_partitions_that_go_to_their_root_are_together() -> None:
    digest = _read(
        b"COPY public.r (a, b) FROM stdin;\n1\t2\n\\.\nCOPY public.r (b, a) FROM stdin;\n2\t1\n\\.\n"
    )
    rows = digest.tables["public", "r"]
    assert (rows.columns, rows.lines.count) == ({b"(a, b)", b"(b, a)"}, 2)


def test_another_statement_is_kept_by_its_beginning() -> None:
    assert _read(b"ALTER TABLE x\n DISABLE TRIGGER ALL;\n").others == ["ALTER TABLE x"]


def test_dumps_of_old_that_leave_the_schema_out_are_read() -> None:
    digest = _read(
        b'SET search_path = "Od.d", pg_catalog;\nCOPY t (a) FROM stdin;\n1\n\\.\n'
        b"SELECT pg_catalog.setval('s', 2, true);\nSET search_path = public, pg_catalog;\nINSERT INTO u VALUES (1);\n"
    )
    assert list(digest.tables) == [("Od.d", "t"), ("public", "u")]
    assert list(digest.sequences) == [("Od.d", "s")]
