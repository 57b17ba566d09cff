"""Reads out of an archive's own statements which relation they are on; an entry's tag alone may fit several.

The tag of a rule `b c` on the table `a` is `a b c`, as is that of a rule `c` on the table `a b`.
"""

from __future__ import annotations

import re

from holdfast.postgres.statements import quoted_name

_NAME = r'(?:"(?>(?:[^"]|"")*)"|[^\s".,;()]++)'
_RELATION = rf"({_NAME}\.{_NAME})"
_ALTER = re.compile(rf"ALTER (?:FOREIGN )?TABLE (?:IF EXISTS )?(?:ONLY )?{_RELATION} ")
_DROP = re.compile(rf"DROP \w+ (?:IF EXISTS )?{_NAME} ON {_RELATION};\s*+\Z")
_INDEX = re.compile(rf"CREATE (?:UNIQUE )?INDEX {_NAME} ON (?:ONLY )?{_RELATION} ")
_STATISTICS = re.compile(rf" FROM {_RELATION};?\s*+\Z")
_COPY = re.compile(rf"COPY {_RELATION} ")
_EXCLUSION = re.compile(
    rf"ALTER TABLE (?:ONLY )?{_NAME}\.{_NAME}\s+ADD CONSTRAINT {_NAME} "
    rf"(?:EXCLUDE |(?:PRIMARY KEY|UNIQUE) \((?:{_NAME}, )+{_NAME} WITHOUT OVERLAPS\))"
)

# In which statement of an entry the name is looked for, and how.
BY_DEFINITION = {"INDEX": _INDEX.match, "STATISTICS": _STATISTICS.search}
BY_DROP = {
    **dict.fromkeys(("DEFAULT", "CONSTRAINT", "CHECK CONSTRAINT", "FK CONSTRAINT"), _ALTER.match),
    **dict.fromkeys(("TRIGGER", "RULE", "POLICY"), _DROP.match),
}
READ = frozenset({*BY_DEFINITION, "CONSTRAINT"})  # whose definition is looked at


def relation_of(desc: str, definition: str | None, drop: str | None) -> str | None:
    """Give the relation that an entry of this kind is on, as its statement writes it; None where it does not tell."""
    if desc in BY_DEFINITION:
        found = BY_DEFINITION[desc](definition or "")
    elif desc in BY_DROP:
        found = BY_DROP[desc](drop or "")
    else:
        return None
    return found[1] if found is not None else None


def exclusion(definition: str | None) -> str | None:
    """Give the definition of a constraint if it is one that excludes, as a key WITHOUT OVERLAPS (18) does."""
    return definition if definition is not None and _EXCLUSION.match(definition) else None


def filled_by(copy: str) -> str | None:
    """Give the relation that a COPY statement of an archive fills, as it writes it."""
    found = _COPY.match(copy)
    return found[1] if found is not None else None


def spellings(schema: str | None, name: str | None) -> frozenset[str]:
    """Give all ways in which a statement may write a relation: it quotes names where it has to, or always."""
    schemas, names = ({each or "", quoted_name(each or "")} for each in (schema, name))
    return frozenset(f"{one}.{other}" for one in schemas for other in names)
