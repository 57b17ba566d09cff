"""Plays definitions into a database one by one: what the role may not do, or what is there already, stops none of the others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import psycopg
from psycopg import errors

from holdfast.postgres import script
from holdfast.postgres.errors import translate
from holdfast.postgres.playing import subject_of
from holdfast.postgres.server import Connection
from holdfast.system.stop import Stop

_THERE = (errors.DuplicateObject, errors.DuplicateTable, errors.DuplicateFunction)
_MAY_NOT = errors.InsufficientPrivilege


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What could not be made, and why, in the server's words."""

    subject: str
    reason: str


def play(connection: Connection, chunks: Iterable[bytes], *, stop: Stop) -> tuple[Refused, ...]:
    """Execute the statements of pg_restore's script. Raise SourceError at the first that fails for another reason."""
    refused: dict[str, str] = {}
    subject = "the definitions"
    for event in script.events(chunks):
        stop.check()
        if isinstance(event, script.Comment):
            subject = subject_of(event.text) or subject
        elif isinstance(event, script.Statement) and subject not in refused:
            try:
                connection.execute(event.text)
            except _MAY_NOT as error:
                refused[subject] = error.diag.message_primary or "the role may not"
            except _THERE:
                refused[subject] = "it is there already"
            except psycopg.Error as error:
                raise translate(error, subject) from error
    return tuple(Refused(subject=subject, reason=reason) for subject, reason in refused.items())
