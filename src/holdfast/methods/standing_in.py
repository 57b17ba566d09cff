"""Decides what of a Supabase project's archive is stood in for in a restore test: extensions that are not installed there."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from holdfast.model.catalog import Database, LeftOut
from holdfast.postgres.copy_text import columns
from holdfast.postgres.entries import Entry
from holdfast.postgres.stand_ins import StandIn, StoodIn

_WHY = "it is not installed here and was stood in for: what it does was not proven"
_UPON = "privileges and comments on what an extension brings were not proven, as some extensions were stood in for"
_ALWAYS_THERE = frozenset({"pg_catalog", "public"})


def stood_in(entries: Sequence[Entry], found: Database, missing: Collection[str]) -> StoodIn:
    """Tell what stands in for the `missing` extensions. `entries` have their COPY statements."""
    tables: dict[str, list[Entry]] = {}
    known = {(table.schema, table.name): table.extension for table in found.tables}
    for entry in entries:
        owner = known.get((entry.namespace or "", entry.tag or ""))
        if entry.desc == "TABLE DATA" and owner in missing:
            tables.setdefault(owner or "", []).append(entry)
    extensions = tuple(
        StandIn(
            name=each.name,
            version=each.version,
            schema=each.schema,
            tables=tuple((_name(entry), _columns(entry)) for entry in tables.get(each.name, ())),
        )
        for each in found.extensions
        if each.name in missing
    )
    wanted = {each.schema for each in extensions} | {
        schema for each in extensions for (schema, _), _ in each.tables
    }
    wanted -= _ALWAYS_THERE
    made = {entry.tag or "": entry for entry in entries if entry.desc == "SCHEMA" and entry.tag in wanted}
    return StoodIn(
        extensions=extensions,
        schemas=tuple((schema, made[schema].owner if schema in made else None) for schema in sorted(wanted)),
        entries=frozenset(entry.dump_id for entry in made.values()),
    )


def needing(entries: Sequence[Entry], missing: Collection[str]) -> dict[int, str]:
    """Find what needs the extensions themselves, by dump id, with why it is left out: their rows do not."""
    numbers = {entry.dump_id: entry.tag or "" for entry in entries if entry.desc == "EXTENSION"}
    stand_ins = {number: name for number, name in numbers.items() if name in missing}
    there = {entry.dump_id for entry in entries}
    found: dict[int, str] = {}
    for entry in entries:
        if entry.desc in {"ACL", "COMMENT", "SECURITY LABEL"}:
            if stand_ins and not there.issuperset(entry.dependencies):  # it is upon what no entry makes
                found[entry.dump_id] = _UPON
        elif entry.desc != "TABLE DATA" and (needed := stand_ins.keys() & set(entry.dependencies)):
            found[entry.dump_id] = f"it needs the extension {stand_ins[min(needed)]}, which was stood in for"
    return found


def told(stood: StoodIn) -> tuple[LeftOut, ...]:
    """Name what was stood in for."""
    named = [LeftOut(kind="extension", name=each.name, reason=_WHY) for each in stood.extensions]
    if named:
        named.append(LeftOut(kind="privileges", name="on what extensions bring", reason=_UPON))
    return tuple(named)


def _name(entry: Entry) -> tuple[str, str]:
    return entry.namespace or "", entry.tag or ""


def _columns(entry: Entry) -> tuple[str, ...]:
    listed = columns((entry.copy or "").strip().encode("utf-8", "surrogateescape"))
    return tuple(each.decode("utf-8", "surrogateescape") for each in listed)
