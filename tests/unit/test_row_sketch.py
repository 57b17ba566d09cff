"""A row, or a large object, that only one side has is found without holding any."""

from __future__ import annotations

import random

import pytest
from xxhash import xxh3_128_hexdigest, xxh3_128_intdigest

from holdfast.postgres.row_sketch import Example, LargeObject, Sketch

_T = ("public", "t")


def _sketch(rows: list[bytes]) -> Sketch:
    sketch = Sketch({_T: _T})
    if rows:
        sketch.lines(_T, rows)
    return sketch


_ROWS = [b"row %d" % n for n in range(5000)]


def test_a_missing_row_is_found() -> None:
    found = _sketch(_ROWS).example(_sketch(_ROWS[:77] + _ROWS[78:]), _T)
    assert found == Example(row=xxh3_128_hexdigest(b"row 77"), side="archive")


def test_a_row_that_is_there_twice_is_found() -> None:
    found = _sketch(_ROWS).example(_sketch([*_ROWS, b"row 7"]), _T)
    assert found == Example(row=xxh3_128_hexdigest(b"row 7"), side="restored")


def test_of_a_changed_row_the_archives_is_told() -> None:
    found = _sketch(_ROWS).example(_sketch([*_ROWS[1:], b"other"]), _T)
    assert found == Example(row=xxh3_128_hexdigest(b"row 0"), side="archive")


@pytest.mark.parametrize("changed", [10, 1000, 5000])
def test_of_many_differences_one_is_found(changed: int) -> None:
    other = [b"x" + row for row in _ROWS[:changed]] + _ROWS[changed:]
    found = _sketch(_ROWS).example(_sketch(other), _T)
    assert found is not None
    assert found.row in {xxh3_128_hexdigest(row) for row in (_ROWS if found.side == "archive" else other)}


def test_no_difference_has_no_example() -> None:
    assert _sketch(_ROWS).example(_sketch(_ROWS[::-1]), _T) is None


def test_a_partition_counts_as_its_root_and_other_tables_do_not_count() -> None:
    leaf = ("public", "leaf")
    ours, theirs = (Sketch({_T: _T, leaf: _T}) for _ in range(2))
    ours.lines(leaf, [b"a"])
    theirs.lines(_T, [b"a"])
    theirs.lines(("public", "other"), [b"b"])
    assert ours.example(theirs, _T) is None
    theirs.long_line(leaf, xxh3_128_intdigest(b"c"))
    assert ours.example(theirs, _T) == Example(row=xxh3_128_hexdigest(b"c"), side="restored")


def _objects(facts: dict[int, list[bytes]]) -> Sketch:
    sketch = Sketch({})
    items = [(oid, fact) for oid, each in facts.items() for fact in each]
    random.Random(3).shuffle(items)
    for oid, fact in items:
        sketch.large_object(oid, xxh3_128_intdigest(fact), made=fact.startswith(b"create"))
    return sketch


def test_large_objects_that_differ_are_told_by_their_numbers() -> None:
    facts = {
        oid: [b"create %d" % oid, b"content %d" % oid] for oid in (5, 4242, 2**32 - 1, *range(9000, 9500))
    }
    other = {**facts, 4242: [b"create 4242", b"content x"], 77: [b"create 77"]}
    del other[5]
    found = _objects(facts).large_objects(_objects(other))
    assert sorted(found, key=lambda each: each.number) == [
        LargeObject(number=5, only="archive"),
        LargeObject(number=77, only="restored"),
        LargeObject(number=4242, only=None),
    ]
    assert _objects(facts).large_objects(_objects(facts)) == ()
