"""Holds a restored database against its archive: every row, every definition, and what belongs to them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from holdfast.methods import identity_catalog as belongings
from holdfast.methods import identity_rows as rows
from holdfast.methods.identity_columns import reorder
from holdfast.methods.identity_definitions import Contents, compare_definitions, read_contents
from holdfast.methods.identity_dump import Look
from holdfast.methods.identity_examples import second_look
from holdfast.methods.identity_globals import compare_globals
from holdfast.methods.identity_reading import SESSIONS, begin_both, read_archived
from holdfast.methods.identity_zone import settle
from holdfast.methods.subject import Subject
from holdfast.model.comparison import Comparison, Phase, Validity
from holdfast.model.errors import IntegrityError, SourceError
from holdfast.postgres.data_digest import DataDigest
from holdfast.postgres.zones import Times
from holdfast.system import clock
from holdfast.system.crew import crew
from holdfast.system.stop import Stop

__all__ = ["Archived", "Subject", "compare_database", "compare_globals", "read_archive"]

Checked = tuple[tuple[tuple[Validity, ...], tuple[str, ...]], Phase]


@dataclass(slots=True)
class _Phases:
    """Times what is done; `doing` is told of each phase as it begins."""

    doing: Callable[[str], None]
    done: list[Phase] = field(default_factory=list)
    now: Callable[[], float] = clock.SystemClock().monotonic

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self.doing(name)
        begun = self.now()
        yield
        self.done.append(Phase(name=name, seconds=self.now() - begun))


@dataclass(frozen=True, slots=True, kw_only=True)
class Archived:
    """All that an archive holds: what rows there are, and how to read the other side as this one was read."""

    contents: Contents
    look: Look
    data: DataDigest
    times: Times


def read_archive(subject: Subject, stop: Stop) -> Archived:
    """Read the archive's side alone, which may be done while it is restored. Raise IntegrityError."""
    contents = read_contents(subject, stop)
    look, times = _look(contents)
    return Archived(contents=contents, look=look, data=read_archived(subject, look, stop), times=times)


def compare_database(
    subject: Subject,
    *,
    archived: Archived | None = None,
    stop: Stop,
    doing: Callable[[str], None] = lambda _: None,
    with_amcheck: bool = True,
) -> Comparison:
    """Compare everything. Nothing of the content is kept or written anywhere but digests, counts and names.

    The archive is read beside the database, unless it was before.
    Raise IntegrityError where the archive cannot be read, what opening it raises, and SourceError where the server
    or its programs do not work: then nothing is proven, and nothing disproven.
    """
    phases = _Phases(doing)
    with phases.phase("contents"):
        contents = read_contents(subject, stop) if archived is None else archived.contents
    with phases.phase("definitions"):
        definitions = compare_definitions(subject, contents, stop)
    look, times = _look(contents) if archived is None else (archived.look, archived.times)
    known = None if archived is None else archived.data

    def checked(limited: Stop) -> Checked:
        began = phases.now()
        found = belongings.check_validity(subject, limited, with_amcheck=with_amcheck)
        return found, Phase(name="validity", seconds=phases.now() - began)

    with phases.phase("rows"):
        with crew(SESSIONS, stop) as hands:
            reading = begin_both(hands, subject, look, known=known)
            checking = hands.begin(checked)
        (validity, unchecked), took = checking.result()
        settled = settle(subject, look, reading(stop), times, stop)
        look = settled.look
        reordered = reorder(subject, look, settled.both, stop)
        look, both = reordered.look, reordered.both
    with phases.phase("properties"):
        there = belongings.read_restored(subject, stop)
        views = belongings.compare_views(subject, there)
        anew = tuple(belongings.made_anew(subject))
    tables = tuple(rows.tables(subject, both))
    differences = (
        *belongings.contents_differences(subject, contents.toc),
        *definitions.differences,
        *(difference for table in tables for difference in rows.table_differences(table)),
        *rows.column_differences(both),
        *rows.sequence_differences(subject, both),
        *rows.large_object_differences(subject, both),
        *rows.statement_differences(both),
        *belongings.property_differences(subject, there),
        *views.differences,
    )
    notes = [
        *([f"the archive was dumped in the time zone {settled.zone}"] if settled.zone else []),
        *reordered.notes,
        *views.notes,
        *belongings.version_notes(subject, there),
        *unchecked,
    ]
    if any(each.kind in {"rows", "large objects"} for each in differences):
        with phases.phase("examples"):
            try:
                differences = second_look(subject, look, both, differences, stop)
            except (SourceError, IntegrityError) as error:  # what differs is known, and stays so
                stop.check()
                notes.append(f"no rows can be named as examples: {error.message}")
    return Comparison(
        database=subject.found.name,
        tables=tables,
        definitions=definitions.count,
        sequences=len(both.archived.sequences),
        large_objects=both.archived.large_objects,
        differences=differences,
        respelled=definitions.respelled,
        left_out=(
            *subject.found.left_out,
            *subject.left_out,
            *rows.tables_left_out(subject, both),
            *anew,
        ),
        notes=tuple(notes),
        validity=validity,
        phases=(*phases.done, took),
    )


def _look(contents: Contents) -> tuple[Look, Times]:
    times = Times()
    return Look(encoding=contents.encoding, codec=contents.codec, quoted=contents.quoted, ours=times), times
