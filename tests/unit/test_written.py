from __future__ import annotations

from collections.abc import Mapping

from holdfast.jobs.written_since import DefinitionChange, SequenceChange, TableChange, Unread, written
from holdfast.postgres.compare import Digest
from holdfast.postgres.survey import LARGE_OBJECTS, Survey


def surveyed(
    *,
    tables: Mapping[str, str] | None = None,
    sequences: Mapping[str, str] | None = None,
    large_objects: Mapping[str, str] | None = None,
    definitions: dict[str, str] | None = None,
    unread: dict[str, str] | None = None,
) -> Survey:
    return Survey(
        digest=Digest(tables=tables or {}, sequences=sequences or {}, large_objects=large_objects or {}),
        definitions=definitions or {},
        unread=unread or {},
    )


def test_what_is_the_same_is_not_named() -> None:
    same = surveyed(tables={"a": "1 5 6"}, sequences={"s": "1 t"}, definitions={"table a": "x"})
    found = written(same, same)
    assert (found.tables_compared, found.tables, found.sequences, found.definitions) == (1, (), (), ())


def test_rows_and_sequences_are_told_as_numbers() -> None:
    found = written(
        surveyed(tables={"a": "3 5 6", "b": "1 2 3"}, sequences={"s": "9 t"}),
        surveyed(tables={"a": "3 5 7", "c": "0"}, sequences={"s": "1 f", "t": "2 t"}),
    )
    assert found.tables == (
        TableChange(name="a", rows_old=3, rows_backup=3),
        TableChange(name="b", rows_old=1, rows_backup=None),
        TableChange(name="c", rows_old=None, rows_backup=0),
    )
    assert found.sequences == (
        SequenceChange(name="s", old=9, backup=1),
        SequenceChange(name="t", old=None, backup=2),
    )


def test_what_could_not_be_read_is_neither_changed_nor_missing() -> None:
    """Its own things are still compared: the table is there on both sides."""
    found = written(
        surveyed(
            definitions={"trigger g on a": "x"},
            unread={"a": "broken", "s": "broken", LARGE_OBJECTS: "broken"},
        ),
        surveyed(tables={"a": "1 1 1"}, sequences={"s": "1 t"}, large_objects={"16": "x"}),
    )
    assert (found.tables, found.sequences, found.large_objects, found.tables_compared) == ((), (), (), 0)
    assert found.definitions == (DefinitionChange(name="trigger g on a", where="old"),)
    assert {each.name for each in found.unread} == {"a", "s", LARGE_OBJECTS}
    assert Unread(name="a", error="broken") in found.unread


def test_what_is_on_a_table_that_is_missing_goes_without_saying() -> None:
    found = written(
        surveyed(
            tables={"app.new": "0"},
            definitions={"table app.new": "x", "policy p on app.new": "x", "view app.newer": "x"},
        ),
        surveyed(),
    )
    assert [each.name for each in found.definitions] == ["view app.newer"]
