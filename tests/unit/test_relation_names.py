from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.model.errors import NotFoundError, UsageError
from holdfast.postgres.relation_names import find_relations, find_schemas, plain_name, shown

NAMES = (
    ("public", "orders"),
    ("public", "Orders"),
    ("public", "order_items"),
    ("billing", "invoices"),
    ("archive", "invoices"),
    ("public", "d.t"),
    ("Odd.Schema", 'a "b"'),
    ("public", "new\nline"),
)
ANY = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("orders", {("public", "orders")}),
        ("Orders", {("public", "Orders")}),
        ("ORDERS", {("public", "orders")}),
        ("public.order*", {("public", "orders"), ("public", "order_items")}),
        ("order?", {("public", "orders")}),
        ("billing.invoices", {("billing", "invoices")}),
        ("*.invoices", {("billing", "invoices"), ("archive", "invoices")}),
        ("inv*", {("billing", "invoices"), ("archive", "invoices")}),
        ('"d.t"', {("public", "d.t")}),
        ("d.t", {("public", "d.t")}),
        ('"Odd.Schema"."a ""b"""', {("Odd.Schema", 'a "b"')}),
        ("new?line", {("public", "new\nline")}),
    ],
)
def test_a_pattern_means_what_an_operator_expects(text: str, found: set[tuple[str, str]]) -> None:
    assert find_relations(text, NAMES) == found


def test_a_name_that_is_in_several_schemas_is_refused_with_all_of_them() -> None:
    with pytest.raises(UsageError, match=r"several: archive\.invoices, billing\.invoices"):
        find_relations("invoices", NAMES)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("order", "orders"),
        ("biling.invoices", r"billing\.invoices"),
        ("public.D_T", '"d.t"'),
        ("xyz", "It holds"),
    ],
)
def test_a_name_that_is_not_there_brings_the_nearest(text: str, hint: str) -> None:
    with pytest.raises(NotFoundError, match="no such table") as caught:
        find_relations(text, NAMES)
    assert caught.value.hint is not None
    assert hint.replace("\\", "") in caught.value.hint


@pytest.mark.parametrize("text", ['"open', "", ".", "a.", '""'])
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        find_relations(text, NAMES)


def test_a_schema_is_found_by_name_pattern_and_quotes() -> None:
    spaces = {schema for schema, _ in NAMES}
    assert find_schemas("BILLING", spaces) == {"billing"}
    assert find_schemas('"Odd.Schema"', spaces) == find_schemas("Odd.Schema", spaces) == {"Odd.Schema"}
    assert find_schemas("*i*", spaces) == {"billing", "public", "archive"}
    with pytest.raises(NotFoundError, match="no such schema") as caught:
        find_schemas("bilings", spaces)
    assert "billing" in (caught.value.hint or "")


@given(schema=ANY, name=ANY)
def test_what_is_shown_of_any_name_finds_it_again(schema: str, name: str) -> None:
    decoys = {(schema + "x", name), (schema, name + "x"), (schema.upper() + "y", name)}
    assert find_relations(shown(schema, name), {*decoys, (schema, name)}) == {(schema, name)}
    assert plain_name(shown(None, name), "--as") == name


@pytest.mark.parametrize("text", ["a.b", "a*", "", '"'])
def test_a_new_name_is_no_pattern_and_has_no_schema(text: str) -> None:
    with pytest.raises(UsageError):
        plain_name(text, "--rename-table")
