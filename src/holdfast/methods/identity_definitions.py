"""Compares the definitions of a restored database with those of its archive, object by object."""

from __future__ import annotations

import codecs
import re
import secrets
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from holdfast.methods.pg_restore import OVERRIDES
from holdfast.methods.subject import LABEL, Subject, close, names_are_quoted, read_toc, session
from holdfast.model.comparison import Difference, Respelled
from holdfast.model.errors import Error, SourceError
from holdfast.postgres import (
    cutting,
    dropping,
    properties,
    property_setting,
    restored,
    scripts,
    server,
    sessions,
    stand_ins,
)
from holdfast.postgres.conninfo import Conninfo, child
from holdfast.postgres.entries import Toc
from holdfast.postgres.object_changes import object_changes
from holdfast.postgres.script_objects import Key, script_objects
from holdfast.system import proc
from holdfast.system.stop import Stop

_ENCODING = re.compile(rb"^SET client_encoding = '([^']*)';", re.MULTILINE)
Objects = Mapping[Key, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What an archive holds but rows. `encoding` is its own, by PostgreSQL's name, `codec` by Python's.

    `head` is an archive of the definitions alone; `quoted` says that the dump has all names in quotes.
    """

    toc: Toc
    head: bytes = field(repr=False)
    objects: Objects = field(repr=False)
    encoding: str
    codec: str
    quoted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Definitions:
    """What became of the definitions."""

    count: int
    differences: tuple[Difference, ...]
    respelled: tuple[Respelled, ...]


def read_contents(subject: Subject, stop: Stop) -> Contents:
    """Read an archive's table of contents and definitions. Raise IntegrityError, or what opening the archive raises."""
    toc = read_toc(subject)
    head = _head(subject, toc)
    text = scripts.text_of_archive(subject.clients, [head], ["--schema-only", *subject.of_definitions], stop)
    encoding = found[1].decode() if (found := _ENCODING.search(text)) else "UTF8"
    codec = python_codec(encoding)
    return Contents(
        toc=toc,
        head=head,
        objects=script_objects(text.decode(codec, "surrogateescape")),
        encoding=encoding,
        codec=codec,
        quoted=names_are_quoted(toc),
    )


def compare_definitions(subject: Subject, archive: Contents, stop: Stop) -> Definitions:
    """Compare them. What is different is sent through an empty database: what it comes out of there as is no difference.

    Raise IntegrityError where the archive cannot be read, SourceError where the server does not work.
    """
    archived, codec = archive.objects, archive.codec
    dumping = [
        *("--schema-only", *subject.of_definitions, f"--encoding={archive.encoding}"),
        *(["--quote-all-identifiers"] if archive.quoted else []),
    ]
    there = _objects_of(subject, subject.where, dumping, codec, stop)
    changes = tuple(object_changes(archived, there))
    respelled: set[Key] = set()
    if changes:
        made = subject.stood_in.entries
        head = _head(subject, archive.toc, without=made) if made else archive.head
        with _sent_through(subject, head, stop) as copy:
            through = _objects_of(subject, copy, dumping, codec, stop)
        left = tuple(object_changes(through, there))
        still = {change.key for change in left}
        respelled = {change.key for change in changes} - still
        changes = left
    return Definitions(
        count=sum(map(len, archived.values())),
        differences=tuple(change.told() for change in changes),
        respelled=tuple(Respelled(kind=key.kind, name=key.name) for key in sorted(respelled)),
    )


def python_codec(encoding: str) -> str:
    """Give Python's name for one of PostgreSQL's encodings; UTF-8, which keeps any bytes, for one it does not know."""
    try:
        return codecs.lookup(encoding.replace("WIN", "cp")).name
    except LookupError:
        return "utf-8"


def _head(subject: Subject, toc: Toc, *, without: Collection[int] = ()) -> bytes:
    """Cut the definitions out of the archive, without reading more of it than its table of contents."""
    entries = [entry for entry in toc.entries if not entry.has_data and entry.dump_id not in without]
    chunks = subject.archive()
    try:
        return cutting.cut_head(chunks, toc, entries)
    finally:
        close(chunks)


def _objects_of(subject: Subject, where: Conninfo, flags: list[str], codec: str, stop: Stop) -> Objects:
    text = scripts.text_of_database(subject.clients, where, flags, stop)
    return script_objects(text.decode(codec, "surrogateescape"))


@contextmanager
def _sent_through(subject: Subject, head: bytes, stop: Stop) -> Iterator[Conninfo]:
    """Restore the definitions alone into a database that exists for the length of the `with`."""
    name = restored.SCRATCH + secrets.token_hex(6)
    found = subject.found
    with session(subject.where) as connection:
        like = replace(found.properties, owner=server.facts(connection).user)
        version = connection.info.server_version
        made = properties.create_database_sql(name, like, version, tablespaces=False)
        sessions.execute(connection, made, what="create a scratch database")
        try:
            restored.mark_scratch(connection, name)
            for statement in properties.setting_statements(name, like):
                with _but_for_refusals():  # what was restored lacks it, too, and is found to
                    sessions.execute(connection, statement, what="set the settings of a scratch database")
            where = subject.where.with_database(name)
            _prepare(subject, where)
            _restore(subject, where, head, stop)
            yield where
        finally:
            _drop(connection, subject.where, name)


@contextmanager
def _but_for_refusals() -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        if not property_setting.is_refusal(error):
            raise


def _prepare(subject: Subject, where: Conninfo) -> None:
    """Take out of the new database what the one backed up had lost, as a restore does."""
    with session(where) as connection:
        if "public" not in subject.found.schemas:
            sessions.execute(connection, "DROP SCHEMA IF EXISTS public", what="drop schema public")
        if all(extension.name != "plpgsql" for extension in subject.found.extensions):
            sessions.execute(connection, "DROP EXTENSION IF EXISTS plpgsql", what="drop extension plpgsql")
        stand_ins.make(connection, subject.stood_in)


def _restore(subject: Subject, where: Conninfo, head: bytes, stop: Stop) -> None:
    flags = ("--schema-only", "--exit-on-error", "--no-password", *subject.of_definitions)
    argv = (subject.clients.program("pg_restore"), *flags, f"--dbname={where.argv_dsn()}")
    with child(where, application_name=LABEL, options=OVERRIDES) as given:
        command = proc.Command(argv=argv, env=given.env, pass_fds=given.pass_fds)
        proc.feed(command, [head], stop, edit=_complaint)


def _complaint(line: str) -> str | None:
    """Keep what failed, and nothing of the statement, which may hold a password."""
    return line if line.startswith("pg_restore: error: ") else None


def _drop(connection: server.Connection, where: Conninfo, name: str) -> None:
    try:
        dropping.drop_database(connection, where, name)
    except Error as trouble:
        raise Error(f"could not drop the scratch database {name!r}: {trouble.message}") from trouble
