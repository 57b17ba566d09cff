"""Gives a database its properties: from outside, but for values that are kept in its own encoding."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager

from psycopg import errors, sql

from holdfast.model.catalog import Properties
from holdfast.model.errors import SourceError
from holdfast.postgres import sessions
from holdfast.postgres.conninfo import Conninfo
from holdfast.postgres.server import ENDLESS, Connection, connect, pin

Writer = Callable[[str, Properties], list[sql.Composed]]


def set_properties(  # noqa: PLR0913 - what is set, where, in which way, and who is told
    conn: Connection,
    where: Conninfo,
    name: str,
    statements: Iterable[sql.Composed],
    *,
    encoding: str,
    label: str,
    what: str,
    leave_out: Callable[[str], None] | None = None,
) -> None:
    """Run statements about the database `name`, which is in `encoding`. Raise SourceError, saying `what` was set.

    `conn` is in another database of the server that `where` leads to: nothing that is set stands in the way there. With
    `leave_out` a setting that the server refuses is left out, and it is told why.
    """
    elsewhere = encoding != conn.info.parameter_status("server_encoding") and name.isascii()
    with ExitStack() as stack:
        within: Connection | None = None
        for statement in statements:
            session = conn
            if elsewhere and _has_odd_values(statement):
                within = within or stack.enter_context(_within(where.with_database(name), label))
                session = within
            doing = f"set the {what} of database {name!r}"
            try:
                sessions.execute(session, statement, what=doing)
            except SourceError as error:
                if leave_out is None or not is_refusal(error):
                    raise
                leave_out(error.message.removeprefix(f"{doing}: "))


def is_refusal(error: SourceError) -> bool:
    """Whether the server knows no such setting (any more), or takes no such value, as of a locale that it lacks."""
    cause = error.__cause__
    return isinstance(cause, errors.InvalidParameterValue | errors.CantChangeRuntimeParam) or (
        isinstance(cause, errors.UndefinedObject) and "configuration parameter" in str(cause)
    )


def _has_odd_values(statement: sql.Composed) -> bool:
    """Whether a statement says more than ASCII, and that in values alone.

    They are kept in the encoding of the session that sets them, and read in that of the database; the names in it are
    those of the server.
    """
    odd = [leaf for leaf in _leaves(statement) if not leaf.as_string().isascii()]
    return bool(odd) and all(isinstance(leaf, sql.Literal) for leaf in odd)


def _leaves(statement: sql.Composed) -> Iterator[sql.Composable]:
    for part in statement:
        if isinstance(part, sql.Composed):
            yield from _leaves(part)
        else:
            yield part


@contextmanager
def _within(where: Conninfo, label: str) -> Iterator[Connection]:
    with closing(connect(where, application_name=label)) as connection:
        pin(connection, ENDLESS | {"default_transaction_read_only": "off"})
        sessions.execute(connection, "SET ROLE NONE", what="reset the role")
        yield connection
