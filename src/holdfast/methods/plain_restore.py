"""Restores a plain dump: over a session of its own, never through psql, which would obey commands in it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing, nullcontext

from holdfast.methods import restore_hints
from holdfast.methods.destination import LABEL
from holdfast.methods.pg_restore import OVERRIDES, PATIENCE, Restoring
from holdfast.model.errors import SourceError
from holdfast.postgres import playing, server, sessions
from holdfast.postgres.waiting import noticing_loss, patient


def run(work: Restoring, chunks: Iterable[bytes], *, single_transaction: bool) -> None:
    """Play a dump into a database; `options` and `tablespaces` play no part. Raise SourceError, with a hint where one is known."""
    settings = {**OVERRIDES, "idle_session_timeout": "0", "idle_in_transaction_session_timeout": "0"}
    if work.hasty:
        settings["synchronous_commit"] = "off"
    with (
        patient(work.where, waiter=LABEL, seconds=PATIENCE, stop=work.stop)
        if single_transaction
        else nullcontext(work.stop) as limited,
        closing(server.connect(work.where, application_name=LABEL)) as connection,
        limited.calling(lambda: sessions.cancel(connection)),
    ):
        server.pin(connection, settings)
        noticing_loss(connection)
        sessions.telling_warnings(connection, work.warn)
        try:
            playing.play(
                connection,
                chunks,
                single_transaction=single_transaction,
                stop=limited,
                on_table=work.on_table,
            )
        except SourceError as error:
            hint = error.hint or restore_hints.hint(error.message, work.into.facts.version_num)
            raise type(error)(f"database {work.database!r}: {error.message}", hint=hint) from error
