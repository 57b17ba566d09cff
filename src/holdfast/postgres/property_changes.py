"""Tells in which properties two databases differ, as the statements that would give them to one of this name."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import sql

from holdfast.model.catalog import Properties
from holdfast.postgres.properties import property_statements


@dataclass(frozen=True, slots=True, kw_only=True)
class PropertyChanges:
    """What only the old database has (owner, grants, settings, limits), and what only the new one has."""

    only_old: tuple[str, ...]
    only_new: tuple[str, ...]


def property_changes(name: str, old: Properties, new: Properties) -> PropertyChanges:
    """Compare the properties of two databases. The statements name the database `name`."""
    had, has = _statements(name, old), _statements(name, new)
    return PropertyChanges(
        only_old=tuple(text for text in had if text not in has),
        only_new=tuple(text for text in has if text not in had),
    )


def _statements(name: str, properties: Properties) -> list[str]:
    owner = sql.SQL("ALTER DATABASE {} OWNER TO {}").format(
        sql.Identifier(name), sql.Identifier(properties.owner)
    )
    return [f"{each.as_string()};" for each in (owner, *property_statements(name, properties))]
