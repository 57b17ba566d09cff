"""Finds, in an archive, what looks at chosen tables without being chosen, and tells what of it the database has lost."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from holdfast.postgres.belonging import FOREIGN_KEY, Belonging
from holdfast.postgres.entries import Entry
from holdfast.postgres.relation_names import shown

_LOOKERS = frozenset({"AGGREGATE", "FUNCTION", "MATERIALIZED VIEW", "PROCEDURE", "TABLE", "VIEW"})


def looking_at(index: Belonging, chosen: Collection[int]) -> list[Entry]:
    """Give the views, functions and foreign keys outside of the chosen that look at a chosen relation.

    Those that look at one of these follow it. A foreign key looks at all partitions of the table that it names.
    """
    found: list[Entry] = []
    reached, above = set(chosen), _ancestors(index, chosen)
    grown = True
    while grown:
        grown = False
        for entry in index.entries:
            if entry.dump_id in reached or not (entry.desc in _LOOKERS or entry.desc == FOREIGN_KEY):
                continue
            if _seen(index, entry, reached, above):
                found.append(entry)
                reached.add(entry.dump_id)
                grown = True
    return found


def notes(index: Belonging, chosen: Collection[int], present: Collection[int]) -> Iterator[str]:
    """Tell what went with the chosen relations, as with DROP … CASCADE, and does not come back with them."""
    lost = set(chosen)
    above = _ancestors(index, chosen) & set(present)
    for entry in looking_at(index, chosen):
        owner = index.owner(entry)
        if entry.dump_id in present or (owner is not None and owner.dump_id not in present):
            continue
        if seen := _seen(index, entry, lost, above):
            lost.add(entry.dump_id)
            names = ", ".join(shown(relation.namespace, relation.tag or "") for relation in seen)
            yield f"{index.title(entry)} depends on {names} and is not in the database, nor was it chosen"
    for entry in index.entries:
        if entry.desc == "PUBLICATION TABLE":
            for relation in index.relations_of(entry):
                if relation.dump_id in chosen:
                    publication = (entry.tag or "").removesuffix(f" {relation.tag}")
                    name = shown(relation.namespace, relation.tag or "")
                    yield f"{name} was in the publication {shown(None, publication)}, which is not changed"


def _seen(index: Belonging, entry: Entry, relations: Collection[int], above: Collection[int]) -> list[Entry]:
    """Give which of some relations an entry looks at; a foreign key also sees those `above` them."""
    _, parent = index.attached.get(entry.dump_id, (None, None))
    if entry.desc == FOREIGN_KEY:
        return [r for r in index.targets(entry) if r.dump_id in relations or r.dump_id in above]
    return [r for r in index.relations_of(entry) if r.dump_id in relations and r is not parent]


def _ancestors(index: Belonging, chosen: Collection[int]) -> set[int]:
    """Give what chosen partitions are attached to, and what that is attached to."""
    found: set[int] = set()
    left = list(chosen)
    while left:
        _, parent = index.attached.get(left.pop(), (None, None))
        if parent is not None and parent.dump_id not in found and parent.dump_id not in chosen:
            found.add(parent.dump_id)
            left.append(parent.dump_id)
    return found
