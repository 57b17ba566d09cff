"""A database that exists for the length of a restore, on the server that is restored into."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace

from holdfast.methods.destination import LABEL, Destination
from holdfast.model.catalog import Properties
from holdfast.model.errors import Error, SourceError
from holdfast.postgres import conninfo, dropping, properties, restored, server, sessions
from holdfast.system import proc
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchDatabase:
    """A database of a name of its own, and a session in it."""

    name: str
    connection: server.Connection


@contextmanager
def scratch_database(
    into: Destination, like: Properties, warn: Callable[[str], None]
) -> Iterator[ScratchDatabase]:
    """Create a database with the encoding and locale of another, and drop it at the end, however that comes.

    Those that killed runs left behind are dropped first. Raise SourceError.
    """
    _sweep(into, warn)
    name = restored.SCRATCH + secrets.token_hex(6)
    statement = properties.create_database_sql(
        name, replace(like, owner=into.facts.user), into.facts.version_num, tablespaces=False
    )
    sessions.execute(into.connection, statement, what="create a scratch database")
    try:
        where = into.conninfo.with_database(name)
        with closing(server.connect(where, application_name=LABEL)) as connection:
            server.pin(connection, server.ENDLESS)  # it waits while the database is filled
            restored.mark_scratch(connection, name)
            yield ScratchDatabase(name=name, connection=connection)
    finally:
        _drop(into, name, warn)


def dumped(into: Destination, name: str, stop: Stop) -> Generator[bytes, None, None]:
    """Give an archive of the database, uncompressed. Raise SourceError at the end unless it is whole."""
    where = into.conninfo.with_database(name)
    argv = (
        into.toolset.program("pg_dump"),
        "--format=custom",
        "--compress=0",
        "--no-password",
        f"--dbname={where.argv_dsn()}",
    )
    with conninfo.child(where, application_name=LABEL, options={"statement_timeout": "0"}) as child:
        command = proc.Command(argv=argv, env=child.env, pass_fds=child.pass_fds)
        try:
            yield from proc.stdout_of(command, stop)
        except proc.ProcessError as error:
            raise SourceError(f"the scratch database {name!r}: {error.message}") from error


def _sweep(into: Destination, warn: Callable[[str], None]) -> None:
    for name in restored.left_scratches(into.connection):
        warn(f"dropping {name}, which a run that died left behind")
        _drop(into, name, warn)


def _drop(into: Destination, name: str, warn: Callable[[str], None]) -> None:
    try:
        dropping.drop_database(into.connection, into.conninfo, name)
    except Error as trouble:
        warn(f"could not drop the scratch database {name!r}: {trouble.message}")
