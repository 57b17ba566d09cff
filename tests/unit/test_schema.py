"""Two schemas are told apart object by object and column by column, whatever order a dump has them in."""

from __future__ import annotations

from holdfast.model.schema import (
    Change,
    SchemaObject,
    changes,
    columns,
    difference,
    fingerprint,
    lasting_tables,
    normalised,
    summary,
)

TABLE = """CREATE TABLE public.orders (
    id bigint NOT NULL,
    "odd, name" text DEFAULT 'a, b'::text,
    price numeric(10,2),
    CONSTRAINT dear CHECK ((price > (0)::numeric))
);
"""


def made(
    kind: str = "TABLE", name: str = "orders", definition: str = TABLE, schema: str = "public"
) -> SchemaObject:
    return SchemaObject(kind=kind, schema=schema, name=name, owner="app", definition=definition)


def test_the_columns_of_a_table_are_read_from_its_definition() -> None:
    assert columns(made()) == {
        "id": "bigint NOT NULL",
        '"odd, name"': "text DEFAULT 'a, b'::text",
        "price": "numeric(10,2)",
    }


def test_order_and_blanks_make_no_difference() -> None:
    index = made("INDEX", "i", "CREATE INDEX i ON public.orders USING btree (id);\n")
    spaced = made(definition=TABLE.replace("\n", "  \r\n"))
    assert fingerprint(normalised([made(), index])) == fingerprint(normalised([index, spaced]))
    assert fingerprint(normalised([made()])) != fingerprint(normalised([made(name="other")]))


def test_changes_are_told_object_by_object() -> None:
    altered = TABLE.replace("numeric(10,2)", "numeric(12,2)").replace(
        '    "odd, name" text DEFAULT', "    new text DEFAULT"
    )
    old = normalised([made(), made("INDEX", "i", "CREATE INDEX i;"), made("FUNCTION", "f()", "one")])
    new = normalised(
        [made(definition=altered), made("FUNCTION", "f()", "two"), made("POLICY", "orders p", "p")]
    )
    found = changes(old, new)
    assert [(each.action, each.title) for each in found] == [
        ("altered", "function public.f()"),
        ("removed", "index public.i"),
        ("added", "policy public.orders p"),
        ("altered", "table public.orders"),
    ]
    assert found[-1].details == (
        'column "odd, name" removed',
        "column new added: text DEFAULT 'a, b'::text",
        "column price altered: numeric(10,2) → numeric(12,2)",
    )
    assert summary(found) == (
        "1 table altered, 1 column added, 1 column altered, 1 column removed, 1 index removed, 1 function altered,"
        " 1 policy added"
    )
    assert summary([Change(action="added", kind="INDEX", title="x")] * 2) == "2 indexes added"
    assert changes(old, old) == ()


def test_a_difference_is_a_unified_diff() -> None:
    old, new = normalised([made()]), normalised([made(definition=TABLE.replace("bigint", "integer"))])
    said = difference(old, new, names=("a", "b"))
    assert said.startswith("--- a\n+++ b\n@@")
    assert "-    id bigint NOT NULL," in said
    assert "+    id integer NOT NULL," in said
    assert difference(old, old, names=("a", "b")) == ""


def test_partitions_are_no_tables_that_last() -> None:
    attach = "ALTER TABLE ONLY public.orders ATTACH PARTITION public.p1 FOR VALUES IN (1);"
    objects = (
        made(),
        made(name="p1"),
        made("TABLE ATTACH", "p1", attach),
        made(name="p2", definition=f"x {attach}"),
    )
    assert [each.name for each in lasting_tables(objects)] == ["orders"]


def test_passwords_stay_out() -> None:
    mapping = "CREATE USER MAPPING FOR app SERVER s OPTIONS (password 'hunter2', \"user\" 'x');"
    subscription = (
        "CREATE SUBSCRIPTION s CONNECTION 'host=a password=hunter2' PUBLICATION p WITH (connect = false);"
    )
    found = normalised([made("USER MAPPING", "m", mapping), made("SUBSCRIPTION", "s", subscription)])
    assert "hunter2" not in repr(found)
