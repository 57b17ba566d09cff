"""Restores a plain dump: over a session of its own, never through psql, which would obey commands in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing, nullcontext

from holdfast.methods import restore_hints
from holdfast.methods.destination import LABEL, Destination
from holdfast.methods.pg_restore import OVERRIDES, PATIENCE
from holdfast.model.errors import SourceError
from holdfast.postgres import playing, server, sessions
from holdfast.postgres.waiting import noticing_loss, patient
from holdfast.system.stop import Stop

Tell = Callable[[str], None]


def run(  # noqa: PLR0913 - what is played, where and how, and who is told
    into: Destination,
    database: str,
    chunks: Iterable[bytes],
    *,
    single_transaction: bool,
    stop: Stop,
    warn: Tell,
    on_table: Tell | None = None,
    hasty: bool = False,
) -> None:
    """Play a dump into a database. Raise SourceError, with a hint where one is known. See `pg_restore.run`."""
    where = into.conninfo.with_database(database)
    settings = {**OVERRIDES, "idle_session_timeout": "0", "idle_in_transaction_session_timeout": "0"}
    if hasty:
        settings["synchronous_commit"] = "off"
    with (
        patient(where, waiter=LABEL, seconds=PATIENCE, stop=stop)
        if single_transaction
        else nullcontext(stop) as limited,
        closing(server.connect(where, application_name=LABEL)) as connection,
        limited.calling(lambda: sessions.cancel(connection)),
    ):
        server.pin(connection, settings)
        noticing_loss(connection)
        sessions.telling_warnings(connection, warn)
        try:
            playing.play(
                connection,
                chunks,
                single_transaction=single_transaction,
                stop=limited,
                on_table=on_table,
            )
        except SourceError as error:
            hint = error.hint or restore_hints.hint(error.message, into.facts.version_num)
            raise type(error)(f"database {database!r}: {error.message}", hint=hint) from error
