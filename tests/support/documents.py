"""Reads the reference pages, so that tests can hold the program to them."""

from __future__ import annotations

import re
from pathlib import Path

REFERENCE = Path(__file__).resolve().parents[2] / "docs/reference"


def page(name: str) -> str:
    """Give a page of the reference."""
    return (REFERENCE / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Give what stands under a heading (`## list`, without its backticks), down to the next one of its rank."""
    rank = len(heading) - len(heading.lstrip("#"))
    lines = text.splitlines()
    start = next((n for n, line in enumerate(lines) if line.replace("`", "") == heading), None)
    assert start is not None, f"no heading {heading!r}"
    end = next(
        (n for n in range(start + 1, len(lines)) if re.match(rf"#{{1,{rank}}} ", lines[n])),
        len(lines),
    )
    return "\n".join(lines[start + 1 : end])


def first_cells(text: str) -> list[str]:
    """Give the first cells of the tables' rows, heads and rules aside; backticks stay."""
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| ---")]
    cells = [row.strip("| ").split(" | ")[0].strip() for row in rows]
    return [cell for cell in cells if "`" in cell]


def code(cell: str) -> list[str]:
    """Give the words in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def json_keys(command: str) -> set[str]:
    """Give the documented paths of a command's JSON."""
    text = section(page("commands.md"), f"### JSON of {command}")
    return {key for cell in first_cells(text) for key in code(cell)}
