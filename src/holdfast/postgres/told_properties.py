"""Reads a database's own properties out of the statements that pg_dump writes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from holdfast.model.catalog import Properties, Setting
from holdfast.postgres.properties import LISTS
from holdfast.postgres.statements import Statement, quoted_name, words

_PROVIDERS = {"libc": "c", "icu": "i", "builtin": "b"}
# Empty text: the dump does not tell, and a restore leaves it to the server.
UNKNOWN = Properties(
    owner="",
    encoding="",
    collate="",
    ctype="",
    provider="c",
    locale=None,
    icu_rules=None,
    collation_version=None,
    tablespace="pg_default",
    connection_limit=-1,
    comment=None,
    grants=None,
    settings=(),
)


def told(known: Properties, statement: Statement) -> Properties:
    """Add what a statement tells of the database; one that tells nothing of it changes nothing."""
    changed = known
    match words(statement):
        case ("create", "database", _, *rest):
            changed = _created(known, _pairs(rest))
        case ("alter", "database", _, "owner", "to", owner):
            changed = replace(known, owner=owner)
        case ("alter", "database", _, "connection", "limit", "=", *number):
            changed = replace(known, connection_limit=int("".join(number)))
        case ("alter", "database", _, "is_template", "=", value):
            changed = replace(known, is_template=value == "true")
        case ("alter", "database", _, "set", *rest):
            changed = _with(known, None, rest)
        case ("alter", "role", role, "in", "database", _, "set", *rest):
            changed = _with(known, role, rest)
        case ("comment", "on", "database", _, "is", text):
            changed = replace(known, comment=text)
    return changed


def _created(known: Properties, given: Mapping[str, str]) -> Properties:
    locale = given.get("locale", "")
    provider = _PROVIDERS.get(given.get("locale_provider", "libc"), "c")
    other = given.get("icu_locale") or given.get("builtin_locale")
    return replace(
        known,
        encoding=given.get("encoding", known.encoding),
        collate=given.get("lc_collate", locale),
        ctype=given.get("lc_ctype", locale),
        provider=provider,
        locale=None if provider == "c" else other or locale,
        icu_rules=given.get("icu_rules"),
        tablespace=given.get("tablespace", known.tablespace),
    )


def _pairs(rest: Iterable[str]) -> dict[str, str]:
    """Read `KEY = value KEY = value`."""
    found: dict[str, str] = {}
    pieces = list(rest)
    for at, piece in enumerate(pieces):
        if piece == "=" and 0 < at < len(pieces) - 1:
            found[pieces[at - 1]] = pieces[at + 1]
    return found


def _with(known: Properties, role: str | None, rest: list[str]) -> Properties:
    """Add a setting: `name TO value, value`; the dots of its name stand between its words, when it has any."""
    sign = next((at for at, word in enumerate(rest) if word in {"to", "="}), None)
    if sign is None:
        return known
    name = "".join(rest[:sign])
    values = [word for word in rest[sign + 1 :] if word != ","]
    value = ", ".join(map(quoted_name, values)) if name.lower() in LISTS else ", ".join(values)
    return replace(known, settings=(*known.settings, Setting(role=role, name=name, value=value)))
