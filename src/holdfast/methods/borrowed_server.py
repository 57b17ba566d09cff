"""A server of the owner's for restore tests (`scratch_url`): told from production, held alone, left as it was found."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from holdfast.methods.destination import LABEL, Destination, destination
from holdfast.methods.logical_restore import drop_what_was_dropped
from holdfast.methods.pg_restore import Options
from holdfast.methods.restored_properties import adapted
from holdfast.methods.scratch_means import make_like
from holdfast.model.backup import Backup
from holdfast.model.catalog import Database, LeftOut
from holdfast.model.errors import CouldNotTestError, Error
from holdfast.postgres import borrowed, conninfo, dropping, restored, server, tools
from holdfast.postgres.conninfo import Conninfo

ISOLATION = "not isolated: a configured server"
# Roles are the whole server's, and it has its own.
OPTIONS = Options(no_owner=True, no_privileges=True, analyze=False)
_OWNERS = LeftOut(
    kind="owners and privileges",
    name="all",
    reason="a configured server has roles of its own, and the backup's are not made there",
)
NOTE = (
    "roles were not restored, nor owners, privileges and settings of roles: a configured server has its own"
)
_NOT_HERE = "Name a server that nothing else needs in restore_test.scratch_url, or remove it: the test then makes a throwaway cluster."

Tell = Callable[[str], None]


@contextmanager
def borrowed_server(
    url: str, backup: Backup, *, source_url: str | None, sources: Collection[str], warn: Tell
) -> Iterator[Destination]:
    """Connect to the server and hold it alone for the length of the `with`; drop first what killed tests left there.

    `source_url` is the target's own server, and `sources` the system identifiers of all that were ever backed up: it
    is none of them. Raise CouldNotTestError where it is, or where that cannot be told, or where it does not fit.
    """
    where = conninfo.parse(url).with_database(borrowed.HOME)
    _refuse_address(where, source_url)
    with destination(where, dump_version=backup.tools.get("pg_dump")) as into:
        _refuse_server(into, backup, sources)
        if not borrowed.hold(into.connection):
            raise CouldNotTestError(
                f"another restore test is using {where.safe}", hint="Try again when it has ended."
            )
        _sweep(into, warn)
        yield into


def _refuse_address(where: Conninfo, source_url: str | None) -> None:
    if source_url is None:
        return
    source = conninfo.parse(source_url)
    if _addresses(where) & _addresses(source):
        raise CouldNotTestError(
            f"scratch_url leads to the target's own server, {source.safe}", hint=_NOT_HERE
        )


def _addresses(where: Conninfo) -> set[tuple[str, str, str]]:
    """Give each host of a URL with its port, and the service that may say more."""
    params = where.params
    hosts = (params.get("hostaddr") or params.get("host") or "").lower().split(",")
    ports = params.get("port", "").split(",")
    if len(ports) == 1:  # it is for all hosts
        ports *= len(hosts)
    return {
        (host, port or "5432", params.get("service", "")) for host, port in zip(hosts, ports, strict=False)
    }


def _refuse_server(into: Destination, backup: Backup, sources: Collection[str]) -> None:
    """Refuse what may be production, and what could not give an honest answer."""
    facts, place = into.facts, into.conninfo.safe
    known, own = facts.system_identifier, backup.server.system_identifier
    if known is None or own is None:
        whose = place if known is None else f"the server of backup {backup.id}"
        raise CouldNotTestError(
            f"the system identifier of {whose} is not known, so that {place} cannot be told from production",
            hint="Remove restore_test.scratch_url: the test then makes a throwaway cluster.",
        )
    if known in {own, *sources}:
        raise CouldNotTestError(
            f"{place} is a server that is backed up, or a copy of one: its system identifier is the same",
            hint=_NOT_HERE,
        )
    wanted = tools.major(backup.server.version_num)
    if tools.major(facts.version_num) != wanted:
        raise CouldNotTestError(
            f"the backup is of PostgreSQL {wanted}, and {place} is {facts.version_text}",
            hint=f"Name a server of PostgreSQL {wanted} in restore_test.scratch_url.",
        )
    if facts.in_recovery:
        raise CouldNotTestError(f"{place} is a standby, where nothing can be restored", hint=_NOT_HERE)
    if not facts.is_superuser:
        raise CouldNotTestError(
            f"{facts.user} is not a superuser of {place}: what fails there may be the role's fault, not the backup's",
            hint="Name a superuser in restore_test.scratch_url, or remove it.",
        )


def _sweep(into: Destination, warn: Tell) -> None:
    """Drop what has our name and our mark, and nothing else."""
    for name in (*borrowed.left_behind(into.connection), *restored.left_scratches(into.connection)):
        warn(f"dropping {name}, which a run that died left behind")
        _drop(into, name, warn)
    for name in borrowed.alike(into.connection):
        warn(f"database {name} is called like one of a restore test, but has no mark; it is left alone")


@contextmanager
def borrowed_database(into: Destination, found: Database, warn: Tell) -> Iterator[str]:
    """Give the name of a new, marked database like the one backed up; drop it at the end, however that comes.

    Raise CouldNotTestError where the server cannot have one like it.
    """
    name = borrowed.new_name()
    make_like(into, name, found, into.conninfo.safe)
    try:
        borrowed.mark(into.connection, name)
        where = into.conninfo.with_database(name)
        with closing(server.connect(where, application_name=LABEL)) as connection:
            drop_what_was_dropped(connection, found)
        yield name
    finally:
        _drop(into, name, warn)


def left_out(found: Database) -> Iterator[LeftOut]:
    """Name what of a database is neither restored nor compared on such a server."""
    yield _OWNERS
    if found.properties.comment is not None:
        yield LeftOut(
            kind="comment", name=f"database {found.name}", reason="the mark of the test is in its place"
        )


def as_restored(found: Database, user: str) -> Database:
    """What a database is to be on such a server: the user's, with the mark where its comment was."""
    own = replace(adapted(found.properties, OPTIONS, user), comment=borrowed.MARK)
    return replace(found, properties=own)


def _drop(into: Destination, name: str, warn: Tell) -> None:
    try:
        dropping.drop_database(into.connection, into.conninfo, name)
    except Error as trouble:
        warn(f"could not drop {name!r} from {into.conninfo.safe}: {trouble.message}")
