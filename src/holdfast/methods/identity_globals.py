"""Compares the roles, memberships, settings and tablespaces of a server with those that a backup holds."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from typing import TypeVar

from holdfast.methods.logical_globals import GARBLED
from holdfast.methods.subject import LABEL
from holdfast.model.catalog import LeftOut
from holdfast.model.comparison import Difference, GlobalsCompared, How
from holdfast.postgres.conninfo import Conninfo, child
from holdfast.postgres.role_facts import Membership, RoleFacts, role_facts
from holdfast.postgres.scripts import ZONE
from holdfast.postgres.tools import Toolset
from holdfast.system import proc
from holdfast.system.stop import Stop

_SECONDS = 300
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


def compare_globals(
    archived: bytes,
    where: Conninfo,
    clients: Toolset,
    *,
    own: Collection[str],
    tablespaces: bool,
    stop: Stop,
) -> GlobalsCompared:
    """Compare what `pg_dumpall --globals-only` printed for the backup with what it prints of the server `where`.

    `own` are the roles that the server had before anything was restored: they were kept as they are, and are not
    compared. Without `tablespaces` those were not restored. Settings of a role in one database belong to the database.
    Passwords and the values of settings are compared, and never told. Raise IntegrityError when the text is damaged,
    SourceError when the server does not work.
    """
    ours = role_facts(archived)
    theirs = role_facts(_printed(where, clients, stop))
    differences = [
        *_roles(ours, theirs, own),
        *_memberships(ours, theirs, own),
        *_hidden("role setting", _settings(ours, ours, own), _settings(theirs, ours, own)),
        *_told(_others(ours, own), _others(theirs, own)),
        *(_told(ours.tablespaces, theirs.tablespaces) if tablespaces else ()),
    ]
    return GlobalsCompared(
        roles=len(ours.roles.keys() - own),
        memberships=len(ours.memberships),
        settings=len(_outside(ours.settings, own)),
        tablespaces=len({name for _, name in ours.tablespaces}) if tablespaces else 0,
        differences=tuple(differences),
        left_out=tuple(_left_out(ours, own, tablespaces=tablespaces)),
    )


def _printed(where: Conninfo, clients: Toolset, stop: Stop) -> bytes:
    argv = (
        clients.program("pg_dumpall"),
        "--globals-only",
        "--encoding=UTF8",
        "--no-password",
        f"--database={where.database or 'postgres'}",
        f"--dbname={where.argv_dsn()}",
    )
    with child(where, application_name=LABEL) as given:
        command = proc.Command(argv=argv, env={**given.env, "PGTZ": ZONE}, pass_fds=given.pass_fds)
        return proc.output_of(command, stop, seconds=_SECONDS)


def _roles(ours: RoleFacts, theirs: RoleFacts, own: Collection[str]) -> Iterator[Difference]:
    for name in sorted((ours.roles.keys() | theirs.roles.keys()) - set(own)):
        before, now = ours.roles.get(name), theirs.roles.get(name)
        if before != now:
            yield Difference(kind="role", name=name, how=_how(before, now), expected=before, found=now)
    if ours.passwords:  # the backup was made by somebody who may read them
        mine, others = (
            {name: text for name, text in facts.passwords.items() if name in ours.roles and name not in own}
            for facts in (ours, theirs)
        )
        yield from _hidden("role password", mine, others)


def _memberships(ours: RoleFacts, theirs: RoleFacts, own: Collection[str]) -> Iterator[Difference]:
    mine, others = _granted(ours, own), _granted(theirs, own)
    for key in sorted(mine.keys() | others.keys(), key=str):
        before, now = mine.get(key), others.get(key)
        if before is None or now is None or not before.same_as(now):
            role, member, _ = key
            yield Difference(
                kind="membership",
                name=f"{member} in {role}",
                how=_how(before, now),
                expected=_options(before) if before else None,
                found=_options(now) if now else None,
            )


def _granted(facts: RoleFacts, own: Collection[str]) -> dict[tuple[str, str, str | None], Membership]:
    """Give the memberships; one that a server's own superuser granted has no name for who that was elsewhere."""
    return {
        (role, member, None if grantor in own else grantor): membership
        for (role, member, grantor), membership in facts.memberships.items()
        if not (role in own and member in own)
    }


def _options(membership: Membership) -> str:
    said = (("admin", membership.admin), ("inherit", membership.inherit), ("set", membership.set))
    by = f" by {membership.grantor}" if membership.grantor else ""
    return ", ".join(f"{word} {str(value).lower()}" for word, value in said if value is not None) + by


def _outside(settings: Mapping[tuple[str, str], str], own: Collection[str]) -> dict[tuple[str, str], str]:
    return {key: value for key, value in settings.items() if key[0] not in own}


def _settings(facts: RoleFacts, archived: RoleFacts, own: Collection[str]) -> dict[tuple[str, str], str]:
    """Give the settings that can be compared: not those that the backup has no value of."""
    return {key: value for key, value in _outside(facts.settings, own).items() if key not in archived.garbled}


def _others(facts: RoleFacts, own: Collection[str]) -> dict[tuple[str, str], set[str]]:
    return {key: texts for key, texts in facts.others.items() if key[1] not in own}


def _hidden(kind: str, ours: Mapping[K, str], theirs: Mapping[K, str]) -> Iterator[Difference]:
    for key in sorted(ours.keys() | theirs.keys(), key=str):
        if ours.get(key) != theirs.get(key):
            name = f"{key[1]} of {key[0]}" if isinstance(key, tuple) else str(key)
            yield Difference(kind=kind, name=name, how=_how(ours.get(key), theirs.get(key)))


def _told(
    ours: Mapping[tuple[str, str], set[str]], theirs: Mapping[tuple[str, str], set[str]]
) -> Iterator[Difference]:
    for kind, name in sorted(ours.keys() | theirs.keys()):
        before, now = ours.get((kind, name)), theirs.get((kind, name))
        if before != now:
            yield Difference(
                kind=kind,
                name=name,
                how=_how(before, now),
                expected="; ".join(sorted((before or set()) - (now or set()))) or None,
                found="; ".join(sorted((now or set()) - (before or set()))) or None,
            )


def _how(before: V | None, now: V | None) -> How:
    return "unexpected" if before is None else "missing" if now is None else "different"


def _left_out(ours: RoleFacts, own: Collection[str], *, tablespaces: bool) -> Iterator[LeftOut]:
    for name in sorted(ours.roles.keys() & set(own)):
        yield LeftOut(kind="role", name=name, reason="the scratch server has one of its own by this name")
    for role, setting in sorted(ours.garbled):
        yield LeftOut(kind="role setting", name=f"{setting} of {role}", reason=GARBLED)
    if not ours.passwords:
        yield LeftOut(kind="passwords", name="passwords of roles", reason="the backup holds none")
    if not tablespaces:
        for name in sorted({name for _, name in ours.tablespaces}):
            yield LeftOut(kind="tablespace", name=name, reason="tablespaces were not restored")
