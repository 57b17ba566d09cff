"""Tells, from an archive's table of contents, which of its entries belong to which relation.

An entry's dependencies alone do not say: a trigger depends on its table and on its function, a foreign key on two
tables. Its own statements do, where they were read; else its tag begins with, or is, the name of the table.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence

from holdfast.postgres.entries import RELATIONS, Entry
from holdfast.postgres.relation_names import shown
from holdfast.postgres.statement_names import spellings

HOLDERS = RELATIONS | {"SEQUENCE"}
FOREIGN_KEY, TABLE_ATTACH, INDEX_ATTACH = "FK CONSTRAINT", "TABLE ATTACH", "INDEX ATTACH"

# By what the tag says: the table and a name of its own, the table alone, or a name of its own alone.
_WITH_NAME = frozenset(
    {"DEFAULT", "CONSTRAINT", "CHECK CONSTRAINT", FOREIGN_KEY, "TRIGGER", "RULE", "POLICY"}
)
_SAME_NAME = frozenset(
    {
        "TABLE DATA",
        "MATERIALIZED VIEW DATA",
        "SEQUENCE SET",
        "SEQUENCE OWNED BY",
        "ROW SECURITY",
        TABLE_ATTACH,
    }
)
_OWN_NAME = frozenset({"INDEX", "STATISTICS"})
INDEXES = frozenset({"INDEX", "CONSTRAINT"})
UPON = frozenset({"COMMENT", "ACL", "SECURITY LABEL", "STATISTICS DATA", "EXTENDED STATISTICS DATA"})
# Extensions with operator classes for PostgreSQL's own types, by what stands in a definition that uses them.
_CLASSES = {"btree_gist": "", "intarray": "gist__int", "pg_trgm": "gist_trgm"}
_WORDS = {
    FOREIGN_KEY: "foreign key",
    TABLE_ATTACH: "partition",
    "ACL": "grants on",
    "MATERIALIZED VIEW DATA": "rows of",
    "TABLE DATA": "rows of",
}


class Belonging:
    """An index of entries. `by_id` finds one, `parts` what belongs to a relation, `upon` comments and grants.

    `partitions` are the relations attached to one; `attached` the entry that attaches a relation, and to which. All
    of them go by dump id. Without `attaches` the archive is of pg_dump 13 or earlier, where a partition's own
    definition attaches it.
    """

    def __init__(self, entries: Iterable[Entry], *, attaches: bool = True) -> None:
        self.entries: Sequence[Entry] = tuple(entries)
        self.by_id = {entry.dump_id: entry for entry in self.entries}
        self.parts: dict[int, list[Entry]] = defaultdict(list)
        self.upon: dict[int, list[Entry]] = defaultdict(list)
        self.partitions: dict[int, list[Entry]] = defaultdict(list)
        self.attached: dict[int, tuple[Entry, Entry]] = {}
        self._owners: dict[int, Entry] = {}
        self._parents: dict[int, Entry] = {}
        for entry in self.entries:
            self._place(entry)
        self._tie_triggers()
        if not attaches:
            self._guess_partitions()

    def _place(self, entry: Entry) -> None:
        if entry.desc in UPON:
            for dependency in set(entry.dependencies):
                self.upon[dependency].append(entry)
            return
        owner = self._named_owner(entry) or self._find_owner(entry)
        if owner is None:
            return
        self._owners[entry.dump_id] = owner
        self.parts[owner.dump_id].append(entry)
        if entry.desc == TABLE_ATTACH:
            for parent in self.relations_of(entry):
                if parent is not owner:
                    self.attached[owner.dump_id] = (entry, parent)
                    self.partitions[parent.dump_id].append(owner)

    def _tie_triggers(self) -> None:
        """What a partition changes about a trigger of its parent has something to change only once it is attached."""
        for number in self.attached:
            own = self._triggers(number)
            at, path = number, list[Entry]()
            while own and at in self.attached and self.attached[at][0] not in path:
                attach, parent = self.attached[at]
                path.append(attach)
                at = parent.dump_id
                for name in own.keys() & self._triggers(at).keys():
                    for tie in path:
                        self.upon[tie.dump_id].append(own[name])
                    del own[name]

    def _triggers(self, number: int) -> dict[str, Entry]:
        start = len(self.by_id[number].tag or "") + 1
        parts = self.parts.get(number, ())
        return {(entry.tag or "")[start:]: entry for entry in parts if entry.desc == "TRIGGER"}

    def _guess_partitions(self) -> None:
        """Take a table that depends on one without rows of its own for a partition of that."""
        filled = {owner.dump_id for e in self.entries if e.has_data and (owner := self.owner(e)) is not None}
        for entry in self.entries:
            if entry.desc == "TABLE":
                for parent in self.relations_of(entry):
                    if parent.desc == "TABLE" and parent.dump_id not in filled:
                        self.partitions[parent.dump_id].append(entry)
                        self._parents[entry.dump_id] = parent

    def parent(self, relation: Entry) -> Entry | None:
        """Give the relation that one is a partition of."""
        _, attached_to = self.attached.get(relation.dump_id, (None, None))
        return attached_to or self._parents.get(relation.dump_id)

    def owner(self, entry: Entry) -> Entry | None:
        """Give the relation that an entry is a part of; None for what stands for itself."""
        return self._owners.get(entry.dump_id)

    def name_of_owner(self, entry: Entry) -> str:
        """Give the name, without the schema, of the relation that an entry is a part of."""
        owner = self.owner(entry)
        return (owner.tag if owner is not None else None) or ""

    def relations_of(self, entry: Entry) -> Iterator[Entry]:
        """Give the relations that an entry depends on, each once."""
        for dependency in dict.fromkeys(entry.dependencies):
            found = self.by_id.get(dependency)
            if found is not None and found.desc in HOLDERS:
                yield found

    def targets(self, entry: Entry) -> tuple[Entry, ...]:
        """Give the tables that a foreign key points at, its own aside."""
        owner = self.owner(entry)
        return tuple(relation for relation in self.relations_of(entry) if relation is not owner)

    def points_at_itself(self, entry: Entry) -> bool:
        """Whether a foreign key points at a key of its own table."""
        keys = (self.by_id.get(dependency) for dependency in entry.dependencies)
        return any(
            key is not None and key.desc in INDEXES and self.owner(key) is self.owner(entry) for key in keys
        )

    def unsaid(self, entry: Entry) -> Iterator[Entry]:
        """Give what an exclusion constraint may need, and its entry, other than that of an index, does not tell."""
        if entry.exclusion is None:
            return
        for other in self.entries:
            sign = _CLASSES.get(other.tag or "") if other.desc == "EXTENSION" else None
            if other.desc == "OPERATOR CLASS" or (sign is not None and sign in entry.exclusion):
                yield other

    def title(self, entry: Entry) -> str:
        """Name an entry for people: `table public.orders`, `foreign key public.orders.orders_customer_fkey`."""
        kind = _WORDS.get(entry.desc, entry.desc.lower())
        owner, tag = self.owner(entry), entry.tag or ""
        if owner is not None and entry.desc in _WITH_NAME:
            own = tag[len(owner.tag or "") + 1 :]
            return f"{kind} {shown(owner.namespace, owner.tag or '')}.{shown(None, own)}"
        if entry.desc in HOLDERS or owner is not None:
            return f"{kind} {shown(entry.namespace, tag)}"
        return f"{kind} {entry.namespace}.{tag}" if entry.namespace else f"{kind} {tag}"

    def _named_owner(self, entry: Entry) -> Entry | None:
        if entry.relation is None:
            return None
        named = (r for r in self.relations_of(entry) if entry.relation in spellings(r.namespace, r.tag))
        return next(named, None)

    def _find_owner(self, entry: Entry) -> Entry | None:
        if entry.desc == INDEX_ATTACH:
            return self._owner_of_index(entry)
        candidates = [r for r in self.relations_of(entry) if r.namespace == entry.namespace]
        tag = entry.tag or ""
        if entry.desc in _WITH_NAME:
            fitting = [r for r in candidates if tag.startswith(f"{r.tag} ")]
            return max(fitting, key=lambda r: len(r.tag or ""), default=None)
        if entry.desc in _SAME_NAME:
            return next((r for r in candidates if r.tag == tag), None)
        if entry.desc == "SEQUENCE":
            return next((r for r in candidates if r.desc != "SEQUENCE"), None)
        if entry.desc in _OWN_NAME:
            # An expression may need another table's type; what an index is on, it depends on by each column.
            counts = Counter(entry.dependencies)
            return max(self.relations_of(entry), key=lambda r: counts[r.dump_id], default=None)
        return None

    def _owner_of_index(self, entry: Entry) -> Entry | None:
        for dependency in entry.dependencies:
            index = self.by_id.get(dependency)
            owner = self.owner(index) if index is not None and index.desc in INDEXES else None
            if index is not None and owner is not None and index.namespace == entry.namespace:
                name = entry.tag if index.desc == "INDEX" else f"{owner.tag} {entry.tag}"
                if index.tag == name:
                    return owner
        return None
