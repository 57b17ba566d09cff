"""Finds, before a restore test, what the scratch server lacks for a database: extensions, and a locale."""

from __future__ import annotations

import secrets
from dataclasses import replace

from holdfast.methods import restore_hints
from holdfast.methods.destination import Destination
from holdfast.model.catalog import Database
from holdfast.model.errors import CouldNotTestError, SourceError
from holdfast.model.testing import RestoreTesting
from holdfast.postgres import dropping, properties, readiness, restored, sessions

_ALWAYS_THERE = frozenset({"C", "POSIX"})


def missing_extensions(into: Destination, found: Database, plan: RestoreTesting) -> tuple[str, ...]:
    """Name the extensions of the database that the scratch server lacks, but for those that the plan goes without."""
    wanted = {extension.name for extension in found.extensions} - set(plan.without_extensions)
    return readiness.missing_extensions(into.connection, wanted)


def require_means(into: Destination, found: Database, plan: RestoreTesting) -> None:
    """Raise CouldNotTestError where the scratch server lacks an extension of the database."""
    if missing := missing_extensions(into, found, plan):
        raise CouldNotTestError(
            f"database {found.name!r} needs what is not installed here: extension {', '.join(missing)}",
            hint=restore_hints.install(missing, into.facts.version_num).replace(
                "on the new server", "where the restore test runs"
            )
            + " Or name it in restore_test.without_extensions: the proof then says what was not proven.",
        )


def require_locale(into: Destination, found: Database) -> None:
    """Raise CouldNotTestError where a scratch cluster of our own cannot have a database like this one."""
    own = found.properties
    if own.provider == "c" and {own.collate, own.ctype} <= _ALWAYS_THERE:
        return
    name = restored.SCRATCH + secrets.token_hex(6)
    make_like(into, name, found, "this machine")
    dropping.drop_database(into.connection, into.conninfo, name)


def make_like(into: Destination, name: str, found: Database, where: str) -> None:
    """Create an empty database like the one backed up. Raise CouldNotTestError: `where` cannot have one."""
    like = replace(found.properties, owner=into.facts.user)
    try:
        made = properties.create_database_sql(name, like, into.facts.version_num, tablespaces=False)
        sessions.execute(into.connection, made, what=f"create a database like {found.name!r}")
    except SourceError as error:
        raise CouldNotTestError(
            f"{where} cannot have a database like {found.name!r}: {error.message}",
            hint=restore_hints.hint(error.message, into.facts.version_num),
        ) from error
