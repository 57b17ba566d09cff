"""Chooses what of a Supabase project's archive is restored: into another project, or into plain PostgreSQL.

The archive holds the platform's definitions, too. A project has those already, and only its owner's are put there; what
stands on the platform's tables, and event triggers, come last and each by itself, as they need rights of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from holdfast.model.catalog import LeftOut
from holdfast.postgres import supabase_names as names
from holdfast.postgres.acting import add_dependents
from holdfast.postgres.copy_text import columns
from holdfast.postgres.entries import Entry
from holdfast.postgres.relation_names import Name
from holdfast.postgres.selecting import ALWAYS

_UPON_SCHEMAS = frozenset({"ACL", "COMMENT", "SECURITY LABEL"})
_SCHEMA = "SCHEMA "
_REALTIME = "supabase_realtime"
_OF_SUPERUSERS = frozenset({"EVENT TRIGGER", "FOREIGN DATA WRAPPER"})  # nobody else can be made their owner
_PLATFORMS = ("EXTENSION ", "FOREIGN DATA WRAPPER ")
_ROWS = frozenset({"TABLE DATA", "SEQUENCE SET"})
# Schemas of the platform that are of use without it.
_PORTABLE = frozenset({"auth", "storage", names.MIGRATIONS})
_OF_PLATFORM = "it is the platform's own"
_NO_EXTENSION = "the server does not have the extension"
_SEALED = "only the project that they come from can open them"


@dataclass(frozen=True, slots=True, kw_only=True)
class There:
    """What the database that is restored into has: columns by table (those that take values), and roles we may be."""

    schemas: frozenset[str]
    tables: Mapping[Name, frozenset[str]]
    roles: frozenset[str]
    extensions: frozenset[str]
    publications: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What is restored, in the archive's order. `late` is tried one by one; of `disowned` (dump ids) the owner is who restores.

    `lacking` are columns, by table, that the backup has rows for and the database does not have.
    """

    entries: tuple[Entry, ...]
    late: tuple[Entry, ...] = ()
    disowned: frozenset[int] = frozenset()
    left_out: tuple[LeftOut, ...] = ()
    lacking: tuple[str, ...] = ()

    @property
    def filled(self) -> frozenset[int]:
        """The OIDs of the tables whose rows are restored."""
        return frozenset(entry.oid for entry in self.entries if entry.desc == "TABLE DATA")


def for_project(
    entries: Sequence[Entry], there: There, *, extras: Collection[str], empty: Collection[int] = ()
) -> Choice:
    """Choose what is restored into another project, or a server of one's own with the platform on it.

    `extras` are the words of supabase_extras that were wanted; `empty` the OIDs of tables that held no row.
    """
    chosen: list[Entry] = []
    late: list[Entry] = []
    left_out: list[LeftOut] = []
    lacking: list[str] = []
    functions = {entry.dump_id: entry.namespace for entry in entries if entry.desc == "FUNCTION"}
    for entry in entries:
        if _is_late(entry, functions, extras):
            late.append(entry)
        elif entry.desc in _ROWS and names.is_platform(entry.namespace):
            if entry.desc == "TABLE DATA" and entry.oid in empty:
                continue
            reason = _no_rows(entry, there, extras)
            if reason is None:
                chosen.append(entry)
                lacking += _lacking(entry, there)
            elif reason:
                left_out.append(LeftOut(kind="rows", name=f"{entry.namespace}.{entry.tag}", reason=reason))
        elif entry.desc in ALWAYS or _is_owners(entry, there, extras):
            chosen.append(entry)
    return Choice(
        entries=tuple(chosen),
        late=tuple(late),
        disowned=_disowned((*chosen, *late), there.roles),
        left_out=tuple(left_out),
        lacking=tuple(lacking),
    )


def for_plain(entries: Sequence[Entry], *, roles: Collection[str], available: Collection[str]) -> Choice:
    """Choose what is restored where there is no platform: of its schemas those with users and files, and no more.

    `roles` can be owners there, and `available` are the extensions that the server could make. What needs something that is left out is left out, too.
    """
    reasons: dict[int, str] = {}
    for entry in entries:
        if entry.desc == "EXTENSION" and entry.tag not in available:
            reasons[entry.dump_id] = _NO_EXTENSION
        elif _needs_platform(entry):
            reasons[entry.dump_id] = _OF_PLATFORM
    named = {entry.dump_id for entry in entries if reasons.get(entry.dump_id) == _NO_EXTENSION}
    own = frozenset(reasons)
    add_dependents(entries, reasons, named)
    kept = tuple(entry for entry in entries if entry.dump_id not in reasons)
    return Choice(
        entries=kept,
        disowned=_disowned(kept, roles),
        left_out=tuple(
            LeftOut(kind=entry.desc.lower(), name=title(entry), reason=_why(entry, reasons, own))
            for entry in entries
            if entry.dump_id in named
        ),
    )


def title(entry: Entry) -> str:
    """Give an entry's name for people."""
    return f"{entry.namespace}.{entry.tag}" if entry.namespace else entry.tag or ""


def _why(entry: Entry, reasons: Mapping[int, str], own: Collection[int]) -> str:
    if entry.dump_id in own:
        return reasons[entry.dump_id]
    if reasons[entry.dump_id] == _OF_PLATFORM:
        return "it needs what is the platform's own"
    return "it needs an extension that the server does not have"


def space(entry: Entry) -> str | None:
    """Give the schema that an entry is in, or is, or is upon."""
    if entry.namespace is not None:
        return entry.namespace
    tag = entry.tag or ""
    if entry.desc == "SCHEMA":
        return tag
    if entry.desc in _UPON_SCHEMAS and tag.startswith(_SCHEMA):
        return tag.removeprefix(_SCHEMA)
    return None


def _is_late(entry: Entry, functions: Mapping[int, str | None], extras: Collection[str]) -> bool:
    """Whether the owner put it on the platform's tables, or on the database."""
    if entry.desc == "EVENT TRIGGER":
        return "event_triggers" in extras and _by_owner(entry)
    if entry.desc in {"PUBLICATION TABLE", "PUBLICATION TABLES IN SCHEMA"}:
        return not names.is_platform(entry.namespace)
    if entry.namespace not in names.OPEN:
        return False
    if entry.desc == "POLICY":  # the platform has none there
        return "policies" in extras
    if entry.desc == "TRIGGER" and "triggers" in extras:
        run = {functions[number] for number in entry.dependencies if number in functions}
        return entry.namespace not in run  # the platform's own call its functions beside the table
    return False


def _by_owner(entry: Entry) -> bool:
    return entry.owner == "postgres" or not names.is_reserved(entry.owner)


def _no_rows(entry: Entry, there: There, extras: Collection[str]) -> str | None:
    """Why rows of a table of the platform's stay out; None when they do not, and empty where nobody misses them."""
    schema, table = entry.namespace or "", entry.tag or ""
    if schema == names.MIGRATIONS and "migrations" in extras:
        return "" if schema in there.schemas else None
    if schema == names.VAULT and entry.desc == "TABLE DATA" and "vault" in extras:
        return _SEALED
    if not names.keeps_rows(schema, table):
        return ""
    if entry.desc == "TABLE DATA" and (schema, table) not in there.tables:
        return "there is no such table in the database that is restored into"
    return None if entry.desc == "TABLE DATA" or schema in there.schemas else ""


def _lacking(entry: Entry, there: There) -> Iterator[str]:
    schema, table = entry.namespace or "", entry.tag or ""
    if entry.copy is None or schema == names.MIGRATIONS:
        return
    here = there.tables[schema, table]
    for raw in columns(entry.copy.strip().encode("utf-8", "surrogateescape")):
        column = raw.decode("utf-8", "surrogateescape")
        if column not in here:
            yield f"{schema}.{table}.{column}"


def _is_owners(entry: Entry, there: There, extras: Collection[str]) -> bool:
    """Whether it is what the project's owner made, and a project does not have."""
    schema = space(entry)
    if schema == names.MIGRATIONS:
        return "migrations" in extras and schema not in there.schemas
    if schema is not None and names.is_platform(schema):
        return False
    test = _OF_OWNERS.get(entry.desc)
    return test is None or test(entry, there, entry.tag or "")


_OF_OWNERS: Mapping[str, Callable[[Entry, There, str], bool]] = {
    "SCHEMA": lambda _, there, tag: tag not in there.schemas,
    "DEFAULT ACL": lambda entry, there, _: entry.owner in there.roles,
    "PUBLICATION": lambda _, there, tag: (
        not tag.startswith(f"{_REALTIME}_") and tag not in there.publications
    ),
    "EXTENSION": lambda _, there, tag: tag not in there.extensions,
    "EVENT TRIGGER": lambda *_: False,
    "ACL": lambda _, __, tag: not tag.startswith(_PLATFORMS),
    "COMMENT": lambda _, __, tag: not tag.startswith(_PLATFORMS),
}


def _needs_platform(entry: Entry) -> bool:
    """Whether it is of no use without the platform."""
    schema = space(entry)
    if schema == "extensions":  # the platform's place for extensions, with functions of its own
        return entry.desc != "SCHEMA"
    if _in_platform(entry):
        return True
    if entry.desc == "EVENT TRIGGER":
        return not _by_owner(entry)
    if entry.desc == "PUBLICATION":
        return (entry.tag or "").startswith(f"{_REALTIME}_")
    reserved = names.is_reserved(entry.owner) and not names.is_client(entry.owner or "")
    return entry.desc == "DEFAULT ACL" and reserved


def _in_platform(entry: Entry) -> bool:
    schema = space(entry)
    return schema is not None and names.is_platform(schema) and schema not in _PORTABLE


def _disowned(entries: Iterable[Entry], roles: Collection[str]) -> frozenset[int]:
    return frozenset(
        entry.dump_id
        for entry in entries
        if entry.owner and (entry.owner not in roles or entry.desc in _OF_SUPERUSERS)
    )
