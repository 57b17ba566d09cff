"""The script of definitions is split into objects, and two of them are compared."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.errors import IntegrityError
from holdfast.postgres.object_changes import object_changes
from holdfast.postgres.script_objects import Key, script_objects


def _object(name: str, kind: str, *statements: str, schema: str = "public") -> str:
    body = "\n\n\n".join(statements)
    return f"--\n-- Name: {name}; Type: {kind}; Schema: {schema}; Owner: x\n--\n\n{body}\n\n\n"


_HEAD = "--\n-- PostgreSQL database dump\n--\n\n\\restrict abc\n\nSET row_security = off;\n"
_OBJECTS = (
    _object("t", "TABLE", "CREATE TABLE public.t (\n    a text DEFAULT ';\n-- Name: u; Type: TABLE; Schema: s; Owner: x'\n);", "ALTER TABLE public.t OWNER TO x;"),
    _object("f(integer)", "FUNCTION", "CREATE FUNCTION public.f(integer) RETURNS void LANGUAGE sql AS $_$\n--\n-- Name: v; Type: VIEW; Schema: -; Owner: x\n--\nSELECT $$;\n$$; $_$;"),
    _object("g()", "FUNCTION", "CREATE FUNCTION public.g() RETURNS integer LANGUAGE sql\n    BEGIN ATOMIC\n SELECT 1;\nEND;"),
    _object("TABLE t", "ACL", "GRANT SELECT ON TABLE public.t TO y;"),
    _object("COLUMN t.a", "COMMENT", "COMMENT ON COLUMN public.t.a IS 'it''s\n;\n';"),
    _object("p", "PUBLICATION", "CREATE PUBLICATION p;", schema="-"),
)  # fmt: skip


def _script(*objects: str) -> str:
    return _HEAD + "".join(objects) + "--\n-- PostgreSQL database dump complete\n--\n\n\\unrestrict abc\n"


def test_objects_are_found_by_what_pg_dump_says_of_them_and_by_nothing_in_their_texts() -> None:
    found = script_objects(_script(*_OBJECTS))
    assert [(key.kind, key.name) for key in found] == [
        ("table", "public.t"),
        ("function", "public.f(integer)"),
        ("function", "public.g()"),
        ("acl", "TABLE public.t"),
        ("comment", "COLUMN public.t.a"),
        ("publication", "p"),
    ]
    assert found[Key(kind="acl", name="TABLE public.t")] == ("GRANT SELECT ON TABLE public.t TO y;",)
    assert found[Key(kind="function", name="public.g()")][0].endswith("SELECT 1;\nEND;")


@given(st.permutations(_OBJECTS))
def test_the_order_of_objects_never_matters(objects: list[str]) -> None:
    assert tuple(object_changes(script_objects(_script(*_OBJECTS)), script_objects(_script(*objects)))) == ()


@pytest.mark.parametrize("at", range(len(_OBJECTS)))
def test_an_object_that_is_missing_twice_or_changed_is_told(at: int) -> None:
    whole = script_objects(_script(*_OBJECTS))
    without = script_objects(_script(*_OBJECTS[:at], *_OBJECTS[at + 1 :]))
    twice = script_objects(_script(*_OBJECTS, _OBJECTS[at]))
    changed = script_objects(
        _script(*_OBJECTS[:at], _OBJECTS[at].replace(";\n\n\n", " /**/;\n\n\n"), *_OBJECTS[at + 1 :])
    )
    key = list(whole)[at]
    for one, other, how in (
        (whole, without, "missing"),
        (without, whole, "unexpected"),
        (whole, twice, "unexpected"),
        (whole, changed, "different"),
    ):
        (change,) = object_changes(one, other)
        assert (change.key, change.told().how) == (key, how)


def test_the_tablespace_and_the_access_method_belong_to_the_object() -> None:
    table = _object("t", "TABLE", "CREATE TABLE public.t ();")
    plain = script_objects(
        _script("SET default_tablespace = '';\nSET default_table_access_method = heap;\n", table)
    )
    moved = script_objects(_script("SET default_tablespace = fast;\n", table))
    other = script_objects(_script("SET default_table_access_method = columnar;\n", table))
    assert plain == script_objects(_script(table))
    assert [change.told().found for change in object_changes(plain, moved)] == ["TABLESPACE fast"]
    assert [change.told().found for change in object_changes(plain, other)] == ["USING columnar"]


def test_what_is_no_definition_is_left_out() -> None:
    rows = _object("m", "MATERIALIZED VIEW DATA", "REFRESH MATERIALIZED VIEW public.m;")
    assert script_objects(_script(rows)) == {}


def test_of_two_texts_only_the_lines_that_differ_are_told() -> None:
    lines = [f"    c{n} integer," for n in range(900)]
    texts = (
        "\n".join(["CREATE TABLE t (", *lines[:700], middle, *lines[700:], ");"])
        for middle in ("a int", "b int")
    )
    one, other = ({Key(kind="table", name="t"): (text,)} for text in texts)
    (change,) = object_changes(one, other)
    told = change.told()
    assert (told.expected, told.found) == ("a int", "b int")


@pytest.mark.parametrize("kind", ["USER MAPPING", "SUBSCRIPTION", "SERVER", "FOREIGN DATA WRAPPER"])
def test_what_may_hold_a_password_is_not_told(kind: str) -> None:
    one, other = (
        script_objects(_script(_object("x", kind, f"CREATE x OPTIONS (password '{word}');")))
        for word in ("hush", "whisper")
    )
    (change,) = object_changes(one, other)
    assert "hush" not in repr(change.told())
    assert "whisper" not in repr(change.told())


def test_a_script_that_ends_inside_a_statement_is_refused() -> None:
    with pytest.raises(IntegrityError, match="end inside a statement"):
        script_objects(_script(*_OBJECTS)[: len(_HEAD) + 90])


def test_a_long_script_takes_no_quadratic_time() -> None:
    chance = random.Random(1)
    body = "".join(chance.choice("';$ab\n") for _ in range(1000))
    text = f"CREATE FUNCTION f() AS $_x_$ {body * 500} $_x_$;"
    assert len(script_objects(_script(_object("f()", "FUNCTION", text)))) == 1
