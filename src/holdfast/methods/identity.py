"""Holds a restored database against its archive: every row, every definition, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from holdfast.methods import identity_rows as rows
from holdfast.methods.identity_definitions import compare_definitions
from holdfast.methods.subject import Subject, fills, read_toc
from holdfast.model.comparison import Comparison, Phase
from holdfast.system import clock
from holdfast.system.stop import Stop

__all__ = ["Subject", "compare_database"]


@dataclass(slots=True)
class _Phases:
    """Times what is done; `doing` is told of each phase as it begins."""

    doing: Callable[[str], None]
    done: list[Phase] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.doing(name)
        ticking = clock.SystemClock()
        begun = ticking.monotonic()
        yield
        self.done.append(Phase(name=name, seconds=ticking.monotonic() - begun))


def compare_database(
    subject: Subject, *, stop: Stop, doing: Callable[[str], None] = lambda _: None
) -> Comparison:
    """Compare everything. Nothing of the content is kept or written anywhere but digests, counts and names.

    Raise IntegrityError where the archive cannot be read, what opening it raises, and SourceError where the server
    or its programs do not work: then nothing is proven, and nothing disproven.
    """
    phases = _Phases(doing)
    with phases.phase("contents"):
        toc = read_toc(subject)
        quoted = fills(toc, "utf-8").quoted
    with phases.phase("definitions"):
        definitions = compare_definitions(subject, toc, quoted=quoted, stop=stop)
    with phases.phase("rows"):
        how = fills(toc, definitions.codec)
        both = rows.read_both(subject, definitions, how, stop)
    tables = tuple(rows.tables(subject, how, both))
    differences = [
        *definitions.differences,
        *(difference for table in tables for difference in rows.table_differences(table)),
        *rows.column_differences(both),
        *rows.sequence_differences(both),
        *rows.large_object_differences(subject, both),
    ]
    return Comparison(
        database=subject.found.name,
        tables=tables,
        definitions=definitions.count,
        sequences=len(both.archived.sequences),
        large_objects=both.archived.large_objects,
        differences=tuple(differences),
        respelled=definitions.respelled,
        left_out=(*subject.found.left_out, *subject.left_out, *rows.rows_left_out(subject, both)),
        phases=tuple(phases.done),
    )
