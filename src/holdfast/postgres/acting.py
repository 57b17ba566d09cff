"""Finds what of an archive would act on the world, or on a test itself, when it is restored: pure, by its table of contents.

pg_dump's own words and dependencies are all that is looked at (pg_dump.c, getDependencies and BuildArchiveDependencies).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from holdfast.model.catalog import LeftOut
from holdfast.postgres.entries import Entry

_ACTING = {
    "SUBSCRIPTION": "it would reach out to its publisher",
    "SUBSCRIPTION TABLE": "it would reach out to its publisher",
    "EVENT TRIGGER": "it would act on what the test itself does",
}
_JOBS = {("cron", "job"): "the jobs would run"}  # of pg_cron, which keeps them in a table
_FOREIGN_VIEW = "it shows a foreign table, and nothing reaches out from here"
_NOT_HERE = "the extension was left out by the config"
_SEEN_THROUGH = frozenset(
    {"VIEW", "MATERIALIZED VIEW", "FUNCTION", "TABLE", "PARTITIONED TABLE", "FOREIGN TABLE"}
)
_FILLS = "MATERIALIZED VIEW DATA"
_UNNAMED = frozenset({"COMMENT", "ACL", "SECURITY LABEL"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept out of a restore: the numbers of the entries, and their names and reasons for people."""

    out: frozenset[int]
    left_out: tuple[LeftOut, ...]


def acting(
    entries: Sequence[Entry],
    *,
    without_extensions: Collection[str] = (),
    besides: Mapping[int, str] | None = None,
) -> Kept:
    """Choose what is not restored in a test, `besides` (by dump id, with why) what others found.

    What needs something that is kept out is kept out, too.
    """
    reasons = dict(besides or {})
    for entry in entries:
        if reason := _reason(entry, without_extensions):
            reasons[entry.dump_id] = reason
    for number in _over_foreign_tables(entries):
        reasons.setdefault(number, _FOREIGN_VIEW)
    named = set(reasons)
    add_dependents(entries, reasons, named)
    return Kept(
        out=frozenset(reasons),
        left_out=tuple(
            LeftOut(kind=entry.desc.lower(), name=_name(entry), reason=reasons[entry.dump_id])
            for entry in entries
            if entry.dump_id in named and entry.desc not in _UNNAMED
        ),
    )


def _reason(entry: Entry, without_extensions: Collection[str]) -> str | None:
    if entry.desc == "TABLE DATA":
        return _JOBS.get((entry.namespace or "", entry.tag or ""))
    if entry.desc == "EXTENSION" and (entry.tag or "") in without_extensions:
        return _NOT_HERE
    return _ACTING.get(entry.desc)


def _over_foreign_tables(entries: Iterable[Entry]) -> Iterator[int]:
    """Find the fillings of materialised views that read a foreign table, through whatever views and functions."""
    by_number = {entry.dump_id: entry for entry in entries}
    foreign = {number for number, entry in by_number.items() if entry.desc == "FOREIGN TABLE"}
    if not foreign:
        return
    for entry in by_number.values():  # a partitioned table shows its foreign partitions
        if entry.desc in {"TABLE ATTACH", "FOREIGN TABLE"} and (
            entry.dump_id in foreign or foreign.intersection(entry.dependencies)
        ):
            foreign |= {
                number
                for number in entry.dependencies
                if number in by_number and by_number[number].desc in {"TABLE", "PARTITIONED TABLE"}
            }
    known: dict[int, bool] = {}
    for entry in by_number.values():
        if entry.desc == _FILLS and _reaches(entry.dump_id, by_number, foreign, known):
            yield entry.dump_id


def _reaches(start: int, entries: Mapping[int, Entry], goal: set[int], known: dict[int, bool]) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        for number in entries[waiting.pop()].dependencies:
            if number in goal or known.get(number):
                known[start] = True
                return True
            if number in entries and number not in seen and entries[number].desc in _SEEN_THROUGH:
                seen.add(number)
                waiting.append(number)
    return False


def add_dependents(entries: Iterable[Entry], reasons: dict[int, str], named: set[int]) -> None:
    """Add to `reasons` (by dump id) what cannot be without what is in them already, each with that one's reason.

    All that is added is `named`, but comments and grants, which need no name of their own.
    """
    upon: defaultdict[int, list[Entry]] = defaultdict(list)
    for entry in entries:
        for number in entry.dependencies:
            upon[number].append(entry)
    waiting = list(reasons)
    while waiting:
        number = waiting.pop()
        for entry in upon[number]:
            if entry.dump_id not in reasons:
                reasons[entry.dump_id] = reasons[number]
                waiting.append(entry.dump_id)
                if entry.desc not in _UNNAMED:
                    named.add(entry.dump_id)


def _name(entry: Entry) -> str:
    return f"{entry.namespace}.{entry.tag}" if entry.namespace else entry.tag or ""
