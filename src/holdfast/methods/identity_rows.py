"""Compares the rows, sequences and large objects of a restored database with those of its archive."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from holdfast.methods.identity_reading import Both
from holdfast.methods.subject import Subject
from holdfast.model.catalog import SEQUENCE_VALUE, LeftOut
from holdfast.model.comparison import Content, Difference, How, TableCompared
from holdfast.postgres.data_digest import Rows
from holdfast.postgres.relation_names import Name, shown

_SHOWN = 300
_COUNT_ONLY = "the archive was made without its rows"


def tables(subject: Subject, both: Both) -> Iterator[TableCompared]:
    """Put the two sides of each table beside each other, with what the catalog counted."""
    counted = {(table.schema, table.name): table.rows for table in subject.found.tables}
    parts: dict[Name, list[Name]] = {}
    for leaf, root in both.groups.items():
        parts.setdefault(root, []).append(leaf)
    for name in sorted(both.archived.tables.keys() | both.restored.tables.keys()):
        counts = [counted.get(part) for part in parts.get(name, [name])]
        known = [count for count in counts if count is not None]
        yield TableCompared(
            name=shown(*name),
            archived=_content(both.archived.tables.get(name)),
            restored=_content(both.restored.tables.get(name)),
            source_rows=sum(known) if len(known) == len(counts) else None,
        )


def _content(rows: Rows | None) -> Content | None:
    return None if rows is None else Content(rows=rows.lines.count, digest=rows.lines.digest)


def table_differences(compared: TableCompared) -> Iterator[Difference]:
    """Tell what is not the same about a table: its rows, or their number against that of the source."""
    ours, theirs = compared.archived, compared.restored
    if ours is None:
        if theirs is not None and theirs.rows:
            yield Difference(
                kind="rows",
                name=compared.name,
                how="unexpected",
                expected="no rows: " + _COUNT_ONLY,
                found=_rows(theirs.rows),
            )
        return
    if theirs is None:
        yield Difference(kind="rows", name=compared.name, how="missing", expected=_rows(ours.rows))
    elif ours != theirs:
        same = ours.rows == theirs.rows
        yield Difference(
            kind="rows",
            name=compared.name,
            how="different",
            expected=f"{_rows(ours.rows)}, digest {ours.digest}" if same else _rows(ours.rows),
            found=f"{_rows(theirs.rows)}, digest {theirs.digest}" if same else _rows(theirs.rows),
        )
    if compared.source_rows is not None and compared.source_rows != ours.rows:
        yield Difference(
            kind="row count",
            name=compared.name,
            how="different",
            expected=f"{_rows(compared.source_rows)} in the source",
            found=f"{_rows(ours.rows)} in the archive",
        )


def column_differences(both: Both) -> Iterator[Difference]:
    """Tell of tables whose rows have other columns, or the same in another order."""
    for name in sorted(both.archived.tables.keys() & both.restored.tables.keys()):
        ours, theirs = both.archived.tables[name].columns, both.restored.tables[name].columns
        if ours != theirs:
            yield Difference(
                kind="columns",
                name=shown(*name),
                how="different",
                expected=_lists(ours - theirs),
                found=_lists(theirs - ours),
            )


def sequence_differences(subject: Subject, both: Both) -> Iterator[Difference]:
    """Tell of sequences that stand elsewhere; of some the backup holds no value."""
    ours, theirs = both.archived.sequences, both.restored.sequences
    without = {item.name for item in subject.found.left_out if item.kind == SEQUENCE_VALUE}
    for name in sorted(ours.keys() | theirs.keys()):
        if name not in ours and ".".join(name) in without:
            continue
        if ours.get(name) != theirs.get(name):
            how: How = "unexpected" if name not in ours else "missing" if name not in theirs else "different"
            yield Difference(
                kind="sequence",
                name=shown(*name),
                how=how,
                expected=ours.get(name),
                found=theirs.get(name),
            )


def large_object_differences(subject: Subject, both: Both) -> Iterator[Difference]:
    """Tell whether there are others, or others in content, owner, privileges or comment; which, a second look tells."""
    ours, theirs = both.archived, both.restored
    facts, others = ours.large_object_facts, theirs.large_object_facts
    if (ours.large_objects, facts.count, facts.digest) != (
        theirs.large_objects,
        others.count,
        others.digest,
    ):
        yield Difference(
            kind="large objects",
            name="all",
            how="different",
            expected=f"{ours.large_objects}, digest {facts.digest}",
            found=f"{theirs.large_objects}, digest {others.digest}",
        )
    kept_out = any(item.kind == "large objects" for item in (*subject.found.left_out, *subject.left_out))
    if ours.large_objects < subject.found.large_objects and not kept_out:
        yield Difference(
            kind="large objects",
            name="all",
            how="different",
            expected=f"{subject.found.large_objects} in the source",
            found=f"{ours.large_objects} in the archive",
        )


def statement_differences(both: Both) -> Iterator[Difference]:
    """Tell of statements among the data that only one side has, and that are none of the usual ones."""
    ours, theirs = Counter(both.archived.others), Counter(both.restored.others)
    for text in sorted((ours - theirs) + (theirs - ours)):
        how: How = "missing" if ours[text] > theirs[text] else "unexpected"
        yield Difference(kind="statement", name=text[:_SHOWN], how=how)


def tables_left_out(subject: Subject, both: Both) -> Iterator[LeftOut]:
    """Name the tables that the backup does not hold, and those whose rows it does not hold, and why."""
    for table in subject.found.tables:
        if table.left_out:
            yield LeftOut(kind="table", name=shown(table.schema, table.name), reason=table.left_out)
    reasons = {(table.schema, table.name): table.data_left_out for table in subject.found.tables}
    for name in sorted(both.restored.tables.keys() - both.archived.tables.keys()):
        yield LeftOut(kind="rows", name=shown(*name), reason=reasons.get(name) or _COUNT_ONLY)


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count} rows"


def _lists(columns: set[bytes]) -> str:
    return " and ".join(text.decode("utf-8", "replace") for text in sorted(columns))[:_SHOWN]
