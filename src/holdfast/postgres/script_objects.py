"""Splits the script of definitions that pg_restore -s and pg_dump -s print into the objects that it makes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from holdfast.model.errors import IntegrityError

# pg_dump replaces line breaks in the names of these comments. A text that never ends must not cost quadratic time.
_HEADER = re.compile(
    r"-- (?:Data for )?Name: (?P<name>.*); Type: (?P<kind>[A-Z ]+); Schema: (?P<schema>.*); Owner: (?P<owner>[^;\n]*)"
)
_BLANK = re.compile(r"\s++|--[^\n]*+(?:\n|\Z)|\\[^\n]*+(?:\n|\Z)")
_STATEMENT = re.compile(
    r"""(?>(?:[^'"$;]++|'[^']*+'|"[^"]*+"|(\$(?:[^\W\d]\w*+)?\$)(?s:.*?)\1|\$|;(?!\n|\Z))*);(?:\n|\Z)"""
)
_TABLESPACE = re.compile(r"SET default_tablespace = (.*);")
_ACCESS_METHOD = re.compile(r"SET default_table_access_method = (.*);")
_SESSION = ("SET ", "SELECT pg_catalog.set_config(")
_PLACED = frozenset({"TABLE", "MATERIALIZED VIEW", "INDEX", "CONSTRAINT"})
_WITH_METHOD = frozenset({"TABLE", "MATERIALIZED VIEW"})
_NAMED_AFTER = frozenset({"ACL", "COMMENT", "SECURITY LABEL"})
_UPON = re.compile(r"((?:[A-Z]+ )+)(.*)")
_USUAL = {"''": "", "heap": ""}
# Neither is a definition: one is done after the rows are in, the other is the planner's.
_NO_DEFINITIONS = frozenset({"MATERIALIZED VIEW DATA", "STATISTICS DATA", "TABLE DATA"})


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Key:
    """What an object is: pg_dump's word for its kind, in lower case, and its name with its schema where it has one."""

    kind: str
    name: str


def script_objects(text: str) -> dict[Key, tuple[str, ...]]:
    """Give the objects of a script, with the texts that make them: sorted, as the order of a dump says nothing.

    A text holds its owner, and a table's access method and tablespace where they are not the usual ones. Raise
    IntegrityError when the script ends inside a statement.
    """
    found: dict[Key, list[str]] = {}
    for key, body in _bodies(text):
        found.setdefault(key, []).append(body)
    return {key: tuple(sorted(bodies)) for key, bodies in found.items()}


def _bodies(text: str) -> Iterator[tuple[Key, str]]:
    key: Key | None = None
    statements: list[str] = []
    tablespace = method = ""
    kind = ""
    for header, statement in _pieces(text):
        if header is not None:
            if key is not None and statements:
                yield key, "\n".join(statements)
            kind = header["kind"]
            key = None if kind in _NO_DEFINITIONS else Key(kind=kind.lower(), name=_name(header))
            statements = []
            if kind in _PLACED and _USUAL.get(tablespace, tablespace):
                statements.append(f"TABLESPACE {tablespace}")
            if kind in _WITH_METHOD and _USUAL.get(method, method):
                statements.append(f"USING {method}")
        elif space := _TABLESPACE.fullmatch(statement):
            tablespace = space[1]
        elif access := _ACCESS_METHOD.fullmatch(statement):
            method = access[1]
        elif key is not None and not statement.startswith(_SESSION):
            statements.append(statement)
    if key is not None and statements:
        yield key, "\n".join(statements)


def _name(header: re.Match[str]) -> str:
    """Give the name with its schema; what is upon another thing is named after that: `TABLE public.orders`."""
    name = header["name"]
    if header["schema"] == "-":
        return name
    upon = _UPON.fullmatch(name) if header["kind"] in _NAMED_AFTER else None
    return f"{upon[1]}{header['schema']}.{upon[2]}" if upon else f"{header['schema']}.{name}"


def _pieces(text: str) -> Iterator[tuple[re.Match[str] | None, str]]:
    """Give the comments that name an object, and the statements between them."""
    at = 0
    while at < len(text):
        if blank := _BLANK.match(text, at):
            header = _HEADER.match(text, at)
            if header is not None and header.end() <= blank.end():
                yield header, ""
            at = blank.end()
        elif statement := _STATEMENT.match(text, at):
            yield None, statement[0].rstrip()
            at = statement.end()
        else:
            raise IntegrityError(
                "the definitions end inside a statement",
                hint="pg_restore or pg_dump ended too early; the archive may be damaged.",
            )
