"""A plain dump is taken apart where psql would take it apart, however it is cut into chunks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres import script

DUMP = rb"""--
-- PostgreSQL database dump
--

\restrict abc

SET standard_conforming_strings = on;
/* one /* in another */ ; */
CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT (2); END;
CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2);
CREATE FUNCTION g() RETURNS text AS $_$ begin; 'x"; \. $$ $_$ LANGUAGE plpgsql;
CREATE TABLE "a;b" (x text DEFAULT E'it\'s ; "', y text DEFAULT 'a'';b\'); -- ; not here
INSERT INTO t VALUES (1, 'a;b', E'\';', '\');
COPY public.t (a, b) FROM stdin;
1	x
2	\\.
\.


COPY public.e (a) FROM stdin;
\.

--
-- PostgreSQL database dump complete
--

\unrestrict abc
"""
EXPECTED: list[tuple[str, bytes]] = [
    ("Comment", b"--"),
    ("Comment", b"-- PostgreSQL database dump"),
    ("Comment", b"--"),
    ("Command", rb"\restrict abc"),
    ("Statement", b"SET standard_conforming_strings = on"),
    (
        "Statement",
        b"CREATE FUNCTION f() RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT CASE WHEN true THEN 1 END; SELECT (2); END",
    ),
    ("Statement", b"CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)"),
    ("Statement", rb"""CREATE FUNCTION g() RETURNS text AS $_$ begin; 'x"; \. $$ $_$ LANGUAGE plpgsql"""),
    ("Statement", rb"""CREATE TABLE "a;b" (x text DEFAULT E'it\'s ; "', y text DEFAULT 'a'';b\')"""),
    ("Comment", b"-- ; not here"),
    ("Statement", rb"""INSERT INTO t VALUES (1, 'a;b', E'\';', '\')"""),
    ("Statement", b"COPY public.t (a, b) FROM stdin"),
    ("Rows", b"1\tx\n2\t\\\\.\n"),
    ("Statement", b"COPY public.e (a) FROM stdin"),
    ("Rows", b""),
    ("Comment", b"--"),
    ("Comment", b"-- PostgreSQL database dump complete"),
    ("Comment", b"--"),
    ("Command", rb"\unrestrict abc"),
]


def taken_apart(data: bytes, size: int) -> list[tuple[str, bytes]]:
    found = []
    for event in script.events(data[at : at + size] for at in range(0, len(data), size)):
        text = b"".join(event.chunks) if isinstance(event, script.Rows) else event.text
        found.append((type(event).__name__, text))
    return found


@given(st.integers(min_value=1, max_value=len(DUMP)))
def test_a_dump_is_taken_apart_whatever_its_chunks(size: int) -> None:
    assert taken_apart(DUMP, size) == EXPECTED


def test_rows_that_nobody_pulls_are_passed_over() -> None:
    kinds = [type(event).__name__ for event in script.events([DUMP])]
    assert kinds == [kind for kind, _ in EXPECTED]


@pytest.mark.parametrize(
    "cut",
    [b"SELECT 1", b"SELECT 'a;", b"SELECT $x$ a; $y$", b"/* a", b"COPY t FROM stdin;\n1\n", b'SELECT "a;'],
)
def test_what_is_cut_short_is_noticed(cut: bytes) -> None:
    with pytest.raises(IntegrityError, match="ends inside"):
        taken_apart(cut, 3)


def test_a_command_for_psql_in_a_statement_is_refused() -> None:
    with pytest.raises(IntegrityError, match="command for psql"):
        taken_apart(b"SELECT 1 \\gexec\n;", 100)


def test_backslashes_in_strings_are_escapes_where_the_dump_says_so() -> None:
    off = b"SET standard_conforming_strings = off;\nSELECT 'a\\';b';\nSELECT 2;"
    assert [text for _, text in taken_apart(off, 5)][1:] == [b"SELECT 'a\\';b'", b"SELECT 2"]
