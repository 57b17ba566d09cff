"""Applies the roles of a Supabase project to a server: the project's own, and what of the platform's is the project's.

The platform's own roles are kept as the server has them, but for settings that a project may make. Where there is no
platform they are stood in for: roles that cannot log in, so that grants, owners and policies have whom they name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from holdfast.methods.logical_globals import Applied
from holdfast.model.errors import SourceError
from holdfast.postgres import sessions, statements
from holdfast.postgres import supabase_names as names
from holdfast.postgres.errors import PermanentSourceError
from holdfast.postgres.server import Connection
from holdfast.postgres.statements import Global, Statement

_HAS_IT = "cannot be granted back to your own grantor"  # since 16 who makes a role is given it, with ADMIN
# What only a superuser may say of a role, even where it changes nothing.
_FOR_SUPERUSERS = frozenset({"NOSUPERUSER", "NOREPLICATION", "NOBYPASSRLS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """What became of the roles; `refused` tells what the role that restores may not do."""

    applied: Applied
    refused: tuple[str, ...]


@dataclass(slots=True)
class _Progress:
    superuser: bool
    plain: bool
    before: frozenset[str]
    created: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def is_new(self, role: str | None) -> bool:
        return role in self.created


def apply(connection: Connection, text: bytes, *, superuser: bool, plain: bool, dry: bool = False) -> Roles:
    """Apply what pg_dumpall printed, in one transaction; when `dry`, only tell what would become of it.

    Raise SourceError at the first statement that fails. What needs rights over the platform's roles is tried by itself,
    and may be refused.
    """
    before = sessions.names(connection, "SELECT rolname FROM pg_roles", what="list the roles")
    progress = _Progress(superuser=superuser, plain=plain, before=before)
    found = [statements.classify(each) for each in statements.split_statements([text])]
    if dry:
        for each in found:
            _statement(each, progress)
    else:
        with connection.transaction():
            for each in found:
                _execute(connection, each, progress)
    return Roles(
        applied=Applied(
            created=tuple(progress.created),
            kept=tuple(progress.kept),
            tablespaces_created=(),
            tablespaces_left_out=(),
        ),
        refused=tuple(progress.refused),
    )


def _execute(connection: Connection, each: Global, progress: _Progress) -> None:
    wanted = _statement(each, progress)
    if wanted is None:
        return
    what = f"restore {each.kind.replace('_', ' ')} {each.name or ''}".rstrip()
    if not _of_platform(each):
        sessions.execute(connection, wanted.text, what=what)
        return
    try:
        with connection.transaction():  # a savepoint
            sessions.execute(connection, wanted.text, what=what)
    except PermanentSourceError as error:
        progress.refused.append(error.message)
    except SourceError as error:
        if _HAS_IT in error.message:
            return
        if "does not exist" not in error.message:
            raise
        progress.refused.append(error.message)


def _of_platform(each: Global) -> bool:
    return (each.kind == "role_setting" and names.is_reserved(each.name)) or (
        each.kind == "membership" and (names.is_reserved(each.member) or names.is_reserved(each.name))
    )


def _statement(each: Global, progress: _Progress) -> Statement | None:
    """Give the statement to execute, or None for one that stays out."""
    rule = _RULES.get(each.kind)
    return None if rule is None else rule(each, progress)


def _altered(each: Global, progress: _Progress) -> Statement | None:
    if not _is_own(each, progress):
        return None
    return each.statement if progress.superuser else statements.without(each.statement, _FOR_SUPERUSERS)


def _set(each: Global, progress: _Progress) -> Statement | None:
    name = each.name or ""
    wanted = _is_own(each, progress) or (names.is_reserved(name) and names.is_settable(_setting(each)))
    return each.statement if wanted and each.database is None else None


def _member(each: Global, progress: _Progress) -> Statement | None:
    """A membership that is new; those among the platform's own roles are the platform's."""
    name, member = each.name or "", each.member or ""
    internal = [names.is_reserved(role) and not names.is_client(role) for role in (name, member)]
    stands_in = name.startswith("pg_") and names.is_reserved(member)
    if not (progress.is_new(name) or progress.is_new(member)) or all(internal) or stands_in:
        return None
    return statements.without_grantor(each)


def _is_own(each: Global, progress: _Progress) -> bool:
    return progress.is_new(each.name) and not names.is_reserved(each.name)


def _role(each: Global, progress: _Progress) -> Statement | None:
    name = each.name or ""
    if name in progress.before:
        progress.kept.append(name)
        return None
    if names.is_reserved(name) and not progress.plain:
        return None
    progress.created.append(name)
    return each.statement


def _setting(each: Global) -> str:
    """Give what an ALTER ROLE … SET sets, in lower case."""
    said = statements.words(each.statement)
    place = said.index("set") + 1 if "set" in said else len(said)
    setting = said[place:]
    return ".".join([setting[0], setting[2]]) if setting[1:2] == (".",) else "".join(setting[:1])


_RULES: Mapping[str, Callable[[Global, _Progress], Statement | None]] = {
    "create_role": _role,
    "alter_role": _altered,
    "role_comment": lambda each, progress: each.statement if _is_own(each, progress) else None,
    "role_setting": _set,
    "membership": _member,
    "parameter_grant": lambda each, progress: (
        each.statement if progress.is_new(each.member) and not names.is_reserved(each.member) else None
    ),
}
