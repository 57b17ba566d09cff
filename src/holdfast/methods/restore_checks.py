"""Finds, before anything is changed, why a database cannot be restored as the operator wishes."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from contextlib import closing

from holdfast.methods import restore_hints
from holdfast.methods.destination import LABEL, Destination
from holdfast.methods.pg_restore import Options
from holdfast.model.backup import Part
from holdfast.model.catalog import Database
from holdfast.model.errors import Error, NotFoundError, UsageError
from holdfast.postgres import contents, readiness, server, unfinished
from holdfast.postgres.errors import PermanentSourceError
from holdfast.postgres.statements import quoted_name

_NAMED = 10


def impossible(options: Options, *, database: str | None) -> Iterator[Error]:
    """Find what contradicts itself in the options alone. `database` is the one that was named."""
    if options.jobs < 1:
        yield UsageError(f"--jobs {options.jobs}: it takes at least one")
    if options.clean and options.jobs > 1:
        yield UsageError(
            "--clean goes with one job",
            hint="It replaces everything in one transaction, so that a failure leaves the database as it was; several"
            " jobs would be several transactions.",
        )
    if options.clean and options.sections:
        yield UsageError(
            "--clean does not go with --section",
            hint="It replaces definitions and rows together, or not at all.",
        )
    if options.clean and database is None:
        yield UsageError(
            "--clean goes with --database", hint="Name the one database whose content is to be replaced."
        )
    if options.role == "":
        yield UsageError("--role is empty", hint="Give the role's name.")


def impossible_for(part: Part, options: Options) -> Iterator[Error]:
    """Find which options a dump that was imported cannot follow: only the custom format knows its own order."""
    if part.format == "custom":
        return
    asked = [
        text
        for text, wanted, follows in (
            ("--jobs", options.jobs > 1, ()),
            ("--clean", options.clean, ()),
            ("--section", bool(options.sections), ("tar",)),
            ("--no-owner", options.no_owner, ("tar",)),
            ("--no-privileges", options.no_privileges, ("tar",)),
            ("--role", options.role is not None, ("tar",)),
        )
        if wanted and part.format not in follows
    ]
    if asked:
        kind = "plain SQL" if part.format == "plain" else "a tar archive"
        yield UsageError(
            f"database {part.database!r} is {kind}, which does not go with {', '.join(asked)}",
            hint="It was imported as it was. Restore all of it into a new database (--as NEW_NAME).",
        )


def refusals(
    into: Destination, found: Database, name: str, options: Options, *, coming: Container[str] = ()
) -> Iterator[Error]:
    """Find what stands in the way of restoring a database under `name`. `coming` are roles that will be made first."""
    exists = server.has_database(into.connection, name)
    role = options.role
    if role is not None and role not in coming and readiness.missing_roles(into.connection, [role]):
        yield UsageError(
            f"--role {options.role}: the server has no such role", hint="Create it, or name another."
        )
    if not options.restores("pre-data"):
        yield from _unready(into, found, name, options, exists=exists)
        return
    if exists and not options.clean:
        yield from _non_empty(into, name)
    if exists and options.clean:
        yield from _bound(into, found, name)
    wanted = [extension.name for extension in found.extensions]
    if missing := readiness.missing_extensions(into.connection, wanted):
        yield PermanentSourceError(
            f"database {found.name!r} needs what the server does not have installed: extension {', '.join(missing)}",
            hint=restore_hints.install(missing, into.facts.version_num),
        )


def _non_empty(into: Destination, name: str) -> Iterator[Error]:
    with closing(server.connect(into.conninfo.with_database(name), application_name=LABEL)) as connection:
        holds = contents.what_is_there(connection)
    if not holds:
        return
    hint = (
        "Nothing is ever overwritten unasked. Restore beside it (--database NAME --as NEW_NAME), restore into another"
        " server (--to URL), replace what it holds (--database NAME --clean), or drop or empty it yourself first."
    )
    if name in unfinished.left_behind(into.connection):
        hint = f"A restore that died left it half done. Drop it first: DROP DATABASE {quoted_name(name)};"
    yield UsageError(f"database {name!r} on {into.conninfo.safe} is not empty: it holds {holds}", hint=hint)


def _bound(into: Destination, found: Database, name: str) -> Iterator[Error]:
    """What would have to be dropped with its slot at the publisher, which may be production's and is not ours to drop."""
    there = readiness.slots(into.connection, name)
    for subscription in (each.name for each in found.subscriptions if each.name in there):
        quoted, slot = quoted_name(subscription), there[subscription]  # of a-z, 0-9 and _ alone
        yield UsageError(
            f"the subscription {subscription!r} of {name!r} has the replication slot {slot} at its publisher: to replace it"
            " would drop that slot, too",
            hint=f"Restore beside it (--as NEW_NAME), or take it off its slot: in {name}, run ALTER SUBSCRIPTION {quoted}"
            f" DISABLE; ALTER SUBSCRIPTION {quoted} SET (slot_name = NONE); then restore again. The slot stays with the"
            " publisher, and keeps its WAL. The subscription comes back disabled, with that slot's name; enabled, it goes on"
            " where it stood, so that what came since the backup is missing: better create it anew, with its tables"
            f" empty. Nobody needs the slot any more? There: SELECT pg_drop_replication_slot('{slot}');",
        )


def _unready(
    into: Destination, found: Database, name: str, options: Options, *, exists: bool
) -> Iterator[Error]:
    """What keeps rows, or indexes and constraints, from a database whose definitions are there already."""
    if not exists:
        yield NotFoundError(
            f"there is no database {name!r} on {into.conninfo.safe} for --section {' and '.join(options.sections)}",
            hint="Restore --section pre-data first: it makes the database and its tables.",
        )
        return
    if not options.restores("data"):
        return
    tables = [
        each for each in found.tables if each.kind == "r" and not each.left_out and each.extension is None
    ]
    with closing(server.connect(into.conninfo.with_database(name), application_name=LABEL)) as connection:
        absent, filled = readiness.not_ready_for_rows(connection, tables)
    if absent:
        yield UsageError(
            f"database {name!r} lacks tables whose rows would be restored: {_some(absent)}",
            hint="Restore --section pre-data first: it makes them.",
        )
    if filled:
        yield UsageError(
            f"database {name!r} has tables that hold rows already: {_some(filled)}",
            hint="Rows go into empty tables only: truncate them, or restore beside it (--as NEW_NAME).",
        )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
