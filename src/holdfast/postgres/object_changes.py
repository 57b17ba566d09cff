"""Tells which objects of two scripts differ, and how, in few words and without secrets."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from holdfast.model.comparison import Difference
from holdfast.postgres.script_objects import Key

_LINES, _WIDTH = 3, 200
_MATCHED = 250_000  # pairs of lines
_SECRET = frozenset({"user mapping", "subscription", "server", "foreign data wrapper"})
_HIDDEN = "(not shown: it may hold a password)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One object that differs: the texts that only the expected side has, and those that only the other has."""

    key: Key
    expected: tuple[str, ...]
    found: tuple[str, ...]

    def told(self) -> Difference:
        """Tell it: of two texts only the lines that differ."""
        expected, found = "\n".join(self.expected).split("\n"), "\n".join(self.found).split("\n")
        if self.expected and self.found:
            expected, found = _differing(expected, found)
        return Difference(
            kind=self.key.kind,
            name=self.key.name,
            how="different" if self.expected and self.found else "missing" if self.expected else "unexpected",
            expected=_shown(self.key, expected) if self.expected else None,
            found=_shown(self.key, found) if self.found else None,
        )


def object_changes(
    expected: Mapping[Key, tuple[str, ...]], found: Mapping[Key, tuple[str, ...]]
) -> Iterator[Change]:
    """Give the objects that are not in both, or not with the same texts."""
    for key in sorted(expected.keys() | found.keys()):
        ours, theirs = Counter(expected.get(key, ())), Counter(found.get(key, ()))
        if ours != theirs:
            yield Change(
                key=key,
                expected=tuple((ours - theirs).elements()),
                found=tuple((theirs - ours).elements()),
            )


def _differing(expected: list[str], found: list[str]) -> tuple[list[str], list[str]]:
    """Give the lines that differ; of very many that follow one another all are taken to differ."""
    start = next((at for at, (a, b) in enumerate(zip(expected, found, strict=False)) if a != b), 0)
    ours, theirs = expected[start:], found[start:]
    while ours and theirs and ours[-1] == theirs[-1]:
        ours, theirs = ours[:-1], theirs[:-1]
    if len(ours) * len(theirs) > _MATCHED:
        return ours, theirs
    changed: tuple[list[str], list[str]] = ([], [])
    for what, i, j, k, m in difflib.SequenceMatcher(a=ours, b=theirs, autojunk=False).get_opcodes():
        if what != "equal":
            changed[0].extend(ours[i:j])
            changed[1].extend(theirs[k:m])
    return changed


def _shown(key: Key, lines: list[str]) -> str:
    if key.kind in _SECRET:
        return _HIDDEN
    kept = [line.strip()[:_WIDTH] for line in lines if line.strip()]
    more = f" … and {len(kept) - _LINES} more lines" if len(kept) > _LINES else ""
    return " ".join(kept[:_LINES]) + more
