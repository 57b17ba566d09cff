"""Reads what pg_dumpall prints of roles and tablespaces into facts that can be compared, passwords apart."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

from holdfast.postgres.statements import Global, classify, split_statements

_PASSWORD = re.compile(r" PASSWORD ('(?:[^']|'')*')")
_UNTIL = re.compile(r"(?<= VALID UNTIL ')([^']*)(?=')")
_OPTION = re.compile(r"\b(ADMIN|INHERIT|SET) (OPTION|TRUE|FALSE)\b")
_WITH = re.compile(r"\sWITH\s(.*?)(?:\sGRANTED BY\s|\Z)", re.DOTALL)
_SETTING = re.compile(r'\sSET ("(?:[^"]|"")*"|[^\s"=]+)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A role in another. Options that this version of PostgreSQL did not know are None."""

    role: str
    member: str
    grantor: str | None
    admin: bool
    inherit: bool | None
    set: bool | None

    def same_as(self, other: Membership) -> bool:
        """Whether two say the same, as far as both versions could say it."""
        return self.admin == other.admin and all(
            mine is None or theirs is None or mine == theirs
            for mine, theirs in ((self.inherit, other.inherit), (self.set, other.set))
        )


@dataclass(slots=True, kw_only=True)
class RoleFacts:
    """What a server's globals are. `settings` are keyed by role and setting, `passwords` hold what must not be shown.

    `garbled` are the settings whose value is not known, as it is in no encoding that pg_dumpall writes.

    `others` are comments, labels, and privileges on parameters, by what they are on; `tablespaces` likewise.
    """

    roles: dict[str, str] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict, repr=False)
    settings: dict[tuple[str, str], str] = field(default_factory=dict, repr=False)
    garbled: set[tuple[str, str]] = field(default_factory=set)
    memberships: dict[tuple[str, str, str | None], Membership] = field(default_factory=dict)
    others: dict[tuple[str, str], set[str]] = field(default_factory=dict)
    tablespaces: dict[tuple[str, str], set[str]] = field(default_factory=dict)


def role_facts(text: bytes) -> RoleFacts:
    """Read what `pg_dumpall --globals-only` printed. Raise IntegrityError where it ends inside a statement."""
    facts = RoleFacts()
    for statement in split_statements([text]):
        _take(facts, classify(statement))
    return facts


def _take(facts: RoleFacts, found: Global) -> None:
    name, text = found.name or "", found.statement.text
    match found.kind:
        case "create_role":
            facts.roles.setdefault(name, "")
        case "alter_role":
            if password := _PASSWORD.search(text):
                facts.passwords[name] = password[1]
            attributes = _UNTIL.sub(_in_utc, _PASSWORD.sub("", text))
            facts.roles[name] = attributes.partition(" WITH ")[2] or attributes
        case "role_setting":
            _take_setting(facts, found)
        case "membership":
            membership = _membership(found, text)
            facts.memberships[name, membership.member, membership.grantor] = membership
        case "role_comment" | "role_label" | "parameter_grant":
            facts.others.setdefault((found.kind.replace("_", " "), name), set()).add(text)
        case (
            "create_tablespace"
            | "tablespace_setting"
            | "tablespace_grant"
            | "tablespace_comment"
            | "tablespace_label"
        ):
            what = "tablespace owner" if found.kind == "create_tablespace" else found.kind.replace("_", " ")
            said = found.owner or "" if found.kind == "create_tablespace" else text
            facts.tablespaces.setdefault((what, name), set()).add(said)
        case "setting" | "other":
            pass


def _take_setting(facts: RoleFacts, found: Global) -> None:
    setting = setting_of(found)
    if found.database is not None or setting is None:
        return
    if found.statement.garbled:
        facts.garbled.add((found.name or "", setting[0]))
    else:
        facts.settings[found.name or "", setting[0]] = setting[1]


def setting_of(found: Global) -> tuple[str, str] | None:
    """The setting of a role's that a statement gives it, and the value as it is written; None where it gives none."""
    text = found.statement.text
    setting = _SETTING.search(text)
    return None if setting is None else (setting[1].strip('"'), text[setting.end() :].strip())


def _membership(found: Global, text: str) -> Membership:
    options = dict(_options(text))
    return Membership(
        role=found.name or "",
        member=found.member or "",
        grantor=found.grantor,
        admin=options.get("ADMIN", False),
        inherit=options.get("INHERIT"),
        set=options.get("SET", True if "INHERIT" in options else None),  # 16 and later write SET FALSE alone
    )


def _options(text: str) -> Iterable[tuple[str, bool]]:
    if said := _WITH.search(text):
        for word, value in _OPTION.findall(said[1]):
            yield word, value != "FALSE"


def _in_utc(found: re.Match[str]) -> str:
    """Write a time in UTC: pg_dumpall writes it in the session's zone."""
    with suppress(ValueError):
        return datetime.fromisoformat(found[1]).astimezone(UTC).isoformat()
    return found[1]
