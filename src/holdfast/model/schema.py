"""A database's schema as its dump defines it: in one order and one form, so that two of them can be compared."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Action = Literal["added", "removed", "altered"]
TABLES = frozenset({"TABLE", "FOREIGN TABLE", "PARTITIONED TABLE"})

_SHOWN = ("TABLE", "COLUMN", "INDEX", "FUNCTION", "POLICY")
_COLUMN = re.compile(r'    (?P<name>"(?:[^"]|"")+"|[^\s"(),]+) (?P<type>\S.*?),?\Z')
_NO_COLUMN = frozenset({"CONSTRAINT", "CHECK", "PRIMARY", "FOREIGN", "UNIQUE", "EXCLUDE", "LIKE"})
# A password may stand in these.
_SECRETS: dict[str, re.Pattern[str]] = {
    "USER MAPPING": re.compile(r"'(?:[^']|'')*'"),
    "SERVER": re.compile(r"(?<=password )'(?:[^']|'')*'", re.IGNORECASE),
    "SUBSCRIPTION": re.compile(r"(?<=CONNECTION )'(?:[^']|'')*'"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaObject:
    """One object: its kind as pg_dump calls it, where it is, whose it is, and the statements that make it."""

    kind: str
    schema: str
    name: str
    owner: str
    definition: str

    @property
    def key(self) -> tuple[str, str, str]:
        """What it is known by."""
        return (self.schema, self.kind, self.name)

    @property
    def title(self) -> str:
        """How it is called: `table public.orders`."""
        return f"{self.kind.lower()} {f'{self.schema}.' if self.schema else ''}{self.name}"

    @property
    def text(self) -> str:
        """Its statements under a line that names it."""
        owner = f" (owner {self.owner})" if self.owner else ""
        return f"-- {self.title}{owner}\n{self.definition}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between two schemas; `details` are the columns of a table that is there in both."""

    action: Action
    kind: str
    title: str
    details: tuple[str, ...] = ()


def normalised(objects: Iterable[SchemaObject]) -> tuple[SchemaObject, ...]:
    """Give the objects in an order of their own, without secrets and without blanks that mean nothing."""
    cleaned = (
        SchemaObject(
            kind=each.kind,
            schema=each.schema,
            name=" ".join(each.name.split()),
            owner=each.owner,
            definition=_clean(each.kind, each.definition),
        )
        for each in objects
    )
    return tuple(sorted(cleaned, key=lambda each: (*each.key, each.definition)))


def _clean(kind: str, definition: str) -> str:
    text = "\n".join(line.rstrip() for line in definition.splitlines()).strip()
    secret = _SECRETS.get(kind)
    return text if secret is None else secret.sub("'…'", text)


def schema_text(objects: Iterable[SchemaObject]) -> str:
    """The whole schema, for people and for a diff."""
    return "\n".join(each.text for each in objects)


def fingerprint(objects: Iterable[SchemaObject]) -> str:
    """A digest that two schemas share when they are the same."""
    return hashlib.sha256(schema_text(objects).encode("utf-8", "surrogateescape")).hexdigest()


def columns(table: SchemaObject) -> dict[str, str]:
    """The columns of a table with their types and constraints, as its definition has them, one a line."""
    found: dict[str, str] = {}
    for line in table.definition.splitlines()[1:]:
        if line.startswith(")"):
            break
        column = _COLUMN.match(line)
        if column is not None and column["name"] not in _NO_COLUMN:
            found[column["name"]] = column["type"]
    return found


def lasting_tables(objects: Sequence[SchemaObject]) -> tuple[SchemaObject, ...]:
    """The tables that are no partitions: those come and go by themselves."""
    partitions = {(each.schema, each.name) for each in objects if each.kind == "TABLE ATTACH"}
    return tuple(
        each
        for each in objects
        if each.kind in TABLES
        and (each.schema, each.name) not in partitions
        and " ATTACH PARTITION " not in each.definition
    )


def changes(old: Sequence[SchemaObject], new: Sequence[SchemaObject]) -> tuple[Change, ...]:
    """Tell what became of each object, in order."""
    before, after = ({each.key: each for each in objects} for objects in (old, new))
    found: list[Change] = []
    for key in sorted(before.keys() | after.keys()):
        was, now = before.get(key), after.get(key)
        if was is None and now is not None:
            found.append(Change(action="added", kind=now.kind, title=now.title))
        elif now is None and was is not None:
            found.append(Change(action="removed", kind=was.kind, title=was.title))
        elif was is not None and now is not None and was != now:
            details = tuple(_columns_changed(was, now)) if now.kind in TABLES else ()
            found.append(Change(action="altered", kind=now.kind, title=now.title, details=details))
    return tuple(found)


def _columns_changed(was: SchemaObject, now: SchemaObject) -> Iterator[str]:
    before, after = columns(was), columns(now)
    yield from (f"column {name} removed" for name in before if name not in after)
    yield from (f"column {name} added: {kind}" for name, kind in after.items() if name not in before)
    for name, kind in after.items():
        if name in before and before[name] != kind:
            yield f"column {name} altered: {before[name]} → {kind}"


def summary(found: Iterable[Change]) -> str:
    """Count the changes in one line: `2 tables added, 1 column removed`."""
    counts: dict[tuple[str, str], int] = {}
    for change in found:
        kind = "TABLE" if change.kind in TABLES else change.kind
        counts[kind, change.action] = counts.get((kind, change.action), 0) + 1
        for detail in change.details:
            action = detail.split(":")[0].rsplit(" ", 1)[-1]
            counts["COLUMN", action] = counts.get(("COLUMN", action), 0) + 1
    order = {kind: place for place, kind in enumerate(_SHOWN)}
    ranked = sorted(counts, key=lambda each: (order.get(each[0], len(order)), each))
    return ", ".join(f"{counts[key]} {_plural(key[0].lower(), counts[key])} {key[1]}" for key in ranked)


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}es" if word.endswith("x") else f"{word}s"


def difference(old: Sequence[SchemaObject], new: Sequence[SchemaObject], *, names: tuple[str, str]) -> str:
    """A unified diff of two schemas; empty where they are the same."""
    lines = difflib.unified_diff(
        schema_text(old).splitlines(), schema_text(new).splitlines(), *names, lineterm="", n=2
    )
    return "\n".join(lines)
