"""Chooses from an archive's table of contents what some tables or schemas are made of, and what that needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from holdfast.postgres import onlookers
from holdfast.postgres.belonging import FOREIGN_KEY, HOLDERS, INDEX_ATTACH, TABLE_ATTACH, UPON, Belonging
from holdfast.postgres.entries import Entry
from holdfast.postgres.relation_names import Name, find_relations, find_schemas, shown

ALWAYS = frozenset({"ENCODING", "STDSTRINGS", "SEARCHPATH"})
# They tell what the database does, not what a table is.
_NEVER = frozenset(
    {
        "DATABASE",
        "DATABASE PROPERTIES",
        "EVENT TRIGGER",
        "PUBLICATION",
        "PUBLICATION TABLE",
        "PUBLICATION TABLES IN SCHEMA",
        "SUBSCRIPTION",
        "SUBSCRIPTION TABLE",
        "USER MAPPING",
    }
)
# What depends on another table, and can do without.
_NEEDING_NOTHING = (
    _NEVER | UPON | {FOREIGN_KEY, INDEX_ATTACH, "MATERIALIZED VIEW DATA", TABLE_ATTACH, "TABLE DATA"}
)
_ROUTINES = frozenset({"AGGREGATE", "FUNCTION", "OPERATOR", "PROCEDURE"})
_HEAVY = HOLDERS | {"EXTENSION"}
_BETWEEN_TYPES = frozenset({"CAST", "TRANSFORM"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    """What was wished for, as entries: relations, and for a schema all that is in it. `schemas` are their names."""

    entries: tuple[Entry, ...]
    schemas: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """Something of a chosen table that is not restored, and why."""

    what: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Late:
    """What is tried by itself when the rest is there: a foreign key, or a partition's place under its parent."""

    what: str
    entries: tuple[Entry, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """What to restore, in the archive's order. `relations` are the chosen tables and their like, with partitions.

    `also` is what they need and the database lacks, each with its own parts among `entries`; `existing` is what was
    chosen and is there already. Names in `late`, `skipped` and `notes` are for people.
    """

    entries: tuple[Entry, ...]
    relations: tuple[Entry, ...]
    also: tuple[Entry, ...]
    existing: tuple[Entry, ...]
    late: tuple[Late, ...]
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


def find_roots(
    index: Belonging, tables: Iterable[str], schemas: Iterable[str], *, renamed: Iterable[str] = ()
) -> Roots:
    """Find what table and schema patterns mean; those `renamed` are chosen as well.

    Raise NotFoundError or UsageError, naming the option and the pattern.
    """
    relations = {(e.namespace or "", e.tag or ""): e for e in index.entries if e.desc in HOLDERS}
    named = {name for text in tables for name in find_relations(text, relations.keys())}
    for text in renamed:
        named |= find_relations(text, relations.keys(), option="--rename-table")
    spaces = {e.tag or "" for e in index.entries if e.desc == "SCHEMA"}
    spaces |= {space for space, _ in relations}
    inside = frozenset(space for text in schemas for space in find_schemas(text, spaces))
    entries = [relations[name] for name in sorted(named)]
    entries += (entry for entry in index.entries if _stands_in(index, entry, inside))
    return Roots(entries=tuple({entry.dump_id: entry for entry in entries}.values()), schemas=inside)


def roots_named(index: Belonging, names: Collection[Name], schemas: Collection[str] = ()) -> Roots:
    """Give the roots whose exact names are known."""
    entries = [
        entry
        for entry in index.entries
        if (entry.desc in HOLDERS and (entry.namespace, entry.tag) in names)
        or _stands_in(index, entry, schemas)
    ]
    return Roots(entries=tuple(entries), schemas=frozenset(schemas))


def relations_of(index: Belonging, roots: Roots) -> tuple[Entry, ...]:
    """Give the relations that were wished for, with their partitions; a table's own sequences go with it."""
    wished = _expanded(index, roots.entries)
    return tuple(
        entry
        for entry in index.entries
        if entry.dump_id in wished and entry.desc in HOLDERS and index.owner(entry) is None
    )


def with_routines(index: Belonging, roots: Roots) -> Roots:
    """Add to roots that need functions those that these may call: all that need no relation and no extension."""
    whole, _ = _closed(index, roots, frozenset())
    if not any(index.by_id[number].desc in _ROUTINES for number in whole):
        return roots
    more = [
        entry
        for entry in index.entries
        if entry.desc in _ROUTINES
        and not any(index.by_id[n].desc in _HEAVY for n in entry.dependencies if n in index.by_id)
    ]
    entries = {entry.dump_id: entry for entry in (*roots.entries, *more)}
    return Roots(entries=tuple(entries.values()), schemas=roots.schemas)


def _stands_in(index: Belonging, entry: Entry, schemas: Collection[str]) -> bool:
    if entry.desc == "SCHEMA":
        return entry.tag in schemas
    if entry.namespace not in schemas or entry.desc in _NEVER:
        return False
    if entry.desc in UPON:
        return False  # they come with what they are on
    return index.owner(entry) is None


def questions(index: Belonging, roots: Roots) -> tuple[Entry, ...]:
    """Give the entries of which `select` has to know whether the database has them already."""
    whole, also = _closed(index, roots, frozenset())
    asked = {*whole, *also}
    for entry in [index.by_id[number] for number in whole]:
        if entry.desc in {FOREIGN_KEY, TABLE_ATTACH}:
            asked |= {relation.dump_id for relation in index.targets(entry)}
    for entry in onlookers.looking_at(index, whole):
        asked.add(entry.dump_id)
        if (owner := index.owner(entry)) is not None:
            asked.add(owner.dump_id)
    return tuple(entry for entry in index.entries if entry.dump_id in asked)


def select(index: Belonging, roots: Roots, present: frozenset[int], *, alone: bool = False) -> Selection:
    """Choose what the roots are made of and what they need that is not `present` in the database (dump ids).

    With `alone` nothing is tied to what was not chosen: such foreign keys and parents are skipped.
    """
    whole, also = _closed(index, roots, present)
    kept = {entry.dump_id for entry in roots.entries if entry.desc == "SCHEMA"} & present
    chosen = whole - _with_upon(index, kept)
    sorted_out = _ties(index, chosen, present, alone=alone)
    chosen -= {number for tie in sorted_out for number in tie.gone}
    entries = [e for e in index.entries if e.dump_id in chosen or e.desc in ALWAYS]
    wished = _expanded(index, roots.entries)
    return Selection(
        entries=tuple(entries),
        relations=tuple(e for e in entries if e.desc in HOLDERS),
        also=tuple(index.by_id[number] for number in also),
        existing=tuple(
            e for e in entries if e.dump_id in present and e.dump_id in wished and e.desc != FOREIGN_KEY
        ),
        late=tuple(tie.late for tie in sorted_out if tie.late is not None),
        skipped=tuple(tie.skipped for tie in sorted_out if tie.skipped is not None),
        notes=() if alone else tuple(onlookers.notes(index, chosen, present)),
    )


def _expanded(index: Belonging, roots: Iterable[Entry]) -> set[int]:
    """Give the roots with all their parts, partitions, comments and grants."""
    found: set[int] = set()
    left = list(roots)
    while left:
        entry = left.pop()
        if entry.dump_id in found or entry.desc in _NEVER:
            continue
        found.add(entry.dump_id)
        left += index.upon.get(entry.dump_id, ())
        if entry.desc in HOLDERS:
            left += index.parts.get(entry.dump_id, ())
            left += index.partitions.get(entry.dump_id, ())
    return found


def _with_upon(index: Belonging, numbers: Iterable[int]) -> set[int]:
    return {n for number in numbers for n in (number, *(e.dump_id for e in index.upon.get(number, ())))}


def _closed(index: Belonging, roots: Roots, present: frozenset[int]) -> tuple[set[int], list[int]]:
    """Give all that the roots are made of and need, and of that the things that are needed."""
    chosen = _expanded(index, roots.entries)
    if roots.schemas:
        chosen |= _expanded(index, _between(index, chosen))
    also: list[int] = []
    left = sorted(chosen)
    while left:
        entry = index.by_id[left.pop()]
        for need in _needs(index, entry):
            if need.dump_id not in chosen and need.dump_id not in present:
                more = _expanded(index, [need]) - chosen
                also.append(need.dump_id)
                chosen |= more
                left += sorted(more)
    return chosen, also


def _between(index: Belonging, chosen: AbstractSet[int]) -> Iterator[Entry]:
    """Give the casts and the like, which are in no schema, between types and functions that were all chosen."""
    for entry in index.entries:
        known = [number for number in entry.dependencies if number in index.by_id]
        if entry.desc in _BETWEEN_TYPES and known and chosen >= set(known):
            yield entry


def _needs(index: Belonging, entry: Entry) -> Iterator[Entry]:
    if entry.desc in _NEEDING_NOTHING:
        return
    _, parent = index.attached.get(entry.dump_id, (None, None))
    for number in dict.fromkeys(entry.dependencies):
        need = index.by_id.get(number)
        if need is None or need is parent or need.desc in _NEVER:
            continue
        if index.owner(need) is None or need.desc in HOLDERS:
            yield need
    yield from index.unsaid(entry)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tie:
    """What becomes of an entry that ties a chosen table to another: `gone` are the dump ids that leave the selection."""

    gone: frozenset[int]
    late: Late | None = None
    skipped: Skipped | None = None


def _ties(index: Belonging, chosen: Collection[int], present: frozenset[int], *, alone: bool) -> list[_Tie]:
    found: list[_Tie] = []
    always = tuple(e for e in index.entries if e.desc in ALWAYS)
    for entry in (e for e in index.entries if e.dump_id in chosen):
        if entry.desc == INDEX_ATTACH:
            owner = index.owner(entry)
            parent = None if owner is None else index.parent(owner)
            if parent is None or parent.dump_id not in chosen:
                found.append(_Tie(gone=frozenset({entry.dump_id})))  # attaching the table does it
        elif entry.desc in {FOREIGN_KEY, TABLE_ATTACH}:
            found += _tie(index, entry, always, chosen, present, alone=alone)
    return found


def _tie(
    index: Belonging,
    entry: Entry,
    always: tuple[Entry, ...],
    chosen: Collection[int],
    present: frozenset[int],
    *,
    alone: bool,
) -> Sequence[_Tie]:
    targets = index.targets(entry)
    outside = [relation for relation in targets if relation.dump_id not in chosen]
    unknown = not targets and not index.points_at_itself(entry)
    if not outside and not unknown:
        return ()
    what = index.title(entry)
    gone = frozenset(_with_upon(index, [entry.dump_id]))
    names = ", ".join(shown(r.namespace, r.tag or "") for r in outside) or "a table that is not in the backup"
    if alone:
        reason = f"its other end, {names}, is not among what is restored"
    elif missing := [r for r in outside if r.dump_id not in present]:
        names = ", ".join(shown(r.namespace, r.tag or "") for r in missing)
        reason = f"{names} is not in the database"
    else:
        entries = (*always, entry, *index.upon.get(entry.dump_id, ()))
        return (_Tie(gone=gone, late=Late(what=what, entries=entries)),)
    return (_Tie(gone=gone, skipped=Skipped(what=what, reason=reason)),)
