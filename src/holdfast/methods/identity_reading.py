"""Digests the data of a restored database and of its archive, both at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TypeVar

from holdfast.methods.subject import Subject, session
from holdfast.postgres import scripts
from holdfast.postgres.data_digest import DataDigest, Listener, Rows
from holdfast.postgres.data_script import DataReader
from holdfast.postgres.partitions import groups, read_roots, together
from holdfast.postgres.relation_names import Name
from holdfast.postgres.statements import quoted_name
from holdfast.system.stop import Stop

First = TypeVar("First")
Second = TypeVar("Second")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How to read the two sides: in which encoding and time zone, whether with all names in quotes, and who listens.

    `inserts` are pg_dump's options where rows are statements. `tables` are the only ones to dump of the restored side,
    by their own names; none means all, and large objects.
    """

    encoding: str
    codec: str
    quoted: bool
    zone: str = scripts.ZONE
    inserts: frozenset[str] = frozenset()
    ours: Listener | None = field(default=None, repr=False)
    theirs: Listener | None = field(default=None, repr=False)
    tables: tuple[Name, ...] = ()


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
    ours = DataReader(look.codec, look.ours)
    given = subject.archive() if subject.file is None else subject.file
    scripts.of_archive(subject.clients, given, ["--data-only", *subject.of_data], stop, ours.feed)
    return ours.finish()


def read_both(subject: Subject, look: Look, stop: Stop, *, known: DataDigest | None = None) -> Both:
    """Digest both sides at the same time, or the restored one, where the other is `known` already.

    Raise IntegrityError or SourceError, of the side that failed first.
    """
    archived, restored = beside(
        lambda limited: known or read_archived(subject, look, limited),
        lambda limited: _dumped(subject, look, limited, known),
        stop,
    )
    if archived.inserts - look.inserts:  # known only now, and rare: no dump of ours has statements for rows
        look = replace(look, inserts=frozenset(archived.inserts))
        restored = _dumped(subject, look, stop)
    grouped = groups(_roots(subject), archived.tables.keys() | restored.tables.keys())
    return Both(
        archived=replace(archived, tables=together(archived, grouped)),
        restored=replace(restored, tables=together(restored, grouped)),
        groups=grouped,
    )


def read_restored(subject: Subject, look: Look, grouped: Mapping[Name, Name], stop: Stop) -> dict[Name, Rows]:
    """Digest the tables of the restored database alone. Raise SourceError."""
    return together(_dumped(subject, look, stop), grouped)


def _dumped(subject: Subject, look: Look, stop: Stop, known: DataDigest | None = None) -> DataDigest:
    theirs = DataReader(look.codec, look.theirs, known.tables if known is not None else None)
    flags = ["--data-only", *subject.of_data, *_flags(look), *sorted(look.inserts)]
    scripts.of_database(subject.clients, subject.where, flags, stop, theirs.feed, zone=look.zone)
    return theirs.finish()


def _roots(subject: Subject) -> dict[Name, Name]:
    with session(subject.where) as connection:
        return read_roots(connection)


def _flags(look: Look) -> list[str]:
    flags = [f"--encoding={look.encoding}"]
    if look.quoted:
        flags.append("--quote-all-identifiers")
    return flags + [f"--table={quoted_name(schema)}.{quoted_name(name)}" for schema, name in look.tables]


def beside(
    first: Callable[[Stop], First], second: Callable[[Stop], Second], stop: Stop
) -> tuple[First, Second]:
    """Do two things at the same time; when one fails, the other is stopped and the failure raised."""
    with stop.derived() as limited, ThreadPoolExecutor(1, thread_name_prefix="compare") as pool:
        running = pool.submit(_guarded, second, limited)
        try:
            done = first(limited)
        except BaseException:
            if not limited.requested:  # else the other's failure is the cause
                limited.request()
                raise
            running.result()
            raise
        return done, running.result()


def _guarded(work: Callable[[Stop], Second], limited: Stop) -> Second:
    try:
        return work(limited)
    except BaseException:
        limited.request()
        raise
