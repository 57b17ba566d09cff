"""Tells what the dumps that a script makes have in common: one server, its databases, and what is left out of all of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from holdfast.model.client_options import options
from holdfast.model.script_reading import Reading
from holdfast.model.shell_script import EVERY_DATABASE, MARK, UNKNOWN, Script

_KEPT = {
    "schema": "include_schemas",
    "exclude-schema": "exclude_schemas",
    "table": "include_tables",
    "exclude-table": "exclude_tables",
    "exclude-table-data": "exclude_table_data",
    "exclude-database": "exclude_databases",
}
_PARTIAL = {
    "schema-only": "schema-only", "s": "schema-only", "data-only": "data-only", "a": "data-only", "section": "section",
    "filter": "filter", "extension": "extension", "table-and-children": "table-and-children",
    "exclude-table-and-children": "exclude-table-and-children", "exclude-extension": "exclude-extension",
    "exclude-table-data-and-children": "exclude-table-data-and-children", "no-blobs": "no-blobs",
    "no-large-objects": "no-large-objects", "B": "no-blobs",
}  # fmt: skip
_GLOBALS = frozenset({"g", "globals-only", "r", "roles-only", "t", "tablespaces-only"})
_SERVER = {"host": "host", "hostaddr": "host", "port": "port", "user": "username", "dbname": "dbname"}
_VARIABLES = {
    "PGHOST": "host", "PGPORT": "port", "PGUSER": "username", "PGDATABASE": "dbname", "PGSSLMODE": "sslmode",
    "PGSSLROOTCERT": "sslrootcert", "PGSERVICE": "service",
}  # fmt: skip
_PARAMETERS = frozenset({"sslmode", "sslrootcert", "sslcert", "sslkey", "service"})
_PAIR = re.compile(r"\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|\Z)", re.DOTALL)
_THROUGH_OTHERS = frozenset({"{}", ":::", "::::"})


@dataclass(slots=True, kw_only=True)
class Dump:
    """One call of pg_dump or pg_dumpall. `unsure` are words for what of it is not known."""

    line: int
    globals_only: bool = False
    every_database: bool = False
    databases: list[str] = field(default_factory=list)
    server: dict[str, str] = field(default_factory=dict)
    selection: dict[str, list[str]] = field(default_factory=dict)
    partial: list[str] = field(default_factory=list)
    unsure: list[str] = field(default_factory=list)
    password: bool = False
    from_query: bool = False

    @property
    def place(self) -> tuple[str | None, ...]:
        """Which server it is, as far as it is said."""
        return tuple(self.server.get(key) for key in ("host", "port", "service"))


def read_dump(
    line: int, program: str, words: tuple[str, ...], environment: Mapping[str, str], script: Script
) -> Dump:
    """Read the arguments of a dump, and what libpq's variables were where it is called."""
    dump = Dump(line=line)
    reader = _Reader(dump, script)
    given = list(options(script.spread(words)))
    cluster = program == "pg_dumpall"
    if cluster:
        dump.globals_only = any(key in _GLOBALS for key, _ in given)
        dump.every_database = not dump.globals_only
        given = [(key, value) for key, value in given if key != "table"]
    for key, value in given:
        reader.option(key, value)
    for key, value in given:
        if key == "dbname":
            reader.connect(value, named=not cluster)
    for name, key in _VARIABLES.items():
        if key != "dbname" and key not in dump.server and environment.get(name):
            reader.put(key, environment[name])
    if not (cluster or dump.databases or dump.every_database or dump.unsure):
        reader.connect(environment.get("PGDATABASE", ""), named=True)
    if not (cluster or dump.databases or dump.every_database or dump.unsure):
        dump.unsure.append("no database is named, so it is the one that is called like the user")
    return dump


class _Reader:
    """Puts values into a dump: each word may stand for several, or for what is not known."""

    def __init__(self, dump: Dump, script: Script) -> None:
        self._dump = dump
        self._script = script

    def option(self, key: str, value: str) -> None:
        """Take an option that is not the database."""
        if key in _KEPT:
            self.select(_KEPT[key], value)
        elif key in _PARTIAL:
            self._dump.partial.append(_PARTIAL[key])
        elif key in {"host", "port", "username"}:
            self.put(key, value)
        elif key == "role":
            self._dump.unsure.append("it is made with --role (pg_dump_options)")

    def put(self, key: str, value: str) -> None:
        known = self._script.one_value(value)
        if known == UNKNOWN or EVERY_DATABASE in known:
            self._dump.unsure.append(f"the {'user' if key == 'username' else key} is not known")
        elif known:
            self._dump.server[key] = known

    def select(self, key: str, value: str) -> None:
        found = self._dump.selection.setdefault(key, [])
        for each in self._script.values(value):
            if UNKNOWN in each or EVERY_DATABASE in each:
                self._dump.unsure.append(f"a value for {key} is not known")
            elif each not in found:
                found.append(each)

    def connect(self, value: str, *, named: bool) -> None:
        """Read a database's name, a URL, or `key=value` pairs."""
        for each in self._script.values(value):
            if each == EVERY_DATABASE:
                self._dump.every_database |= named
                self._dump.from_query |= named
            elif re.match(r"postgres(?:ql)?://", each):
                self._uri(each, named=named)
            elif "=" in each:
                self._pairs(each, named=named)
            elif named:
                self._name(each)

    def _name(self, name: str) -> None:
        if EVERY_DATABASE in name:
            self._dump.every_database = True
        elif UNKNOWN in name or MARK in name or name in _THROUGH_OTHERS or "://" in name:
            self._dump.unsure.append("which database it dumps is not known")
        elif "\ufffd" in name:
            self._dump.unsure.append("the name of its database is not UTF-8 here")
        elif name and name not in self._dump.databases:
            self._dump.databases.append(name)

    def _pairs(self, text: str, *, named: bool) -> None:
        for pair in _PAIR.finditer(text):
            value = re.sub(r"\\(.)", r"\1", pair[3] if pair[2] is None else pair[2])
            self._keyword(pair[1], value, named=named)

    def _uri(self, text: str, *, named: bool) -> None:
        """Read a URL; its password stays where it is. One that is malformed tells nothing, as a password may be in any part."""
        try:
            parts = urlsplit(text)
            port = str(parts.port or "")
        except ValueError:
            parts, port = None, ""
        if parts is None or "@" in parts.path + parts.query + parts.fragment or parts.fragment:
            self._dump.unsure.append(
                "its URL cannot be read (what is special in a password has to be %XX there)"
            )
            return
        self._dump.password |= bool(parts.password)
        for key, value in (("host", parts.hostname), ("port", port), ("user", parts.username)):
            self._keyword(key, unquote(value or ""), named=named)
        for key, value in parse_qsl(parts.query):
            self._keyword(key, value, named=named)
        if named:
            self._name(unquote(parts.path.lstrip("/")))

    def _keyword(self, key: str, value: str, *, named: bool) -> None:
        if key == "password":
            self._dump.password = True
        elif key == "dbname":
            if named:
                self._name(value)
        elif value and (key in _SERVER or key in _PARAMETERS):
            self.put(_SERVER.get(key, key), value)


def settle(dumps: list[Dump], reading: Reading) -> None:
    """Put into the reading what holds for one target, and a note for each dump that is otherwise."""
    whole = [dump for dump in dumps if not dump.globals_only] or dumps
    if not whole:
        return
    own = [dump for dump in dumps if dump.place == whole[0].place]
    reading.server = dict(whole[0].server)
    for dump in dumps:
        for text in dict.fromkeys(dump.unsure):
            reading.notes.append((dump.line, f"a dump: {text}: add it to the config"))
        if dump.from_query:
            text = "a query chooses the databases: the config takes all; exclude_databases leaves some out"
            reading.notes.append((dump.line, text))
        if dump not in own:
            server = ":".join(value for value in dump.place if value) or "the local one"
            what = "roles" if dump.globals_only else _databases(dump)
            reading.notes.append(
                (
                    dump.line,
                    f"another server ({server}; {what}): not in the config, give it a target of its own",
                )
            )
    own = [dump for dump in own if not dump.globals_only]
    for dump in own:
        reading.every_database |= dump.every_database
        reading.databases += [name for name in dump.databases if name not in reading.databases]
    _choose(own, reading)
    if any(dump.password for dump in dumps):
        reading.notes.append(
            (0, "a password stands in a URL or its like: put it into a file (password_file)")
        )


def _choose(dumps: list[Dump], reading: Reading) -> None:
    """Leave out what all dumps leave out. What only some do is told, as a target that leaves it out of all would lose data."""
    for dump in dumps:
        for name in dict.fromkeys(dump.partial):
            reading.notes.append(
                (
                    dump.line,
                    f"--{name} of {_databases(dump)} is not in the config: Holdfast takes all of a database",
                )
            )
    full = [dump for dump in dumps if not dump.partial] or dumps
    if full and all(dump.selection == full[0].selection for dump in full):
        reading.selection = full[0].selection
        full = []
    for dump in [*full, *(dump for dump in dumps if dump.partial and dump.selection != reading.selection)]:
        for key, names in dump.selection.items():
            what = f"{key} = {', '.join(names)} of {_databases(dump)}"
            text = f"{what} is not in the config, as other dumps do without: a target of its own can have it"
            reading.notes.append((dump.line, text))


def _databases(dump: Dump) -> str:
    return "all databases" if dump.every_database else ", ".join(dump.databases) or "a database"
