"""Finds what an operator means among the names of relations and schemas: `orders`, `app.*`, `"Odd.Name"`."""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from holdfast.model.errors import NotFoundError, UsageError
from holdfast.postgres.statements import quoted_name

Name = tuple[str, str]  # schema and name
T = TypeVar("T")

_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_PIECE = re.compile(r'"((?:[^"]|"")*)"|([*?.])|([^"*?.]+)|(")', re.DOTALL)
_WILDCARDS = {"*": ".*", "?": "."}
_LISTED = 10
_QUALIFIED = 2  # a schema and a name
_Part = list[
    tuple[str, bool]
]  # pieces of text; whether each is a wildcard or means what it says, or is to be folded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pattern:
    """One name, as expressions: with the case as it was written, and with what stands outside of quotes folded."""

    exact: re.Pattern[str]
    folded: re.Pattern[str]
    wild: bool


def shown(schema: str | None, name: str) -> str:
    """Write a name for people: quoted where SQL asks for it."""
    words = [word if _PLAIN.fullmatch(word) else quoted_name(word) for word in (schema, name) if word]
    return ".".join(words)


def plain_name(text: str, option: str) -> str:
    """Read the one name that something gets. Raise UsageError for a pattern, or one with a schema."""
    parts = _split(text, option)
    pattern = _pattern(parts[0])
    name = "".join(piece for piece, _ in parts[0])
    if len(parts) > 1 or pattern.wild or not name:
        raise UsageError(
            f"{option}: {text!r} is not a plain name",
            hint='Give a name without a schema; one with dots, stars or question marks in it stands in "double quotes".',
        )
    return name


def find_relations(text: str, names: Collection[Name], *, option: str = "--table") -> frozenset[Name]:
    """Find what `name`, `schema.name`, or either with the wildcards `*` and `?`, means.

    Raise NotFoundError when it is nothing, with the nearest names, and UsageError when a name without a schema is in
    several of them.
    """
    parts = _split(text, option)
    if len(parts) == _QUALIFIED:
        within = _matching(_pattern(parts[0]), names, lambda name: name[0])
        found = _matching(_pattern(parts[1]), within, lambda name: name[1])
    else:
        found = _matching(_pattern(parts[0]), names, lambda name: name[1]) if len(parts) == 1 else frozenset()
    found = found or frozenset(name for name in names if text in (name[1], ".".join(name)))
    if not found:
        known = {".".join(name): shown(*name) for name in names} | {n[1]: shown(*n) for n in names}
        raise NotFoundError(f"{option} {text}: the backup holds no such table", hint=_nearest(text, known))
    if len(found) > 1 and len(parts) == 1 and not _pattern(parts[0]).wild:
        listed = ", ".join(sorted(shown(*name) for name in found))
        raise UsageError(
            f"{option} {text}: there are several: {listed}", hint="Name the schema, too: SCHEMA.NAME."
        )
    return found


def find_schemas(text: str, names: Collection[str]) -> frozenset[str]:
    """Find what a schema's name, or a pattern, means. Raise NotFoundError, with the nearest names."""
    parts = _split(text, "--schema")
    found = _matching(_pattern(parts[0]), names, lambda name: name) if len(parts) == 1 else frozenset()
    found = found or frozenset(name for name in names if name == text)
    if not found:
        known = {name: shown(None, name) for name in names}
        raise NotFoundError(f"--schema {text}: the backup holds no such schema", hint=_nearest(text, known))
    return found


def _matching(pattern: _Pattern, names: Iterable[T], part: Callable[[T], str]) -> frozenset[T]:
    kept = list(names)
    for expression in (pattern.exact, pattern.folded):
        if found := frozenset(name for name in kept if expression.fullmatch(part(name))):
            return found
    return frozenset()


def _split(text: str, option: str) -> list[_Part]:
    """Split at the dots outside of quotes."""
    parts: list[_Part] = [[]]
    for quoted, special, other, stray in _PIECE.findall(text):
        if stray:
            raise UsageError(f"{option} {text}: a quote is not closed")
        if special == ".":
            parts.append([])
        elif special or other:
            parts[-1].append((special or other, True))
        else:
            parts[-1].append((quoted.replace('""', '"'), False))
    if any(not any(piece for piece, _ in part) for part in parts):
        raise UsageError(f"{option} {text!r}: a name is empty", hint="Write NAME or SCHEMA.NAME.")
    return parts


def _pattern(part: _Part) -> _Pattern:
    exact = "".join(
        _WILDCARDS.get(piece, re.escape(piece)) if bare else re.escape(piece) for piece, bare in part
    )
    folded = "".join(
        _WILDCARDS.get(piece, re.escape(piece.lower())) if bare else re.escape(piece) for piece, bare in part
    )
    return _Pattern(
        exact=re.compile(exact, re.DOTALL),
        folded=re.compile(folded, re.DOTALL),
        wild=any(bare and piece in _WILDCARDS for piece, bare in part),
    )


def _nearest(text: str, known: Mapping[str, str]) -> str | None:
    folded: dict[str, list[str]] = defaultdict(list)
    for name, written in known.items():
        folded[name.casefold()].append(written)
    near = difflib.get_close_matches(text.replace('"', "").casefold(), folded, n=3, cutoff=0.6)
    if near:
        return f"The nearest: {', '.join(dict.fromkeys(name for key in near for name in folded[key]))}."
    every = sorted(set(known.values()))
    more = f" and {len(every) - _LISTED} more" if len(every) > _LISTED else ""
    return f"It holds {', '.join(every[:_LISTED])}{more}." if every else None
