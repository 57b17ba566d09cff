"""The rows of docs/explanation/faults.md, from fault_rows.toml beside this file."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A fault. `holds` is what is promised; `instead`, for a fault that is not tested, says why not."""

    key: str
    fault: str
    holds: str = ""
    instead: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chapter:
    """Faults of one kind."""

    title: str
    rows: tuple[Row, ...]


CHAPTERS = tuple(
    Chapter(title=chapter["title"], rows=tuple(Row(**row) for row in chapter["rows"]))
    for chapter in tomllib.loads(Path(__file__).with_suffix(".toml").read_text())["chapters"]
)
ROWS = {row.key: row for chapter in CHAPTERS for row in chapter.rows}
