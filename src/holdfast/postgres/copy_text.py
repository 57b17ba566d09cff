r"""Turns the rows of COPY's text format into CSV, byte for byte as COPY ... (FORMAT csv) writes it.

Text: fields between tabs, a row a line, `\N` for NULL, and a backslash before what would be misread. CSV (RFC 4180):
NULL is nothing, an empty string is `""`. Whole blocks of rows are converted at a time; only fields that need quotes
are looked at one by one. A row may have a gigabyte: of a field that is longer than 4 MiB nobody knows at its beginning
whether it needs quotes, so it gets them, and is never held whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from holdfast.model.errors import IntegrityError

# Client encodings in which a byte of a longer character may look like a backslash; no server's own is among them.
UNSAFE_ENCODINGS = frozenset({"BIG5", "GB18030", "GBK", "JOHAB", "SHIFT_JIS_2004", "SJIS", "UHC"})

_BLOCK = 256 * 1024
_LONG = 4 * 1024 * 1024
_END = b"\\.\n"  # behind the rows; in a row every backslash has something after it
_NAME = re.compile(rb'"((?:[^"]|"")*)"|([^",() .]+)')
_UNKNOWN_ESCAPE = re.compile(rb"\\[^BNbftv]")
_SPECIAL = re.compile(rb'[",\0]')
_UNKNOWN_IN_TEXT = re.compile(rb"\\(?:[^bfnrtv]|\Z)")
_LONE_END = re.compile(rb"(?m)^\\B\.$")
# While a block is converted, `\B` stands for a backslash and `\E` for an empty string; a zero byte, which no text
# holds, begins what needs quotes: `\0L` and `\0R` for line breaks, `\0D` for the end mark as a row's only value.
_MARKS = ((b"\0L", b"\n"), (b"\0R", b"\r"), (b"\0D", b"\\B."))
_CONTROLS = ((b"\\t", b"\t"), (b"\\b", b"\b"), (b"\\f", b"\f"), (b"\\v", b"\v"))
_BREAKS = ((b"\\n", b"\n"), (b"\\r", b"\r"))
_LETTERS = ((b"\\N", b""), (b"\\E", b'""'), *_CONTROLS, (b"\\B", b"\\"))


class Rows:
    """How many rows were converted so far."""

    count = 0


def columns(statement: bytes) -> tuple[bytes, ...]:
    """Read the names of the columns from pg_dump's COPY statement. Raise IntegrityError for another one."""
    table = re.match(rb'COPY (?>(?:"[^"]*+"|[^"( ])+) ', statement)
    listed = statement[table.end() :].strip() if table else b""
    if listed == b"FROM stdin;":  # a table without columns
        return ()
    if not listed.startswith(b"(") or not listed.endswith(b") FROM stdin;"):
        raise IntegrityError(f"the archive holds a COPY statement that cannot be read: {statement[:200]!r}")
    inside = listed[1 : -len(b") FROM stdin;")]
    return tuple(plain or quoted.replace(b'""', b'"') for quoted, plain in _NAME.findall(inside))


def to_csv(chunks: Iterable[bytes], names: Sequence[bytes], rows: Rows) -> Iterator[bytes]:
    """Give a header line, and then the rows, as CSV. Raise IntegrityError where the rows are not COPY's."""
    header = b"\t".join(map(_escaped, names)) + b"\n"
    yield _converted(header, names)
    long = _LongRow()
    for is_whole, block in _blocks(chunks):
        rows.count += block.count(b"\n")
        if is_whole:
            yield _converted(block, names)
        else:
            yield from long.feed(block)


def _blocks(chunks: Iterable[bytes]) -> Iterator[tuple[bool, bytes]]:
    """Give whole rows, as many as fit into a block, or a piece of a long one: whether they are whole, and the bytes.

    What follows the end mark of the rows has to be empty lines.
    """
    held = b""
    ended = within = False
    for given in chunks:
        chunk = given
        if within:
            end = chunk.find(b"\n") + 1
            yield False, chunk[:end] if end else chunk
            within, chunk = not end, chunk[end:] if end else b""
        whole = chunk.rfind(b"\n") + 1
        lines, held = (held + chunk[:whole], chunk[whole:]) if whole else (b"", held + chunk)
        if ended and lines.strip(b"\n"):
            raise _not_copy("something follows the end of the rows")
        if lines and not ended:
            end = 0 if lines.startswith(_END) else lines.find(b"\n" + _END) + 1
            if end or lines.startswith(_END):
                ended = True
                if lines[end + len(_END) :].strip(b"\n"):
                    raise _not_copy("something follows the end of the rows")
                lines = lines[:end]
            for piece in _pieces(lines):
                yield True, piece
        if len(held) > _LONG and not ended:
            yield False, held
            held, within = b"", True
    if not ended or held or within:
        raise _not_copy("the end of the rows is missing")


def _pieces(lines: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(lines):
        end = lines.find(b"\n", start + _BLOCK) + 1 or len(lines)
        yield lines[start:end]
        start = end


def _converted(block: bytes, names: Sequence[bytes]) -> bytes:
    if not names:
        return block
    text = block
    if b"\\" in text:
        text = text.replace(b"\\\\", b"\0B").replace(b"\\n", b"\0L").replace(b"\\r", b"\0R")
        text = text.replace(b"\0B", b"\\B")
        if found := _UNKNOWN_ESCAPE.search(text):
            raise _not_copy(f"unknown escape {found[0]!r}")
    text = _empty_marked(text, single=len(names) == 1)
    if len(names) == 1:
        text = _LONE_END.sub(b"\0D", text)
    text = _separated(text)
    if b"\\" in text:
        for letter, meant in _LETTERS:
            text = text.replace(letter, meant)
    return text


class _LongRow:
    """Takes a row piece by piece. A field that is not over after _LONG bytes gets quotes, and goes on at once."""

    def __init__(self) -> None:
        self._held = b""
        self._quoted = False

    def feed(self, piece: bytes) -> Iterator[bytes]:
        """Give what is known of the row in CSV; the last piece ends with the line break."""
        row, end = (piece[:-1], b"\n") if piece.endswith(b"\n") else (piece, b"")
        *over, begun = row.split(b"\t")
        for field in over:
            yield self._finished(field) + b","
        if end:
            yield self._finished(begun) + end
        else:
            yield self._begun(begun)

    def _finished(self, text: bytes) -> bytes:
        field, self._held = self._held + text, b""
        if self._quoted:
            self._quoted = False
            return _inside(field) + b'"'
        return _converted(field + b"\n", (b"", b""))[:-1] if field else b'""'

    def _begun(self, text: bytes) -> bytes:
        field = self._held + text
        if not self._quoted and len(field) <= _LONG:
            self._held = field
            return b""
        mark = b"" if self._quoted else b'"'
        backslashes = len(field) - len(field.rstrip(b"\\"))
        whole = len(field) - backslashes % 2  # what the last one begins is not known yet
        self._quoted, self._held = True, field[whole:]
        return mark + _inside(field[:whole])


def _inside(text: bytes) -> bytes:
    """Convert what stands between quotes."""
    text = text.replace(b"\\\\", b"\0")  # no text holds a zero byte
    if found := _UNKNOWN_IN_TEXT.search(text):
        raise _not_copy(f"unknown escape {found[0]!r}")
    for letter, meant in (*_BREAKS, *_CONTROLS):
        text = text.replace(letter, meant)
    return text.replace(b"\0", b"\\").replace(b'"', b'""')


def _empty_marked(text: bytes, *, single: bool) -> bytes:
    text = b"\n" + text
    both = ((b"\n", b"\n"),) if single else ((b"\t", b"\t"), (b"\n", b"\t"), (b"\t", b"\n"))
    pairs = (both[0], *both)  # twice: neighbours share what is between them
    for before, after in pairs:
        text = text.replace(before + after, before + b"\\E" + after)
    return text[1:]


def _separated(text: bytes) -> bytes:
    """Put commas between the fields, and quotes around those that need them."""
    if not _SPECIAL.search(text):
        return text.replace(b"\t", b",")
    fields = (
        text[:-1].replace(b"\n", b"\t\n").split(b"\t")
    )  # a row's first field takes the line break with it
    csv = b",".join(
        [
            _quoted(f) if b"," in f or b'"' in f or b"\0" in f else f for f in fields
        ]  # each character by itself: fast
    ).replace(b",\n", b"\n")
    if b"\0" in csv:
        for mark, meant in _MARKS:
            csv = csv.replace(mark, meant)
    return csv + b"\n"


def _quoted(field: bytes) -> bytes:
    doubled = field.replace(b'"', b'""')
    return b'\n"' + doubled[1:] + b'"' if doubled.startswith(b"\n") else b'"' + doubled + b'"'


def _escaped(name: bytes) -> bytes:
    """Write a name as COPY writes a text."""
    for meant, letter in ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r")):
        name = name.replace(meant, letter)
    return name


def _not_copy(what: str) -> IntegrityError:
    return IntegrityError(
        f"the rows in the archive are not what COPY writes: {what}",
        hint="The dump is damaged or of another kind: `export --format sql` lets pg_restore read it.",
    )
