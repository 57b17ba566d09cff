"""A short document of headings, paragraphs, commands and tables, and its two forms: plain text and one HTML file."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

_WIDTH = 100
_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.45 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin: 1.8rem 0 .4rem; }
.under { color: #777; margin-top: .2rem; }
pre { background: #8881; padding: .6rem .8rem; border-radius: .3rem; white-space: pre-wrap; overflow-wrap: anywhere; }
table { border-collapse: collapse; } td, th { text-align: left; vertical-align: top; padding: .2rem 1rem .2rem 0;
border-bottom: 1px solid #8884; overflow-wrap: anywhere; } th { font-weight: 600; white-space: nowrap; }
table + table { margin-top: 1rem; }
@media print { body { font-size: 10.5pt; margin: 0; max-width: none; } pre { border: 1px solid #888; }
h2, pre, tr { break-inside: avoid; } h2 { break-after: avoid; } }
"""


def one_line(text: str) -> str:
    """Write what is no character as an escape: a name with a line break must not look like a command."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """Prose, without line breaks."""

    text: str


@dataclass(frozen=True, slots=True)
class Commands:
    """What is typed into a shell, a line each."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under their columns' names."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Block = Paragraph | Commands | Table


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """The whole. `under` is the line below the title."""

    title: str
    under: str
    sections: tuple[Section, ...]


def as_text(document: Document) -> str:
    """Plain text; every command stands on a line of its own that begins with four spaces."""
    lines = [document.title, "=" * len(document.title), *_text_lines(Paragraph(document.under))]
    for section in document.sections:
        lines += ["", section.title, "-" * len(section.title)]
        for block in section.blocks:
            lines += ["", *_text_lines(block)]
    return "".join(f"{one_line(line)}\n" for line in lines)


def _text_lines(block: Block) -> Iterator[str]:
    match block:
        case Paragraph(text):
            yield from textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)
        case Commands(commands):
            yield from (f"    {line}" for line in commands)
        case Table(columns, rows):
            widths = [max(len(row[at]) for row in (columns, *rows)) for at in range(len(columns))]
            for row in (columns, *rows):
                cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
                yield "  ".join(cells).rstrip()


def as_html(document: Document) -> str:
    """One HTML file that needs nothing else, and prints well."""
    body = "".join(_html_section(section) for section in document.sections)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{_html(document.title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f'<h1>{_html(document.title)}</h1>\n<p class="under">{_html(document.under)}</p>\n{body}</body>\n</html>\n'
    )


def _html(text: str) -> str:
    return escape(one_line(text))


def _html_section(section: Section) -> str:
    return f"<h2>{_html(section.title)}</h2>\n" + "".join(map(_html_block, section.blocks))


def _html_block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{_html(text)}</p>\n"
        case Commands(lines):
            return f"<pre>{chr(10).join(map(_html, lines))}</pre>\n"
        case Table(columns, rows):
            head = "".join(f"<th>{_html(cell)}</th>" for cell in columns)
            body = "".join(f"<tr>{''.join(f'<td>{_html(cell)}</td>' for cell in row)}</tr>\n" for row in rows)
            return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
