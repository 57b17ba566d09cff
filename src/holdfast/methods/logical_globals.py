"""Applies the globals of a backup to a server, statement by statement: what is there already is kept as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from holdfast.model.errors import SourceError
from holdfast.postgres import sessions, statements
from holdfast.postgres.property_setting import is_refusal
from holdfast.postgres.role_facts import setting_of
from holdfast.postgres.server import Connection
from holdfast.postgres.statements import Global

GARBLED = "it was set in a database that is not UTF-8, and pg_dumpall spoils such values: set it again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What became of the globals. `kept` names the roles that were there before: nothing of them was changed.

    `settings_left_out` are those of roles whose value the backup does not have.
    """

    created: tuple[str, ...]
    kept: tuple[str, ...]
    tablespaces_created: tuple[str, ...]
    tablespaces_left_out: tuple[str, ...]
    settings_left_out: tuple[str, ...] = ()


@dataclass(slots=True)
class _Progress:
    """What is known while the statements are applied."""

    roles_before: frozenset[str]
    tablespaces_before: frozenset[str]
    created: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    tablespaces_created: list[str] = field(default_factory=list)
    tablespaces_left_out: list[str] = field(default_factory=list)
    settings_left_out: list[str] = field(default_factory=list)


def apply(
    connection: Connection,
    text: bytes,
    *,
    tablespace_map: Mapping[str, str],
    leave_out: Callable[[str], None] | None = None,
) -> Applied:
    """Apply what pg_dumpall printed. `tablespace_map` gives directories to tablespaces, by their old names.

    A tablespace that is neither mapped nor there is left out; with `leave_out` also a role's setting that the server
    refuses, and it is told why. Raise SourceError, naming the statement's subject, at
    the first that fails; it never quotes the statement, which may hold a password. Roles then are as they were: half
    made, the next try would take them for the server's own.
    """
    progress = _begun(connection)
    found = _classified(text)
    settings, roles, spaces = (
        [each for each in found if each.kind == "setting"],
        [each for each in found if each.kind != "setting" and "tablespace" not in each.kind],
        [each for each in found if "tablespace" in each.kind],
    )
    _execute(connection, settings, progress, tablespace_map)  # before: a transaction may begin as read-only
    with connection.transaction():
        _execute(connection, roles, progress, tablespace_map, leave_out)
    _execute(connection, spaces, progress, tablespace_map)  # after: no tablespace is made in a transaction
    return _applied(progress)


def planned(connection: Connection, text: bytes, *, tablespace_map: Mapping[str, str]) -> Applied:
    """Tell what `apply` would make of the globals here, and change nothing. Raise SourceError."""
    progress = _begun(connection)
    for each in _classified(text):
        _wanted(each, progress, tablespace_map)
    return _applied(progress)


def _begun(connection: Connection) -> _Progress:
    return _Progress(
        roles_before=sessions.names(connection, "SELECT rolname FROM pg_roles", what="list the roles"),
        tablespaces_before=_tablespaces(connection),
    )


def _classified(text: bytes) -> list[Global]:
    return [statements.classify(statement) for statement in statements.split_statements([text])]


def _applied(progress: _Progress) -> Applied:
    return Applied(
        created=tuple(progress.created),
        kept=tuple(progress.kept),
        tablespaces_created=tuple(progress.tablespaces_created),
        tablespaces_left_out=tuple(progress.tablespaces_left_out),
        settings_left_out=tuple(progress.settings_left_out),
    )


def _execute(
    connection: Connection,
    found: Iterable[Global],
    progress: _Progress,
    tablespace_map: Mapping[str, str],
    leave_out: Callable[[str], None] | None = None,
) -> None:
    for each in found:
        wanted = _wanted(each, progress, tablespace_map)
        if wanted is None:
            continue
        what = f"restore {each.kind.replace('_', ' ')} {each.name or ''}".rstrip()
        if each.kind != "role_setting" or leave_out is None:
            sessions.execute(connection, wanted.text, what=what)
            continue
        try:
            with connection.transaction():  # a savepoint
                sessions.execute(connection, wanted.text, what=what)
        except SourceError as error:
            if not is_refusal(error):
                raise
            leave_out(f"role {each.name!r}: {error.message.removeprefix(f'{what}: ')}")


def has_tablespaces(connection: Connection, names: Mapping[str, str]) -> bool:
    """Whether the server has all tablespaces of these names."""
    return names.keys() <= _tablespaces(connection)


def _tablespaces(connection: Connection) -> frozenset[str]:
    return sessions.names(connection, "SELECT spcname FROM pg_tablespace", what="list the tablespaces")


def _wanted(
    each: Global, progress: _Progress, tablespace_map: Mapping[str, str]
) -> statements.Statement | None:
    """Give the statement to execute, or None for one that stays out."""
    name = each.name or ""
    wanted = True
    match each.kind:
        case "create_role":
            wanted = name not in progress.roles_before
            (progress.created if wanted else progress.kept).append(name)
        case "alter_role" | "role_comment" | "role_label":
            wanted = name not in progress.roles_before
        case "role_setting":
            # What is set for one database is restored with that database.
            wanted = name not in progress.roles_before and each.database is None
            if wanted and each.statement.garbled:
                setting = setting_of(each)
                progress.settings_left_out.append(f"{setting[0] if setting else 'a setting'} of {name}")
                wanted = False
        case "membership":
            wanted = not {name, each.member or ""} <= progress.roles_before
        case "create_tablespace":
            return _tablespace(each, progress, tablespace_map)
        case "tablespace_setting" | "tablespace_comment" | "tablespace_label" | "tablespace_grant":
            wanted = name in progress.tablespaces_created
        case "setting" | "parameter_grant" | "other":
            pass
    return each.statement if wanted else None


def _tablespace(
    each: Global, progress: _Progress, tablespace_map: Mapping[str, str]
) -> statements.Statement | None:
    name = each.name or ""
    if name in progress.tablespaces_before:
        return None
    if name not in tablespace_map:
        progress.tablespaces_left_out.append(name)
        return None
    progress.tablespaces_created.append(name)
    return statements.relocated(each, tablespace_map[name])
