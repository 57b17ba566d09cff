"""Collects the schema out of an archive's table of contents while the archive streams by: the server is not asked."""

from __future__ import annotations

from holdfast.model.schema import SchemaObject, normalised
from holdfast.postgres.entries import Entry, tells_of_tables

MOST_BYTES = 32 * 1024**2  # of definitions; a schema that is larger is not kept
# What is no schema: rows, the state of sequences, the database itself, and how the archive is written.
_NOT = frozenset(
    {
        "TABLE DATA",
        "SEQUENCE SET",
        "MATERIALIZED VIEW DATA",
        "STATISTICS DATA",
        "ENCODING",
        "STDSTRINGS",
        "SEARCHPATH",
        "DATABASE",
        "DATABASE PROPERTIES",
    }
)
_OF_LARGE_OBJECTS, _OF_DATABASE = "LARGE OBJECT", "DATABASE "


class SchemaCollector:
    """Give `wants` and `keep` to a TocReader."""

    def __init__(self) -> None:
        self._objects: list[SchemaObject] | None = []
        self._left = MOST_BYTES

    def wants(self, desc: str, tag: str | None) -> bool:
        """Whether a definition belongs to the schema, and there is room for it."""
        others = (tag or "").startswith((_OF_LARGE_OBJECTS, _OF_DATABASE)) and desc not in {"TABLE", "VIEW"}
        return self._objects is not None and desc not in _NOT and not desc.startswith("BLOB") and not others

    def keep(self, entry: Entry) -> bool:
        """Take an entry's definition; tell whether the reader is to keep the entry."""
        if entry.definition and self._objects is not None:
            self._left -= len(entry.definition)
            self._objects.append(
                SchemaObject(
                    kind=entry.desc,
                    schema=entry.namespace or "",
                    name=entry.tag or "",
                    owner=entry.owner or "",
                    definition=entry.definition,
                )
            )
            if self._left < 0:
                self._objects = None
        return tells_of_tables(entry)

    @property
    def objects(self) -> tuple[SchemaObject, ...] | None:
        """The schema; None where it is too large to be kept."""
        return None if self._objects is None else normalised(self._objects)
