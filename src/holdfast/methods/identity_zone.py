"""Compares rows again in the time zone of their dump, where that was not UTC: of an older backup, or of another program."""

from __future__ import annotations

from dataclasses import dataclass, replace

from holdfast.methods.identity_dump import Look
from holdfast.methods.identity_reading import Both, read_restored
from holdfast.methods.subject import Subject, session
from holdfast.postgres.relation_names import Name
from holdfast.postgres.zones import Times, fitting_zones
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What both sides are, how to read them again, and the zone that was found, if it was needed."""

    both: Both
    look: Look
    zone: str | None = None


def settle(subject: Subject, look: Look, both: Both, times: Times, stop: Stop) -> Settled:
    """Dump the tables that differ once more, in the zones that fit the times in the archive.

    That is no way to pass: in a zone in which all rows of a table are the same text, they are the same. Errors as in
    `read_restored`.
    """
    as_it_is = Settled(both=both, look=look)
    tables = _differing(both)
    found = times.of({leaf for leaf, root in both.groups.items() if root in tables} | tables)
    if not found:
        return as_it_is
    with session(subject.where) as connection:
        zones = fitting_zones(connection, found)
    best = as_it_is
    for zone in zones:
        there = replace(look, zone=zone, ours=None)
        again = read_restored(subject, replace(there, tables=_members(both, tables)), both.groups, stop)
        merged = {**both.restored.tables, **{name: again[name] for name in tables if name in again}}
        candidate = replace(both, restored=replace(both.restored, tables=merged))
        if len(_differing(candidate)) < len(_differing(best.both)):
            best = Settled(both=candidate, look=there, zone=zone)
        if not _differing(candidate):
            break
    return best


def _differing(both: Both) -> set[Name]:
    """Give the tables that have the same number of rows and are not the same."""
    ours, theirs = both.archived.tables, both.restored.tables
    return {
        name
        for name in ours.keys() & theirs.keys()
        if ours[name].lines.count == theirs[name].lines.count
        and ours[name].lines.digest != theirs[name].lines.digest
    }


def _members(both: Both, tables: set[Name]) -> tuple[Name, ...]:
    leaves = {leaf for leaf, root in both.groups.items() if root in tables}
    names = leaves | (tables - set(both.groups.values()))
    return tuple(sorted(names)) if all(part.isascii() for name in names for part in name) else ()
