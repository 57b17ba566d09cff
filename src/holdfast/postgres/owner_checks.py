"""Asks a restored database the owner's own questions: read-only, one by one, each with a limit of time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import datetime

import psycopg

from holdfast.model.proof import CheckResult
from holdfast.model.testing import Check, wrong
from holdfast.postgres import server
from holdfast.postgres.conninfo import Conninfo
from holdfast.system.stop import Stop

_LABEL = "holdfast check"


def ask(
    where: Conninfo, checks: Iterable[Check], *, database: str, taken_at: datetime, seconds: float, stop: Stop
) -> Iterator[CheckResult]:
    """Ask the checks that are for this database, `database` being its name in the backup.

    A question that fails is an answer, too. Raise SourceError without a connection.
    """
    wanted = [check for check in checks if check.database in (None, database)]
    if not wanted:
        return
    with closing(server.connect(where, application_name=_LABEL)) as connection:
        # What a session of the owner's would have: the database's own settings.
        connection.execute("RESET search_path")
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET default_transaction_read_only = on")
        for check in wanted:
            stop.check()
            yield CheckResult(
                name=check.name, database=database, problem=_problem(connection, check, taken_at, seconds)
            )


def _problem(connection: server.Connection, check: Check, taken_at: datetime, seconds: float) -> str | None:
    try:
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute(f"SET LOCAL statement_timeout = {round(seconds * 1000)}".encode())
            found = connection.execute(check.sql.encode())
            rows = found.fetchmany(2) if found.description is not None else []
    except psycopg.Error as error:
        # The server may quote a value; the first line says what is wrong with the question.
        return f"it could not be asked: {type(error).__name__}: {str(error).splitlines()[0][:200]}"
    return wrong(check, rows[0][0] if rows and rows[0] else None, rows=len(rows), taken_at=taken_at)
