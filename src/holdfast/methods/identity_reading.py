"""Digests the data of a restored database and of its archive, both at the same time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from holdfast.methods.identity_dump import Look, dumped
from holdfast.methods.subject import Subject, session
from holdfast.postgres import scripts
from holdfast.postgres.data_digest import DataDigest, Rows
from holdfast.postgres.data_script import DataReader
from holdfast.postgres.partitions import groups, read_roots, together
from holdfast.postgres.relation_names import Name
from holdfast.system.beside import beside
from holdfast.system.stop import Stop


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


def read_both(subject: Subject, look: Look, stop: Stop, *, known: DataDigest | None = None) -> Both:
    """Digest both sides at the same time, or the restored one, where the other is `known` already.

    Raise IntegrityError or SourceError, of the side that failed first.
    """
    archived, restored = beside(
        lambda limited: known or read_archived(subject, look, limited),
        lambda limited: dumped(subject, look, limited, known=known),
        stop,
    )
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
