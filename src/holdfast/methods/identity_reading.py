"""Digests the data of a restored database and of its archive, both at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from holdfast.methods.identity_dump import Look, begin_dump, dumped
from holdfast.methods.subject import Subject, session
from holdfast.postgres import scripts
from holdfast.postgres.data_digest import DataDigest, Rows
from holdfast.postgres.data_script import DataReader
from holdfast.postgres.partitions import groups, read_roots, together
from holdfast.postgres.relation_names import Name
from holdfast.system.crew import Crew, crew
from holdfast.system.stop import Stop

SESSIONS = 2  # with the server: each keeps a processor busy, and is waited for


@dataclass(frozen=True, slots=True, kw_only=True)
class Both:
    """What the data of the two sides is: tables are in groups where rows of partitions are loaded through their root.

    `groups` tells which partitions are counted at which root.
    """

    archived: DataDigest
    restored: DataDigest
    groups: Mapping[Name, Name]


def read_archived(subject: Subject, look: Look, stop: Stop) -> DataDigest:
    """Digest the archive alone, from which nothing may have been restored yet. Raise IntegrityError."""
    ours = DataReader(look.codec, look.ours, orders=look.orders)
    given = subject.archive() if subject.file is None else subject.file
    scripts.of_archive(subject.clients, given, ["--data-only", *subject.of_data], stop, ours.feed)
    return ours.finish()


def read_both(subject: Subject, look: Look, stop: Stop) -> Both:
    """Digest both sides at the same time. Raise IntegrityError or SourceError, of the side that failed first."""
    with crew(SESSIONS, stop) as hands:
        reading = begin_both(hands, subject, look)
    return reading(stop)


def begin_both(
    hands: Crew, subject: Subject, look: Look, *, known: DataDigest | None = None
) -> Callable[[Stop], Both]:
    """Begin to digest both sides, or the restored one where the archive is `known` already.

    What is given gives them when the crew was left.
    """
    reading = hands.begin(lambda stop: known or read_archived(subject, look, stop))
    dumping = begin_dump(hands, subject, look, known)
    return lambda stop: _both(subject, look, reading.result(), dumping(), stop)


def _both(subject: Subject, look: Look, archived: DataDigest, restored: DataDigest, stop: Stop) -> Both:
    if archived.inserts - look.inserts:  # known only now, and rare: no dump of ours has statements for rows
        look = replace(look, inserts=frozenset(archived.inserts))
        restored = dumped(subject, look, stop)
    grouped = groups(_roots(subject), archived.tables.keys() | restored.tables.keys())
    return Both(
        archived=replace(archived, tables=together(archived, grouped)),
        restored=replace(restored, tables=together(restored, grouped)),
        groups=grouped,
    )


def read_restored(subject: Subject, look: Look, grouped: Mapping[Name, Name], stop: Stop) -> dict[Name, Rows]:
    """Digest the tables of the restored database alone. Raise SourceError."""
    return together(dumped(subject, look, stop), grouped)


def _roots(subject: Subject) -> dict[Name, Name]:
    with session(subject.where) as connection:
        return read_roots(connection)
