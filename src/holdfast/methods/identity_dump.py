"""Dumps the data of a restored database again, and digests it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from holdfast.methods.subject import Subject, session
from holdfast.postgres import scripts
from holdfast.postgres.data_digest import DataDigest, Listener
from holdfast.postgres.data_script import DataReader
from holdfast.postgres.relation_names import Name
from holdfast.postgres.restored import tables
from holdfast.postgres.statements import quoted_name
from holdfast.system.crew import Crew
from holdfast.system.stop import Stop

_WORTH_TWO = 64 * 1024 * 1024  # a second pg_dump reads the whole catalog first
_MOST_APART = 100  # names on a command line
_ROW = 100  # what a row costs the server besides its text, in bytes of that


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How to read the two sides: in which encoding and time zone, whether with all names in quotes, and who listens.

    `inserts` are pg_dump's options where rows are statements. `tables` are the only ones to dump of the restored side,
    by their own names; none means all, and large objects. Rows of tables in `orders` are put into the order of that list
    of columns.
    """

    encoding: str
    codec: str
    quoted: bool
    zone: str = scripts.ZONE
    inserts: frozenset[str] = frozenset()
    ours: Listener | None = field(default=None, repr=False)
    theirs: Listener | None = field(default=None, repr=False)
    tables: tuple[Name, ...] = ()
    orders: Mapping[Name, bytes] = field(default_factory=dict)


def dumped(subject: Subject, look: Look, stop: Stop) -> DataDigest:
    """Dump and digest what the look wants, in one session. Raise SourceError."""
    return _dumped(subject, look, [], None, stop)


def begin_dump(
    hands: Crew, subject: Subject, look: Look, known: DataDigest | None
) -> Callable[[], DataDigest]:
    """Begin the same; what is given gives it when the crew was left.

    Where the archive is `known`, rows are known again, and there are two sessions if that is quicker: each is bound by
    the one server process that writes its rows.
    """
    apart = [] if known is None or look.tables else _apart(subject, known)

    def begin(which: list[str]) -> Future[DataDigest]:
        return hands.begin(lambda stop: _dumped(subject, look, which, known, stop))

    rest = begin([f"--exclude-table-data={name}" for name in apart])
    if not apart:
        return rest.result
    half = begin([f"--table={name}" for name in apart])
    return lambda: _together(rest.result(), half.result())


def _together(rest: DataDigest, half: DataDigest) -> DataDigest:
    return replace(
        rest,
        tables=rest.tables | half.tables,
        sequences=rest.sequences | half.sequences,
        others=list((Counter(rest.others) | Counter(half.others)).elements()),
        inserts=rest.inserts | half.inserts,
    )


def _dumped(
    subject: Subject, look: Look, which: list[str], known: DataDigest | None, stop: Stop
) -> DataDigest:
    theirs = DataReader(look.codec, look.theirs, known.tables if known is not None else None, look.orders)
    flags = ["--data-only", *subject.of_data, *_flags(look), *sorted(look.inserts), *which]
    scripts.of_database(subject.clients, subject.where, flags, stop, theirs.feed, zone=look.zone)
    return theirs.finish()


def _apart(subject: Subject, known: DataDigest) -> list[str]:
    """Choose tables that are about half of the work, if there is much; give their names as pg_dump takes them.

    They have to be there: a pg_dump that finds none of what it was told to dump fails.
    """
    work = {
        name: rows.lines.count * _ROW + sum(trail.size for trail in rows.trails)
        for name, rows in known.tables.items()
    }
    if sum(work.values()) < _WORTH_TWO:
        return []
    with session(subject.where) as connection:
        there = tables(connection)
    chosen: list[Name] = []
    apart = rest = 0
    for name in sorted(work, key=lambda name: -work[name]):
        # pg_dump reads names in the encoding that it dumps in.
        if name in there and "".join(name).isascii() and apart < rest and len(chosen) < _MOST_APART:
            chosen.append(name)
            apart += work[name]
        else:
            rest += work[name]
    return [_pattern(name) for name in chosen]


def _flags(look: Look) -> list[str]:
    flags = [f"--encoding={look.encoding}"]
    if look.quoted:
        flags.append("--quote-all-identifiers")
    return flags + [f"--table={_pattern(name)}" for name in look.tables]


def _pattern(name: Name) -> str:
    return ".".join(map(quoted_name, name))
