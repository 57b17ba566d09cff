from __future__ import annotations

from holdfast.postgres.column_lists import named, places, put


def test_names_are_read_as_they_are_written() -> None:
    assert named(b'(a, "b, ""c""", d)') == (b"a", b'"b, ""c"""', b"d")


def test_fields_are_put_into_the_order_of_another_list() -> None:
    order = places(b'(a, "b, c", d)', b'(d, a, "b, c")')
    assert put([b"1\t2\t\\N", b"\t\ta\\tb"], order) == [b"\\N\t1\t2", b"a\\tb\t\t"]


def test_nothing_is_put_in_order_that_is_so_or_has_other_columns() -> None:
    assert places(b"(a, b)", b"(a, b)") == ()
    assert places(b"(a, b)", b"(a, c)") == ()
    assert places(b"INSERT", b"(a, b)") == ()
