"""Takes a plain dump of pg_dump apart while it streams by: statements, rows, comments, and lines meant for psql.

The lexical rules are those of PostgreSQL and of psql, which splits at semicolons outside of parentheses, strings,
comments and the bodies of SQL-standard routines. What is told apart wrongly harms nobody: a text goes to the server as
it stands, and no line for psql is ever obeyed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from holdfast.model.errors import IntegrityError

_BEFORE = rb"(?<![\w$\x80-\xff])"
_MARKS = rb"['\"();\\]|--|/\*|" + _BEFORE + rb"(?:[eE]'|\$(?:[A-Za-z_\x80-\xff][\w\x80-\xff]*)?\$)"
_NEXT = re.compile(_MARKS)
_NEXT_IN_ROUTINE = re.compile(
    _MARKS + rb"|" + _BEFORE + rb"(?:begin|case|end)(?![\w$\x80-\xff])", re.IGNORECASE
)
_ROUTINE = re.compile(rb"CREATE\s+(?:OR\s+REPLACE\s+)?(?:FUNCTION|PROCEDURE)\b", re.IGNORECASE)
_COPY = re.compile(rb"COPY\b.*\bFROM\s+stdin\b[^'\"]*\Z", re.IGNORECASE | re.DOTALL)
_STRINGS = re.compile(rb"SET\s+standard_conforming_strings\s*(?:=|TO)\s*'?(on|off)", re.IGNORECASE)
_SPACE = re.compile(rb"\s*")
# A whole INSERT at once, as dumps with --inserts have millions of them. What it does not match goes the long way.
_INSERT = re.compile(
    rb"INSERT INTO (?>(?:[^'\";\\$eE/-]++|'[^']*+'|\"[^\"]*+\"|" + _BEFORE + rb"[eE]'(?>(?:[^'\\]++|\\.)*)'"
    rb"|[eE](?!')|-(?!-)|/(?!\*))*);",
    re.DOTALL,
)
_QUOTE_OR_ESCAPE = re.compile(rb"['\\]")
_COMMENT_MARK = re.compile(rb"/\*|\*/")
_LONGEST_MARK = 128  # a tag of a dollar quote is a name
_END_OF_ROWS = b"\\."
_MOST = 2**30  # the server takes no longer statement


@dataclass(frozen=True, slots=True)
class Statement:
    """An SQL statement, without its semicolon."""

    text: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows that follow a COPY statement, as the server takes them; what is not pulled is passed over."""

    chunks: Iterator[bytes] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment of one line between statements, dashes included."""

    text: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """A line that is meant for psql; it begins with a backslash."""

    text: bytes


Event = Statement | Rows | Comment | Command


def copies_rows(statement: bytes) -> bool:
    """Whether rows follow a statement."""
    return _COPY.match(statement) is not None


def events(chunks: Iterable[bytes]) -> Iterator[Event]:
    """Give what stands in a dump, in order. Each `Rows` must be pulled before the next event is asked for.

    Raise IntegrityError when the text ends inside a statement or inside rows, or has a line for psql in a statement.
    """
    return _Script(chunks).events()


class _Script:
    """The text that was read and not used yet, and where it comes from."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._source = iter(chunks)
        self._text = bytearray()
        self._ended = False
        self._plain_strings = True  # standard_conforming_strings: a backslash in '…' is itself

    def events(self) -> Iterator[Event]:
        while self._after_space():
            if self._text.startswith(b"/*"):
                del self._text[: self._comment_end(2)]
            elif self._text.startswith(b"--"):
                yield Comment(self._line())
            elif self._text.startswith(b"\\"):
                yield Command(self._line())
            else:
                statement = self._statement()
                if not statement:
                    continue
                yield Statement(statement)
                if found := _STRINGS.match(statement):
                    self._plain_strings = found[1].lower() == b"on"
                if copies_rows(statement):
                    rows = self._rows()
                    yield Rows(rows)
                    for _ in rows:  # what nobody wanted
                        pass

    def _more(self) -> bool:
        """Read on; False at the end."""
        if len(self._text) > _MOST:
            raise IntegrityError("a statement in it is longer than any server takes")
        while not self._ended:
            chunk = next(self._source, None)
            if chunk is None:
                self._ended = True
            elif chunk:
                self._text += chunk
                return True
        return False

    def _after_space(self) -> bool:
        """Skip blanks; False at the end of all."""
        while True:
            found = _SPACE.match(self._text)
            del self._text[: found.end() if found else 0]
            if len(self._text) > _LONGEST_MARK or not self._more():
                return bool(self._text)

    def _line(self) -> bytes:
        end = self._find(b"\n", 0, last=True)
        line = bytes(self._text[:end]).rstrip()
        del self._text[:end]
        return line

    def _statement(self) -> bytes:
        if self._plain_strings and (whole := _INSERT.match(self._text)):
            return self._taken(whole.end())
        routine = _ROUTINE.match(self._text) is not None
        marks = _NEXT_IN_ROUTINE if routine else _NEXT
        at, nesting = 0, _Nesting()
        while True:
            found = marks.search(self._text, at)
            if not self._ended and (found is None or found.end() > len(self._text) - _LONGEST_MARK):
                at = max(at, len(self._text) - _LONGEST_MARK) if found is None else found.start()
                self._more()
                continue
            if found is None:
                raise _cut("inside a statement")
            mark, at = bytes(found[0]), found.end()
            if mark == b";" and not nesting.open:
                return self._taken(at)
            if mark == b"\\":
                raise IntegrityError("it has a command for psql inside a statement")
            if not nesting.took(mark):
                at = self._behind(mark, at)

    def _taken(self, end: int) -> bytes:
        """Take a statement off, with the semicolon that ends there."""
        statement = bytes(self._text[: end - 1]).rstrip()
        del self._text[:end]
        return statement

    def _behind(self, mark: bytes, at: int) -> int:
        """Find the end of a string, a quoted name or a comment that `mark` has begun."""
        if mark == b"--":
            return self._find(b"\n", at, last=True)
        if mark == b"/*":
            return self._comment_end(at)
        if mark == b'"' or mark.startswith(b"$"):
            return self._find(mark, at)
        if mark == b"'" and self._plain_strings:
            return self._find(b"'", at)
        while True:  # a string with escapes
            found = self._search(_QUOTE_OR_ESCAPE, at)
            at = found.end()
            if found[0] == b"'":
                return at
            at += 1

    def _search(self, pattern: re.Pattern[bytes], at: int) -> re.Match[bytes]:
        while True:
            found = pattern.search(self._text, at)
            if found is not None and (found.end() < len(self._text) or self._ended):
                return found
            at = max(at, len(self._text) - 1) if found is None else found.start()
            if not self._more() and found is None:
                raise _cut("inside a string or a comment")

    def _find(self, mark: bytes, at: int, *, last: bool = False) -> int:
        """Find where `mark` ends; with `last` the end of all will do."""
        while (found := self._text.find(mark, at)) < 0:
            at = max(at, len(self._text) - len(mark) + 1)
            if not self._more():
                if last:
                    return len(self._text)
                raise _cut("inside a string or a comment")
        return found + len(mark)

    def _comment_end(self, at: int) -> int:
        """Find the end of a block comment; in PostgreSQL they nest."""
        depth = 1
        while depth:
            found = self._search(_COMMENT_MARK, at)
            depth += 1 if found[0] == b"/*" else -1
            at = found.end()
        return at

    def _rows(self) -> Iterator[bytes]:
        """Give whole lines, up to the one that ends the rows."""
        del self._text[: self._find(b"\n", 0)]
        at = 0  # before here there is no end of a line
        while True:
            start = (
                0 if self._text.startswith(_END_OF_ROWS) else self._text.find(b"\n" + _END_OF_ROWS, at) + 1
            )
            if start or self._text.startswith(_END_OF_ROWS):
                end = self._find(b"\n", start, last=True)
                if self._text[start:end].rstrip(b"\r\n") != _END_OF_ROWS:
                    raise IntegrityError("its rows have a line that pg_dump does not write")
                yield bytes(self._text[:start])
                del self._text[:end]
                return
            if lines := self._text.rfind(b"\n", at) + 1:
                piece = bytes(self._text[:lines])
                del self._text[:lines]
                yield piece
            at = max(0, len(self._text) - len(_END_OF_ROWS))
            if not self._more():
                raise _cut("inside the rows of a table")


@dataclass(slots=True)
class _Nesting:
    """How deep in parentheses and in bodies of routines a place is."""

    parentheses: int = 0
    bodies: int = 0

    @property
    def open(self) -> bool:
        """Whether a semicolon ends no statement here."""
        return bool(self.parentheses or self.bodies)

    def took(self, mark: bytes) -> bool:
        """Count a mark; False for one that begins a string or a comment.

        As psql does: BEGIN begins a body in CREATE FUNCTION and PROCEDURE, the only place where it is a mark.
        """
        word = mark.lower()
        if mark in {b"(", b")"}:
            self.parentheses = max(0, self.parentheses + (1 if mark == b"(" else -1))
        elif word in {b"begin", b"case", b"end"}:
            if word == b"end":
                self.bodies = max(0, self.bodies - (not self.parentheses))
            elif not self.parentheses and (word == b"begin" or self.bodies):
                self.bodies += 1
        else:
            return mark == b";"
        return True


def _cut(where: str) -> IntegrityError:
    return IntegrityError(
        f"it ends {where}", hint="It was cut short when it was written or copied: take another one."
    )
