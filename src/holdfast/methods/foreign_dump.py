"""Reads through a dump that another program's script took: of what kind it is, what it holds, and that it is whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from holdfast.methods.archive_end import LAST_BLOCK
from holdfast.methods.foreign_catalog import CatalogBuilder
from holdfast.model import catalog as model
from holdfast.model.backup import PartFormat, Role
from holdfast.model.errors import IntegrityError
from holdfast.postgres import archive, blocks, playing, script
from holdfast.postgres.entries import Entry, Header, data_tables
from holdfast.postgres.schema_reading import SchemaCollector
from holdfast.postgres.statements import Statement, classify, split_statements, words
from holdfast.postgres.tar_archive import TarReader, begins_tar, watch_tar
from holdfast.streams.unwrap import peeked

_PLAIN = re.compile(rb"(?:\xef\xbb\xbf)?\s*--\s*\n-- PostgreSQL database (?P<cluster>cluster )?dump\s*\n")
_CUSTOM = b"PGDMP"
_COMPLETE = re.compile(rb"-- PostgreSQL database (?:cluster )?dump complete")
_FROM, _BY = b"-- Dumped from database version ", b"-- Dumped by pg_dump version "
_ENTRY = re.compile(
    r"-- (?P<data>Data for )?Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>.*); Owner: "
)
_ENCODING = re.compile(rb"SET client_encoding = '(\w+)'")
# What pg_dump itself writes for psql. Anything else could run programs on the machine that restores (CVE-2025-8714).
_DBNAME = re.compile(r"dbname='((?:[^'\\]|\\.)*)'")
_ANOTHER = re.compile(rb"-- PostgreSQL database (?:cluster )?dump\s*\Z")
_TAIL = 1024
_INT_SIZE = 4  # others are too old to be looked through
_CUT = "It was cut short when it was written or copied: such a file does not restore. Take another one."
_SEVERAL = "Cut the file apart, one dump each."
_WHOLE_SERVER = (
    "Dumps of single databases, and of the globals alone (pg_dumpall --globals-only), are taken over."
)
_HARMLESS = re.compile(
    rb"\\(?:(?:un)?restrict \w+|encoding \w+|connect (?:-reuse-previous=on )?(?:[\w$]+|\"(?:[^\"]|\"\")*\"))\s*\Z"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a dump is. `database` and the versions are None where it does not tell.

    `creates` says that a plain dump makes its database itself (pg_dump --create). The roles and tablespaces are those
    of globals.
    """

    format: PartFormat
    role: Role
    database: str | None
    server_version: str | None
    dump_version: str | None
    contents: CatalogBuilder = field(repr=False)
    creates: bool = False
    roles: frozenset[str] = frozenset()
    tablespaces: Mapping[str, str] = field(default_factory=dict)
    role_passwords: bool = False

    def catalog(self, name: str) -> model.Database:
        """Give the catalog of the database, by the name that it has."""
        return self.contents.built(name)


def is_dump(head: bytes) -> bool:
    """Whether bytes, the first 512 of a file, begin a dump that is known here."""
    return head.startswith(_CUSTOM) or begins_tar(head) or _PLAIN.match(head) is not None


def watched(chunks: Iterable[bytes], kind: PartFormat) -> Iterator[bytes]:
    """Pass a tar archive or a plain dump through. Raise IntegrityError when it is cut short."""
    if kind == "tar":
        yield from watch_tar(
            chunks, TarReader(archive.TocReader(tar=True, keep=lambda entry: entry.has_data))
        )
        return
    tail = b""
    for chunk in chunks:
        tail = (tail + chunk)[-_TAIL:]
        yield chunk
    if not _COMPLETE.search(tail):
        raise IntegrityError("it ends before its last line, which says that it is complete", hint=_CUT)


def examine(chunks: Iterable[bytes]) -> Found:
    """Read a dump to its end. Raise IntegrityError when it is damaged, cut short, or not to be taken over."""
    head, source = peeked(chunks)
    if head.startswith(_CUSTOM):
        return _custom(source)
    if begins_tar(head):
        return _tar(source)
    return _Plain(cluster=bool((found := _PLAIN.match(head)) and found["cluster"])).read(source)


def _custom(chunks: Iterator[bytes]) -> Found:
    contents, schema = CatalogBuilder(), SchemaCollector()
    reader = archive.TocReader(keep=_keeping(contents, schema), definitions=_defines(schema))
    finder = blocks.BlockFinder(reader)
    tail = b""
    for chunk in blocks.watch_blocks(archive.watch(chunks, reader), finder):
        tail = (tail + chunk[-len(LAST_BLOCK) :])[-len(LAST_BLOCK) :]
    header, filled = reader.header, {entry.dump_id for entry in reader.entries if entry.has_data}
    if filled and tail != LAST_BLOCK:
        raise IntegrityError("it ends inside the rows of a table", hint=_CUT)
    known = header is not None and header.int_size == _INT_SIZE
    if known and (finder.inside or filled - finder.found.keys()):
        raise IntegrityError("it is damaged between its table of contents and its end")
    contents.filled(data_tables(reader.entries))
    contents.schema_objects = schema.objects
    return _found("custom", header, contents)


def _tar(chunks: Iterator[bytes]) -> Found:
    contents, schema = CatalogBuilder(), SchemaCollector()
    toc = archive.TocReader(keep=_keeping(contents, schema), definitions=_defines(schema), tar=True)
    for _ in watch_tar(chunks, TarReader(toc)):
        pass
    contents.filled(data_tables(toc.entries))
    contents.schema_objects = schema.objects
    return _found("tar", toc.header, contents)


def _of_database(desc: str, tag: str | None) -> bool:
    return desc.startswith("DATABASE") or (desc == "COMMENT" and (tag or "").startswith("DATABASE "))


def _defines(schema: SchemaCollector) -> Callable[[str, str | None], bool]:
    return lambda desc, tag: _of_database(desc, tag) or schema.wants(desc, tag)


def _keeping(contents: CatalogBuilder, schema: SchemaCollector) -> Callable[[Entry], bool]:
    """Note each entry, and have the reader keep those with data."""

    def keep(entry: Entry) -> bool:
        contents.add(entry.desc, entry.namespace, entry.tag, oid=entry.oid, definition=entry.definition or "")
        if entry.desc == "DATABASE" and entry.owner:
            contents.owned_by(entry.owner)
        if _of_database(entry.desc, entry.tag):
            for statement in split_statements(entry.definition or ""):
                contents.tell(statement)
        else:
            schema.keep(entry)
        return entry.has_data

    return keep


def _found(kind: PartFormat, header: Header | None, contents: CatalogBuilder) -> Found:
    return Found(
        format=kind,
        role="database",
        database=header.database if header is not None else None,
        server_version=header.server_version if header is not None else None,
        dump_version=header.dump_version if header is not None else None,
        contents=contents,
    )


@dataclass(slots=True)
class _Plain:
    """What was read of a plain dump."""

    cluster: bool
    contents: CatalogBuilder = field(default_factory=CatalogBuilder)
    database: str | None = None
    server_version: str | None = None
    dump_version: str | None = None
    complete: bool = False
    roles: set[str] = field(default_factory=set)
    tablespaces: dict[str, str] = field(default_factory=dict)
    passwords: bool = False

    def read(self, chunks: Iterator[bytes]) -> Found:
        """Read all of it."""
        for event in script.events(chunks):
            if isinstance(event, script.Comment):
                self._comment(event.text)
            elif isinstance(event, script.Command):
                self._command(event.text)
            elif isinstance(event, script.Statement):
                self._statement(event.text)
        if not self.complete:
            raise IntegrityError("it ends before its last line, which says that it is complete", hint=_CUT)
        return Found(
            format="plain",
            role="globals" if self.cluster else "database",
            database=self.database,
            server_version=self.server_version,
            dump_version=self.dump_version,
            contents=self.contents,
            creates=self.database is not None,
            roles=frozenset(self.roles),
            tablespaces=self.tablespaces,
            role_passwords=self.passwords,
        )

    def _comment(self, text: bytes) -> None:
        line = text.decode("utf-8", "surrogateescape")
        if _COMPLETE.match(text):
            self.complete = True
        elif text.startswith(_FROM):
            self.server_version = line[len(_FROM) :].strip()
        elif text.startswith(_BY):
            self.dump_version = line[len(_BY) :].strip()
        elif (entry := _ENTRY.match(line)) and not entry["data"]:
            self.contents.add(entry["type"], entry["schema"], entry["name"])
        elif _ANOTHER.match(text) and self.complete:
            raise IntegrityError("it holds several dumps, one after the other", hint=_SEVERAL)

    def _command(self, text: bytes) -> None:
        if not _HARMLESS.match(text):
            said = text.split()[0].decode("ascii", "replace")
            raise IntegrityError(
                f"it has a command for psql ({said}), which pg_dump does not write",
                hint="Such a line can run programs. Look where the file comes from.",
            )
        if text.startswith(b"\\connect"):
            if self.cluster:
                raise IntegrityError("it is a dump of a whole server by pg_dumpall", hint=_WHOLE_SERVER)
            self.database = connected(text) or self.database

    def _statement(self, text: bytes) -> None:
        if self.complete:
            raise IntegrityError("statements follow the line that says that it is complete", hint=_SEVERAL)
        if found := _ENCODING.match(text):
            self.contents.encoded(found[1].decode())
        elif self.cluster:
            self._global(Statement(text=text.decode("utf-8", "surrogateescape")))
        elif playing.about_database(text):
            self.contents.tell(Statement(text=text.decode("utf-8", "surrogateescape")))

    def _global(self, statement: Statement) -> None:
        told = classify(statement)
        if told.kind == "create_role" and told.name is not None:
            self.roles.add(told.name)
        elif told.kind == "create_tablespace" and told.name is not None:
            self.tablespaces[told.name] = told.location or ""
        elif told.kind == "alter_role":
            self.passwords = self.passwords or "password" in words(statement)


def connected(line: bytes) -> str | None:
    """Read the database out of psql's command to connect, as pg_dump writes it."""
    text = line.decode("utf-8", "surrogateescape").partition(" ")[2].strip()
    text = text.removeprefix("-reuse-previous=on ").strip()
    found = _DBNAME.search(text)
    if found is not None:  # \\connect -reuse-previous=on "dbname='a b'"
        return re.sub(r"\\(.)", r"\1", found[1].replace('""', '"'))
    return text.strip('"') or None
