"""Restores one database of a logical backup: creates it as it was, feeds pg_restore, and counts what arrived."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

from holdfast.model import catalog as model
from holdfast.model.errors import Error, IntegrityError, SourceError, UsageError
from holdfast.model.target import Selection
from holdfast.postgres import (
    catalog,
    conninfo,
    contents,
    pooler,
    properties,
    server,
    sessions,
    snapshot,
    tools,
)
from holdfast.postgres.statements import quoted_name
from holdfast.system import proc
from holdfast.system.stop import Stop

Warn = Callable[[str], None]
LABEL = "holdfast restore"

# What a setting of the database or the role must not do to the restoring session itself.
_OVERRIDES = {"default_transaction_read_only": "off", "statement_timeout": "0", "lock_timeout": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The server that is restored into, and the programs that fit it."""

    conninfo: conninfo.Conninfo
    connection: server.Connection
    facts: server.ServerFacts
    toolset: tools.Toolset


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What became of one database. `rows` is None where the backup knows no counts to compare with."""

    name: str
    created: bool
    tables: int
    rows: int | None
    notes: tuple[str, ...]


@contextmanager
def destination(where: conninfo.Conninfo, *, dump_version: str | None) -> Iterator[Destination]:
    """Connect to the server that is restored into. Raise SourceError when no program here fits it."""
    where = where.at_server()
    pooler.require_own_session(where)
    with closing(server.connect(where, application_name=LABEL)) as connection:
        facts = server.facts(connection)
        toolset = tools.choose_for_restore(tools.find_toolsets(), facts.version_num, dump_version)
        yield Destination(conninfo=where, connection=connection, facts=facts, toolset=toolset)


def refuse_name(into: Destination, name: str) -> None:
    """Raise UsageError for a new name that the server would cut, or that every later database would be a copy of."""
    longest, is_template = properties.limits_of_name(into.connection, name)
    if len(name.encode()) > longest:
        raise UsageError(
            f"the name {name!r} is longer than the {longest} bytes that the server keeps",
            hint="Give a shorter one.",
        )
    if is_template:
        raise UsageError(
            f"{name!r} is a template: every database made later would hold what is restored there",
            hint="Give another name.",
        )


def refuse_non_empty(into: Destination, name: str) -> bool:
    """Return whether the database is there already, and empty. Raise UsageError when it holds anything."""
    if not server.has_database(into.connection, name):
        return False
    with closing(server.connect(into.conninfo.with_database(name), application_name=LABEL)) as connection:
        if contents.is_empty(connection):
            return True
        holds = contents.what_is_there(connection)
    raise UsageError(
        f"database {name!r} on {into.conninfo.safe} is not empty: it holds {holds}",
        hint="Nothing is ever overwritten. Restore beside it (--database NAME --as NEW_NAME), restore into another"
        " server (--to URL), or drop or empty it yourself first.",
    )


def restore_database(
    into: Destination,
    found: model.Database,
    chunks: Iterator[bytes],
    *,
    name: str,
    tablespaces: bool,
    stop: Stop,
    warn: Warn,
) -> Restored:
    """Restore one database under `name`, which is absent or empty.

    On any failure a database that was made here is dropped again, and the error goes through.
    """
    exists = refuse_non_empty(into, name)
    if not exists:
        _create(into, found, name, tablespaces=tablespaces)
    try:
        _prepare(into, found, name, created=not exists, warn=warn)
        _feed(into, chunks, name, tablespaces=tablespaces, stop=stop, warn=warn)
        for statement in properties.property_statements(name, found.properties):
            with _hinted():
                sessions.execute(into.connection, statement, what=f"set the properties of database {name!r}")
        return _compared(into, found, name, created=not exists, stop=stop)
    except BaseException:
        if not exists:
            _drop(into, name, warn)
        else:
            warn(f"database {name!r} was there before and is left as the failed restore left it")
        raise


def _create(into: Destination, found: model.Database, name: str, *, tablespaces: bool) -> None:
    statement = properties.create_database_sql(
        name, found.properties, into.facts.version_num, tablespaces=tablespaces
    )
    with _hinted():
        sessions.execute(into.connection, statement, what=f"create database {name!r}")


def _prepare(into: Destination, found: model.Database, name: str, *, created: bool, warn: Warn) -> None:
    where = into.conninfo.with_database(name)
    with closing(server.connect(where, application_name=LABEL)) as connection:
        if created:
            _drop_what_was_dropped(connection, found)
        else:
            there = properties.read_properties(connection, name)
            for what in ("encoding", "collate", "ctype"):
                before, now = getattr(found.properties, what), getattr(there, what)
                if before != now:
                    warn(f"database {name!r}: {what} is {now} here; it was {before}")
    for statement in properties.setting_statements(name, found.properties):
        with _hinted():
            sessions.execute(into.connection, statement, what=f"set the settings of database {name!r}")


def _drop_what_was_dropped(connection: server.Connection, found: model.Database) -> None:
    """A new database has a schema and an extension that the one backed up may have lost."""
    if "public" not in found.schemas:
        sessions.execute(connection, "DROP SCHEMA IF EXISTS public", what="drop schema public")
    if all(extension.name != "plpgsql" for extension in found.extensions):
        sessions.execute(connection, "DROP EXTENSION IF EXISTS plpgsql", what="drop extension plpgsql")


def _feed(
    into: Destination,
    chunks: Iterator[bytes],
    name: str,
    *,
    tablespaces: bool,
    stop: Stop,
    warn: Warn,
) -> None:
    where = into.conninfo.with_database(name)
    argv = [into.toolset.program("pg_restore"), "--exit-on-error", "--no-password"]
    if not tablespaces:
        argv.append("--no-tablespaces")
    argv.append(f"--dbname={where.argv_dsn()}")
    with conninfo.child(where, application_name=LABEL, options=_OVERRIDES) as child:
        command = proc.Command(argv=tuple(argv), env=child.env, pass_fds=child.pass_fds)
        try:
            proc.feed(command, chunks, stop, on_line=lambda line: warn(line) if "warning:" in line else None)
        except proc.ProcessError as error:
            raise SourceError(f"database {name!r}: {error.message}", hint=_hint(error.stderr)) from error


def _compared(into: Destination, found: model.Database, name: str, *, created: bool, stop: Stop) -> Restored:
    """Count the rows of every table and hold them against the backup's counts. Raise IntegrityError on a difference."""
    expected = {(t.schema, t.name): t for t in found.tables if t.rows is not None}
    notes: list[str] = []
    with snapshot.exported_snapshot(
        into.conninfo.with_database(name), application_name=LABEL, lock_wait_timeout=60
    ) as snap:
        there = catalog.read_database(
            snap.connection, Selection(), name=name, version_num=into.facts.version_num
        )
        if expected:
            # What was restored has run as us already.
            there = catalog.count_rows(snap.connection, there, stop=stop, foreign_code=True)
    counted = {(t.schema, t.name): t.rows for t in there.tables}
    wrong: list[str] = []
    for key, table in expected.items():
        rows = counted.get(key)
        if rows != table.rows:
            text = f"{table.schema}.{table.name}: {table.rows} rows in the backup, {_rows(rows)} restored"
            (notes if table.kind == "m" else wrong).append(text)
    if wrong:
        raise IntegrityError(
            f"database {name!r} was restored, but differs: " + "; ".join(wrong[:10]),
            hint="Triggers, rules or extensions of the new server may have changed rows; look before you use it.",
        )
    notes += (
        f"subscription {each.name} is not connected; when its publisher should send here, create its slot there"
        f" and run: ALTER SUBSCRIPTION {quoted_name(each.name)} ENABLE;"
        for each in found.subscriptions
    )
    return Restored(
        name=name,
        created=created,
        tables=sum(1 for t in there.tables if t.kind in "rpm" and t.extension is None),
        rows=sum(t.rows or 0 for t in expected.values()) if expected or not found.tables else None,
        notes=tuple(notes),
    )


def _rows(count: int | None) -> str:
    return "none" if count is None else str(count)


def _drop(into: Destination, name: str, warn: Warn) -> None:
    try:
        properties.drop_database(into.connection, into.conninfo, name)
    except Error as trouble:
        warn(f"could not drop the half-restored database {name!r}: {trouble.message}")


@contextmanager
def _hinted() -> Iterator[None]:
    """Add what to do to an error of the server."""
    try:
        yield
    except SourceError as error:
        error.hint = error.hint or _hint(error.message)
        raise


def _hint(stderr: str) -> str | None:
    return next((hint for sign, hint in _HINTS if sign in stderr), None)


_HINTS = (
    ('role "', "Restore the roles first: --roles brings those of the backup; or create this one."),
    (
        "is not available",
        "Install the extension's package on the new server (for example postgresql-NN-EXTENSION), then restore again.",
    ),
    ("could not open extension control file", "Install the extension's package on the new server."),
    ("must be superuser", "Restore as a superuser, or as a role with the rights of the objects' owners."),
    ("permission denied", "Restore as a superuser, or as a role with the rights of the objects' owners."),
    ("No space left on device", "The new server's disk is full."),
    (
        "unsupported startup parameter",
        "Restore into the server itself, or add options to the pooler's ignore_startup_parameters.",
    ),
    (
        "max_locks_per_transaction",
        "Raise max_locks_per_transaction on the new server, and restart it.",
    ),
    ("transaction_timeout", "Use the pg_restore of the server's own major version."),
)
