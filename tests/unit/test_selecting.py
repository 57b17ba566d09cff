from __future__ import annotations

from dataclasses import replace

import pytest

from holdfast.postgres.archive import read_toc
from holdfast.postgres.belonging import Belonging
from holdfast.postgres.entries import Entry
from holdfast.postgres.selecting import Selection, find_roots, questions, select
from support.archives import Item, archive

NOBODY: frozenset[int] = frozenset()


def relation(tag: str, *dependencies: int, desc: str = "TABLE", namespace: str = "public") -> Item:
    return Item(desc=desc, tag=tag, namespace=namespace, dependencies=dependencies)


def part(desc: str, tag: str, *dependencies: int, namespace: str | None = "public") -> Item:
    return Item(desc=desc, tag=tag, namespace=namespace, dependencies=dependencies, section=4)


def index(*items: Item, attaches: bool = True) -> Belonging:
    """Index entries; their dump ids are their places, from 1."""
    return Belonging(read_toc([archive(*items)]).entries, attaches=attaches)


def chosen(
    entries: Belonging, *tables: str, present: frozenset[int] = NOBODY, alone: bool = False
) -> Selection:
    return select(entries, find_roots(entries, tables, ()), present, alone=alone)


def ids(entries: tuple[Entry, ...]) -> list[int]:
    return [entry.dump_id for entry in entries]


def test_a_part_goes_with_the_table_whose_name_its_tag_begins_with() -> None:
    entries = index(
        relation("a"),
        relation("a b"),
        part("TRIGGER", "a b c", 1, 2),  # of `a b`: its function takes a row of `a`
        part("TRIGGER", "a c", 2, 1),
        part("CONSTRAINT", "a a b", 1),
        part("POLICY", "a reads b", 1, 2),
    )
    assert ids(chosen(entries, "a", present=frozenset({2})).entries) == [1, 4, 5, 6]
    assert ids(chosen(entries, '"a b"', present=frozenset({1})).entries) == [2, 3]


def test_an_index_goes_with_the_table_that_it_depends_on_most() -> None:
    entries = index(relation("typed"), relation("t"), part("INDEX", "i", 1, 2, 2))
    assert ids(chosen(entries, "t").entries) == [1, 2, 3]  # the type is needed
    assert ids(chosen(entries, "typed").entries) == [1]


def test_what_is_needed_comes_unless_it_is_there() -> None:
    entries = index(
        part("SCHEMA", "app", namespace=None),
        part("COMMENT", "SCHEMA app", 1, namespace=None),
        part("TYPE", "mood", 1, namespace="app"),
        relation("t", 3),
    )
    empty = chosen(entries, "t")
    assert (ids(empty.entries), ids(empty.also)) == ([1, 2, 3, 4], [3, 1])
    full = chosen(entries, "t", present=frozenset({1, 3}))
    assert (ids(full.entries), ids(full.also)) == ([4], [])


@pytest.mark.parametrize(
    ("present", "alone", "late", "skipped"),
    [
        (NOBODY, False, [], ["public.b is not in the database"]),
        (frozenset({2}), False, ["foreign key public.a.to_b"], []),
        (frozenset({2}), True, [], ["its other end, public.b, is not among what is restored"]),
    ],
)
def test_a_foreign_key_to_another_table_is_tried_late_or_skipped(
    *, present: frozenset[int], alone: bool, late: list[str], skipped: list[str]
) -> None:
    entries = index(
        relation("a"),
        relation("b"),
        part("CONSTRAINT", "b b_pkey", 2),
        part("FK CONSTRAINT", "a to_b", 3, 2, 1),
        part("COMMENT", "CONSTRAINT to_b ON a", 4),
    )
    found = chosen(entries, "a", present=present, alone=alone)
    assert ids(found.entries) == [1]
    assert [each.what for each in found.late] == late
    assert [each.reason for each in found.skipped] == skipped
    assert [ids(each.entries) for each in found.late] == [[4, 5]] * len(late)
    assert ids(chosen(entries, "a", "b").entries) == [1, 2, 3, 4, 5]


def test_a_foreign_key_to_the_table_itself_comes_with_it_and_one_to_the_unknown_is_tried() -> None:
    itself = index(relation("a"), part("CONSTRAINT", "a a_pkey", 1), part("FK CONSTRAINT", "a up", 2, 1, 1))
    assert ids(chosen(itself, "a").entries) == [1, 2, 3]
    unknown = index(relation("a"), part("FK CONSTRAINT", "a out", 1))
    assert [late.what for late in chosen(unknown, "a").late] == ["foreign key public.a.out"]


PARTITIONED = (
    relation("sales"),
    relation("sales_1", 1),
    part("TABLE ATTACH", "sales_1", 2, 1),
    part("CONSTRAINT", "sales sales_pkey", 1),
    part("CONSTRAINT", "sales_1 sales_1_pkey", 2, 4),
    part("INDEX ATTACH", "sales_1_pkey", 4, 5, 1, 2),
)


def test_a_partitioned_table_brings_its_partitions_and_a_partition_comes_alone() -> None:
    entries = index(*PARTITIONED)
    assert ids(chosen(entries, "sales").entries) == [1, 2, 3, 4, 5, 6]
    alone = chosen(entries, "sales_1")
    assert (ids(alone.entries), alone.also) == ([2, 5], ())
    assert [each.what for each in alone.skipped] == ["partition public.sales_1"]
    tied = chosen(entries, "sales_1", present=frozenset({1}))
    assert [ids(each.entries) for each in tied.late] == [[3]]


def test_partitions_are_known_where_their_definitions_attach_them() -> None:
    rows = replace(part("TABLE DATA", "p_1", 2), has_data=True, section=3)
    old = (
        relation("p"),
        relation("p_1", 1),
        rows,
        relation("q"),
        replace(rows, tag="q", dependencies=(4,)),
        relation("q_1", 4),
    )
    entries = index(*old, attaches=False)
    assert ids(chosen(entries, "p").entries) == [1, 2, 3]
    assert ids(chosen(entries, "q").entries) == [4, 5]  # q_1 inherits


def test_indexes_are_attached_where_definitions_attach_partitions() -> None:
    entries = index(
        relation("p"),
        relation("p_1", 1),
        replace(part("TABLE DATA", "p_1", 2), has_data=True, section=3),
        part("INDEX", "p_a", 1),
        part("INDEX", "p_1_a", 2),
        part("INDEX ATTACH", "p_1_a", 4, 5),
        attaches=False,
    )
    assert ids(chosen(entries, "p").entries) == [1, 2, 3, 4, 5, 6]
    assert ids(chosen(entries, "p_1").entries) == [1, 2, 3, 4, 5, 6]


def test_what_exists_is_told_and_what_is_lost_is_noted() -> None:
    entries = index(
        relation("a"),
        relation("v", 1, desc="VIEW"),
        relation("b"),
        part("FK CONSTRAINT", "b to_a", 1, 3),
        part("PUBLICATION", "p", namespace=None),
        part("PUBLICATION TABLE", "p a", 5, 1),
    )
    found = chosen(entries, "a", present=frozenset({1, 3}))
    assert ids(found.existing) == [1]
    assert found.notes == (
        "view public.v depends on public.a and is not in the database, nor was it chosen",
        "foreign key public.b.to_a depends on public.a and is not in the database, nor was it chosen",
        "public.a was in the publication p, which is not changed",
    )
    assert {2, 3, 4} <= {entry.dump_id for entry in questions(entries, find_roots(entries, ["a"], ()))}


def test_a_schema_brings_all_that_is_in_it_but_not_itself_where_it_is_there() -> None:
    entries = index(
        part("SCHEMA", "app", namespace=None),
        part("ACL", "SCHEMA app", 1, namespace=None),
        part("FUNCTION", "f()", 1, namespace="app"),
        relation("t", 1, namespace="app"),
        relation("other"),
        part("CAST", "CAST (x AS y)", 3, namespace=None),
        part("TRIGGER", "other calls", 5, 3),
    )
    roots = find_roots(entries, (), ["app"])
    assert ids(select(entries, roots, NOBODY).entries) == [1, 2, 3, 4, 6]
    assert ids(select(entries, roots, frozenset({1})).entries) == [3, 4, 6]


def test_what_looks_at_something_that_is_lost_is_lost_too() -> None:
    entries = index(
        relation("t"),
        relation("v", 1, desc="VIEW"),
        relation("w", 2, desc="VIEW"),
        relation("kept", desc="TABLE"),
        relation("x", 2, 4, desc="VIEW"),
    )
    assert {entry.dump_id for entry in questions(entries, find_roots(entries, ["t"], ()))} >= {2, 3, 5}
    assert [note.split(" and ")[0] for note in chosen(entries, "t", present=frozenset({4, 5})).notes] == [
        "view public.v depends on public.t",
        "view public.w depends on public.v",
    ]
    assert chosen(entries, "t", present=frozenset({2, 4, 5})).notes == ()  # w went for another reason


def test_a_foreign_key_that_went_with_a_partition_is_told() -> None:
    entries = index(
        *PARTITIONED,
        relation("lines"),
        part("FK CONSTRAINT", "lines lines_fkey", 1, 4, 7),
    )
    gone = chosen(entries, "sales_1", present=frozenset({1, 7}))
    assert [note.split(" and ")[0] for note in gone.notes] == [
        "foreign key public.lines.lines_fkey depends on public.sales"
    ]
    assert chosen(entries, "sales_1", present=frozenset({1, 7, 8})).notes == ()
