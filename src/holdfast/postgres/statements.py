"""Splits what `pg_dumpall --globals-only` prints into single statements, and says what each is about.

The lexical rules are PostgreSQL's, with standard_conforming_strings on (pg_dumpall writes E'…' where a backslash
stands in a string, so that the setting makes no difference to its output). Commands for psql are skipped.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from holdfast.model.errors import IntegrityError

Kind = Literal[
    "create_role",
    "alter_role",
    "role_setting",
    "role_comment",
    "role_label",
    "membership",
    "create_tablespace",
    "tablespace_setting",
    "tablespace_grant",
    "tablespace_comment",
    "tablespace_label",
    "parameter_grant",
    "setting",
    "other",
]

# Possessive quantifiers: a string that never ends must not be taken for a shorter one, nor cost quadratic time.
_TOKEN = re.compile(
    r"""
      (?P<blank>  \s++ | --[^\n]*+ | \\[^\n]*+ )
    | (?P<block>  /\* )
    | (?P<escape> [eE] ' [^'\\]*+ (?> (?: (?: '' | \\. ) [^'\\]*+ )* ) ' )
    | (?P<string> ' [^']*+ (?> (?: '' [^']*+ )* ) ' )
    | (?P<quoted> " [^"]*+ (?> (?: "" [^"]*+ )* ) " )
    | (?P<dollar> \$ (?: [^\W\d]\w*+ )? \$ )
    | (?P<word>   [^\W\d][\w$]*+ )
    | (?P<open>   ['"] | [eE]' )
    | (?P<sign>   . )
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_MARK = re.compile(r"/\*|\*/")
_ESCAPE = re.compile(r"\\(.)|''", re.DOTALL)
_CONTROL = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_ANYTHING = "…"

# What a statement begins with. <…> is a name or a string that is kept; … passes over anything up to the next word.
_SHAPES: tuple[tuple[Kind, str], ...] = (
    ("create_role", "CREATE ROLE <name>"),
    ("create_role", "CREATE USER <name>"),
    ("role_setting", "ALTER ROLE <name> IN DATABASE <database> SET"),
    ("role_setting", "ALTER ROLE <name> SET"),
    ("alter_role", "ALTER ROLE <name>"),
    ("role_comment", "COMMENT ON ROLE <name>"),
    ("role_label", "SECURITY LABEL … ON ROLE <name>"),
    ("create_tablespace", "CREATE TABLESPACE <name> OWNER <owner> LOCATION <location>"),
    ("create_tablespace", "CREATE TABLESPACE <name> LOCATION <location>"),
    ("tablespace_setting", "ALTER TABLESPACE <name>"),
    ("tablespace_comment", "COMMENT ON TABLESPACE <name>"),
    ("tablespace_label", "SECURITY LABEL … ON TABLESPACE <name>"),
    ("tablespace_grant", "GRANT … ON TABLESPACE <name> TO <member>"),
    ("tablespace_grant", "REVOKE … ON TABLESPACE <name> FROM <member>"),
    ("parameter_grant", "GRANT … ON PARAMETER <name> TO <member>"),
    ("parameter_grant", "REVOKE … ON PARAMETER <name> FROM <member>"),
    ("membership", "GRANT <name> TO <member> … GRANTED BY <grantor>"),
    ("membership", "GRANT <name> TO <member>"),
    ("setting", "SET"),
    ("setting", "RESET"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One SQL statement, without comments before it and without its semicolon. It may hold a password's hash."""

    text: str

    @property
    def garbled(self) -> bool:
        """Whether there are bytes in it that are no UTF-8: pg_dumpall spoils a value that was set in another encoding."""
        return any("\udc80" <= character <= "\udcff" for character in self.text)

    def __repr__(self) -> str:
        return f"Statement({len(self.text)} characters)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Global:
    """What a statement is about. `name` is the role, tablespace or parameter; of a membership, the role granted.

    `member` is who gets (or loses) a privilege or membership, `grantor` who gave it, where the statement says so.
    """

    kind: Kind
    statement: Statement
    name: str | None = None
    member: str | None = None
    grantor: str | None = None
    database: str | None = None
    owner: str | None = None
    location: str | None = None


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    value: str
    start: int


def split_statements(sql: str | Iterable[bytes]) -> Iterator[Statement]:
    """Give the statements in order. Chunks of bytes are UTF-8, and read whole: the globals of a server are small.

    Raise IntegrityError when the text ends inside a statement, a string or a comment.
    """
    text = sql if isinstance(sql, str) else b"".join(sql).decode("utf-8", "surrogateescape")
    start: int | None = None
    for token in _tokens(text):
        if token.kind == "sign" and token.value == ";":
            if start is not None:
                yield Statement(text=text[start : token.start].rstrip())
            start = None
        elif start is None:
            start = token.start
    if start is not None:
        raise _cut_short()


def classify(statement: Statement) -> Global:
    """Say what a statement is about: kind `other` for what pg_dumpall does not write among the globals."""
    tokens = list(_tokens(statement.text))
    for kind, shape in _SHAPES:
        found = _match(tokens, shape.split())
        if found is not None:
            return Global(kind=kind, statement=statement, **found)
    return Global(kind="other", statement=statement)


def words(statement: Statement) -> tuple[str, ...]:
    """Give what the tokens of a statement mean: keywords and plain names in lower case, strings without quotes."""
    return tuple(_plain(token) for token in _tokens(statement.text))


def relocated(tablespace: Global, location: str) -> Statement:
    """Write a `create_tablespace` anew, with another directory. Raise ValueError for any other kind."""
    if tablespace.kind != "create_tablespace" or tablespace.name is None:
        raise ValueError(f"a {tablespace.kind} has no location")
    owner = f" OWNER {quoted_name(tablespace.owner)}" if tablespace.owner else ""
    path = location.replace("\\", "\\\\").replace("'", "''")
    text = f"CREATE TABLESPACE {quoted_name(tablespace.name)}{owner} LOCATION E'{path}'"
    return Statement(text=text)


def without(statement: Statement, keywords: Collection[str]) -> Statement:
    """Leave keywords (in capital letters) out of a statement; what stands in names and strings stays."""
    text, at, pieces = statement.text, 0, []
    for token in _tokens(text):
        if token.kind == "word" and token.value.upper() in keywords:
            pieces.append(text[at : token.start])
            at = token.start + len(token.value)
    return Statement(text="".join([*pieces, text[at:]]))


def without_grantor(membership: Global) -> Statement:
    """Leave out who granted it, which is the last that a `membership` says: then it is who executes it."""
    text = membership.statement.text
    tokens = list(_tokens(text))
    for token, following in itertools.pairwise(tokens):
        if _is_word(token, "GRANTED") and _is_word(following, "BY"):
            return Statement(text=text[: token.start].rstrip())
    return membership.statement


def quoted_name(name: str) -> str:
    """Write a name as a quoted SQL identifier."""
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _match(tokens: list[_Token], shape: list[str]) -> dict[str, str] | None:
    """Match the beginning of a statement; give what stands in the places of <…>."""
    found: dict[str, str] = {}
    at = 0
    for position, part in enumerate(shape):
        if part == _ANYTHING:
            at = _next_word(tokens, at, shape[position + 1])
        elif part.startswith("<"):
            if at >= len(tokens) or tokens[at].kind == "sign":
                return None
            found[part.strip("<>")], at = _name(tokens, at)
        elif at < len(tokens) and _is_word(tokens[at], part):
            at += 1
        else:
            return None
    return found


def _next_word(tokens: list[_Token], at: int, word: str) -> int:
    return next((i for i in range(at, len(tokens)) if _is_word(tokens[i], word)), len(tokens))


def _is_word(token: _Token, word: str) -> bool:
    return token.kind == "word" and token.value.upper() == word


def _name(tokens: list[_Token], at: int) -> tuple[str, int]:
    """Read a name, of one or several pieces with dots between (a parameter's), or a string."""
    name, at = _plain(tokens[at]), at + 1
    while at + 1 < len(tokens) and tokens[at].value == "." and tokens[at].kind == "sign":
        name, at = f"{name}.{_plain(tokens[at + 1])}", at + 2
    return name, at


def _plain(token: _Token) -> str:
    """Give what a token means: an identifier as the server keeps it, a string's content."""
    if token.kind == "word":
        return re.sub(r"[A-Z]", lambda found: found[0].lower(), token.value)
    if token.kind == "quoted":
        return token.value[1:-1].replace('""', '"')
    if token.kind == "string":
        return token.value[1:-1].replace("''", "'")
    if token.kind == "escape":
        return _ESCAPE.sub(lambda m: _CONTROL.get(m[1], m[1]) if m[1] else "'", token.value[2:-1])
    return token.value


def _tokens(text: str) -> Iterator[_Token]:
    """Give the tokens; blanks, comments and lines for psql are left out. Raise IntegrityError for one that never ends."""
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        assert found is not None and found.lastgroup is not None  # noqa: S101, PT018 - <sign> matches anything
        start, at = at, found.end()
        if found.lastgroup == "block":
            at = _after_comment(text, at)
        elif found.lastgroup == "dollar":
            at = _after(text, found[0], at)
            yield _Token("dollar", text[start:at], start)
        elif found.lastgroup == "open":
            raise _cut_short()
        elif found.lastgroup != "blank":
            yield _Token(found.lastgroup, found[0], start)


def _after(text: str, mark: str, at: int) -> int:
    end = text.find(mark, at)
    if end < 0:
        raise _cut_short()
    return end + len(mark)


def _after_comment(text: str, at: int) -> int:
    """Find the end of a block comment; in PostgreSQL they nest."""
    depth = 1
    while depth:
        mark = _COMMENT_MARK.search(text, at)
        if mark is None:
            raise _cut_short()
        depth += 1 if mark[0] == "/*" else -1
        at = mark.end()
    return at


def _cut_short() -> IntegrityError:
    return IntegrityError(
        "the globals end inside a statement, a string or a comment",
        hint="They are cut short: restore from another backup, or leave the globals out.",
    )
