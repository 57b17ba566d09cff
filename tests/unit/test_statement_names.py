"""Statements of an archive tell which relation they are on, however names are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.postgres.statement_names import exclusion, filled_by, relation_of, spellings
from holdfast.postgres.statements import quoted_name

NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=63)


@given(schema=NAME, name=NAME, own=NAME)
def test_a_quoted_relation_is_found_in_every_kind_of_statement(schema: str, name: str, own: str) -> None:
    relation, quoted = f"{quoted_name(schema)}.{quoted_name(name)}", quoted_name(own)
    found = {
        relation_of("INDEX", f"CREATE UNIQUE INDEX {quoted} ON ONLY {relation} USING btree (x);\n", None),
        relation_of("FK CONSTRAINT", None, f"ALTER TABLE ONLY {relation} DROP CONSTRAINT {quoted};\n"),
        relation_of("RULE", None, f"DROP RULE {quoted} ON {relation};\n"),
        filled_by(f"COPY {relation} (x) FROM stdin;\n"),
    }
    assert found == {relation}
    assert relation in spellings(schema, name)


@pytest.mark.parametrize(
    ("desc", "definition", "drop"),
    [
        ("STATISTICS", "CREATE STATISTICS public.s ON a, (EXTRACT(day FROM b)) FROM public.t;\n", None),
        ("DEFAULT", None, "ALTER TABLE public.t ALTER COLUMN id DROP DEFAULT;\n"),
        ("CHECK CONSTRAINT", None, "ALTER FOREIGN TABLE public.t DROP CONSTRAINT c;\n"),
        ("TRIGGER", None, 'DROP TRIGGER " ON public.x;" ON public.t;\n'),
    ],
)
def test_the_relation_is_found_beside_what_looks_like_one(
    desc: str, definition: str | None, drop: str | None
) -> None:
    assert relation_of(desc, definition, drop) == "public.t"


def test_a_statement_that_does_not_tell_gives_nothing() -> None:
    assert relation_of("TRIGGER", None, "") is None
    assert relation_of("INDEX", None, None) is None
    assert relation_of("TABLE", "CREATE TABLE public.t ();", "DROP TABLE public.t;") is None


@given(schema=NAME, name=NAME, own=NAME)
def test_an_exclusion_constraint_is_told_from_other_keys(schema: str, name: str, own: str) -> None:
    begin = (
        f"ALTER TABLE ONLY {quoted_name(schema)}.{quoted_name(name)}\n    ADD CONSTRAINT {quoted_name(own)} "
    )
    excluding = f"{begin}EXCLUDE USING gist (a WITH =);\n"
    assert exclusion(excluding) == excluding
    temporal = f'{begin}PRIMARY KEY (a, "b, c", during WITHOUT OVERLAPS);\n'
    assert exclusion(temporal) == temporal
    assert exclusion(f'{begin}UNIQUE (a, " EXCLUDE USING gist");\n') is None
    assert exclusion(f'{begin}UNIQUE (a, "b WITHOUT OVERLAPS");\n') is None
    assert exclusion(None) is None
