"""Gives a restored database its own properties as the operator wants them: owners and privileges may stay behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from holdfast.methods import restore_hints
from holdfast.methods.destination import LABEL, Destination
from holdfast.methods.pg_restore import Options
from holdfast.model.catalog import Grant, Properties
from holdfast.postgres.property_setting import Writer, set_properties


def adapted(found: Properties, options: Options, user: str) -> Properties:
    """Give the properties to restore; `user` is who restores.

    Without owners the database belongs to `options.role`, else to `user`; it brings no settings of single roles and
    no privileges that others granted. Without privileges it has the default ones.
    """
    grants = None if options.no_privileges else found.grants
    if not options.no_owner and not found.owner:  # an imported dump does not always tell
        return replace(found, owner=user, grants=grants)
    if not options.no_owner:
        return replace(found, grants=grants)
    owner = options.role or user
    return replace(
        found,
        owner=owner,
        grants=None if grants is None else _regranted(grants, found.owner, owner),
        settings=tuple(setting for setting in found.settings if setting.role is None),
    )


def _regranted(grants: tuple[Grant, ...], old: str, new: str) -> tuple[Grant, ...]:
    return tuple(
        replace(grant, grantor=new, grantee=new if grant.grantee == old else grant.grantee)
        for grant in grants
        if grant.grantor == old
    )


def give(
    into: Destination,
    name: str,
    wanted: Properties,
    writer: Writer,
    *,
    what: str,
    leave_out: Callable[[str], None] | None = None,
) -> None:
    """Run what `writer` writes of them. Raise SourceError, with a hint where one is known. See `set_properties`."""
    with restore_hints.hinted(into.facts.version_num):
        set_properties(
            into.connection,
            into.conninfo,
            name,
            writer(name, wanted),
            encoding=wanted.encoding,
            label=LABEL,
            what=what,
            leave_out=leave_out,
        )


def told_once(name: str, warn: Callable[[str], None]) -> Callable[[str], None]:
    """Tell of each setting that the server refuses, though it is tried twice."""
    told: set[str] = set()

    def tell(reason: str) -> None:
        if reason not in told:
            told.add(reason)
            warn(f"database {name!r}: a setting is left out, as this server refuses it: {reason}")

    return tell
