"""Lets event triggers be made last: in pg_dump's order they act on the filling of materialised views.

What such a function does then, with an empty search_path, fails the restore, or is no part of the backup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from holdfast.methods import staging
from holdfast.methods.staging import Staged
from holdfast.postgres import cutting
from holdfast.postgres.entries import Entry

_KIND = "EVENT TRIGGER"
_UPON = frozenset({"COMMENT", "SECURITY LABEL"})


def made_last(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Put them at the end of an archive that is restored in order."""
    return cutting.moved_last(chunks, _is_one)


def apart(archive: Staged, only: tuple[int, ...] | None) -> tuple[tuple[int, ...] | None, tuple[int, ...]]:
    """Tell which entries (dump ids; None: all) are restored first, and which then. Jobs keep to no order."""
    toc = staging.contents(archive)
    if toc is None or not (late := {entry.dump_id for entry in toc.entries if _is_one(entry)}):
        return only, ()
    numbers = tuple(entry.dump_id for entry in toc.entries) if only is None else only
    return tuple(n for n in numbers if n not in late), tuple(n for n in numbers if n in late)


def _is_one(entry: Entry) -> bool:
    return entry.desc == _KIND or (entry.desc in _UPON and (entry.tag or "").startswith(f"{_KIND} "))
