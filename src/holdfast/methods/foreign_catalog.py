"""Makes a catalog of what a dump tells of itself, where no server could be asked: rows are not counted."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from holdfast.model import catalog as model
from holdfast.model.schema import SchemaObject
from holdfast.postgres import told_properties
from holdfast.postgres.statements import Statement

_KINDS = {
    "TABLE": "r",
    "PARTITIONED TABLE": "p",
    "VIEW": "v",
    "MATERIALIZED VIEW": "m",
    "FOREIGN TABLE": "f",
}
_NOWHERE = "-"  # what a plain dump writes for no schema
_PARTITIONED = re.compile(r"\n\)\s+PARTITION BY (?:RANGE|LIST|HASH) \([^;]*\);\s*\Z")
_WITHOUT_ROWS = "the dump was made without its rows"


@dataclass(slots=True)
class CatalogBuilder:
    """What was told of one database so far."""

    schemas: set[str] = field(default_factory=lambda: {"public"})
    extensions: set[str] = field(default_factory=lambda: {"plpgsql"})
    tables: list[model.Table] = field(default_factory=list)
    sequences: list[model.Named] = field(default_factory=list)
    large_objects: int = 0
    properties: model.Properties = told_properties.UNKNOWN
    schema_objects: tuple[SchemaObject, ...] | None = None

    def add(
        self, desc: str, namespace: str | None, name: str | None, *, oid: int = 0, definition: str = ""
    ) -> None:
        """Take note of one entry of the dump's table of contents; by its kind a partitioned table is like any other."""
        schema = "" if namespace in {None, _NOWHERE} else str(namespace)
        if desc in _KINDS:
            kind = "p" if desc == "TABLE" and _PARTITIONED.search(definition) else _KINDS[desc]
            self.tables.append(model.Table(oid=oid, schema=schema, name=name or "", kind=kind))
        elif desc == "SEQUENCE":
            self.sequences.append(model.Named(schema=schema, name=name or ""))
        elif desc == "SCHEMA":
            self.schemas.add(name or "")
        elif desc == "EXTENSION":
            self.extensions.add(name or "")
        elif desc == "BLOB":
            self.large_objects += 1

    def filled(self, oids: Collection[int]) -> None:
        """Take note of all tables whose rows are in the dump: of the others it has none."""
        self.tables = [
            table if table.kind != "r" or table.oid in oids else replace(table, data_left_out=_WITHOUT_ROWS)
            for table in self.tables
        ]

    def tell(self, statement: Statement) -> None:
        """Take note of a statement about the database itself."""
        self.properties = told_properties.told(self.properties, statement)

    def owned_by(self, role: str) -> None:
        """Take note of the database's owner."""
        self.properties = replace(self.properties, owner=role)

    def encoded(self, encoding: str) -> None:
        """Take note of the dump's encoding, which is the database's where nothing else is said."""
        if not self.properties.encoding:
            self.properties = replace(self.properties, encoding=encoding)

    def built(self, name: str) -> model.Database:
        """Give the catalog of the database."""
        return model.Database(
            name=name,
            properties=self.properties,
            schemas=tuple(sorted(self.schemas)),
            tables=tuple(sorted(self.tables, key=lambda table: (table.schema, table.name))),
            sequences=tuple(sorted(self.sequences, key=lambda each: (each.schema, each.name))),
            large_objects=self.large_objects,
            extensions=tuple(
                model.Extension(name=each, version="", schema="") for each in sorted(self.extensions)
            ),
            collations=(),
            schema_objects=self.schema_objects,
        )
