"""Plays a plain dump into a database, over one session.

No program is run: a line that is meant for psql is passed over, and can do nothing (CVE-2025-8714).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import psycopg
from psycopg import errors

from holdfast.model.errors import IntegrityError, SourceError
from holdfast.postgres import script
from holdfast.postgres.errors import translate
from holdfast.postgres.row_values import Veil
from holdfast.postgres.server import Connection
from holdfast.system.stop import Stop

Tell = Callable[[str], None]
_ABSENT = (
    errors.UndefinedObject,
    errors.UndefinedTable,
    errors.UndefinedFunction,
    errors.UndefinedColumn,
    errors.InvalidSchemaName,
)

# A database that the dump makes or changes by its name: the one restored into may have another.
_ABOUT_DATABASE = re.compile(
    rb"(?:CREATE|DROP|ALTER|COMMENT ON) DATABASE\b|ALTER ROLE .* IN DATABASE |SECURITY LABEL FOR .* ON DATABASE "
    rb"|(?:GRANT|REVOKE) [^;'\"]* ON DATABASE ",
    re.DOTALL,
)
# What a dump with --clean begins with: there is nothing to drop here, but for a schema that every database has.
_DROP = re.compile(
    rb"DROP |SELECT pg_catalog\.lo_unlink|ALTER (?:FOREIGN )?(?:TABLE|INDEX|DOMAIN) [^;]*? (?:DROP|DETACH) ",
    re.DOTALL,
)
_TRANSACTION = re.compile(rb"(?:BEGIN|COMMIT)\Z")  # around large objects
_SUBJECT = re.compile(
    rb"-- (?:Data for )?Name: (?P<name>.*); Type: (?P<type>[A-Z ]+); Schema: (?P<schema>.*); Owner:"
)
# Since which version a server knows what a newer pg_dump sets.
_NEW_SETTINGS = {re.compile(rb"SET transaction_timeout\b"): 170000}


def about_database(text: bytes) -> bool:
    """Whether a statement makes or changes a database itself, by its name."""
    return _ABOUT_DATABASE.match(text) is not None


def subject_of(comment: bytes) -> str | None:
    """Give what pg_dump's comment before a statement says that it is about: `table public.orders`."""
    found = _SUBJECT.match(comment)
    if found is None:
        return None
    schema, name = (found[each].decode("utf-8", "replace") for each in ("schema", "name"))
    kind = found["type"].decode().lower().removesuffix(" data")
    return f"{kind} {name}" if schema == "-" else f"{kind} {schema}.{name}"


def play(
    connection: Connection,
    chunks: Iterable[bytes],
    *,
    single_transaction: bool,
    stop: Stop,
    on_table: Tell | None = None,
) -> None:
    """Execute all statements of a dump. Raise SourceError at the first that fails, with no value of a row in it.

    Statements about the database itself, by its name, are left out. With `single_transaction` a failure leaves the
    database as it was.
    """
    player = _Player(connection, single_transaction, stop, on_table)
    if single_transaction:
        player.execute(b"BEGIN")
    for event in script.events(chunks):
        stop.check()
        player.take(event)
    player.settle()
    if single_transaction:
        player.execute(b"COMMIT")


class _Player:
    """What is being executed, and what it is about."""

    def __init__(self, connection: Connection, whole: bool, stop: Stop, on_table: Tell | None) -> None:  # noqa: FBT001 - ours alone
        self._connection = connection
        self._whole = whole
        self._stop = stop
        self._on_table = on_table
        self._subject = "the dump"
        self._begun = False
        self._copy: bytes | None = None

    def take(self, event: script.Event) -> None:
        """Do what stands there."""
        if isinstance(event, script.Rows):
            self._fill(event)
            return
        self.settle()
        if isinstance(event, script.Comment):
            self._note(event.text)
        elif isinstance(event, script.Statement) and self._wanted(event.text):
            if script.copies_rows(event.text):
                self._copy = event.text
            elif not self._begun and _DROP.match(event.text):
                self._drop(event.text)
            else:
                self.execute(event.text)

    def settle(self) -> None:
        """Raise IntegrityError where rows were to come and did not."""
        if self._copy is not None:
            raise IntegrityError(f"{self._subject}: the rows are missing")

    def execute(self, statement: bytes) -> None:
        """Execute a statement as it stands."""
        try:
            self._connection.execute(statement)
        except psycopg.Error as error:
            raise self._failed(error) from error

    def _drop(self, statement: bytes) -> None:
        """Drop what is there; that it is not there is what was wanted."""
        try:
            with self._connection.transaction():  # a savepoint, within a transaction
                self._connection.execute(statement)
        except _ABSENT:
            return
        except psycopg.Error as error:
            raise self._failed(error) from error

    def _fill(self, rows: script.Rows) -> None:
        if self._copy is None:
            raise IntegrityError(f"{self._subject}: there are rows, and no table that they belong to")
        statement, self._copy = self._copy, None
        try:
            with self._connection.cursor() as cursor, cursor.copy(statement) as copy:
                for chunk in rows.chunks:
                    self._stop.check()
                    copy.write(chunk)
        except psycopg.Error as error:
            raise self._failed(error) from error

    def _wanted(self, text: bytes) -> bool:
        if about_database(text) or (self._whole and _TRANSACTION.match(text)):
            return False
        version = self._connection.info.server_version
        return not any(found.match(text) and version < since for found, since in _NEW_SETTINGS.items())

    def _note(self, comment: bytes) -> None:
        subject = subject_of(comment)
        if subject is None:
            return
        self._begun = True
        self._subject = subject
        if self._on_table is not None:
            self._on_table(self._subject)

    def _failed(self, error: psycopg.Error) -> SourceError:
        self._stop.check()
        told = translate(error, self._subject)
        shown = Veil().over(f"ERROR:  {told.message}") or ""
        return type(told)(shown.removeprefix("ERROR:  "), hint=told.hint)
