"""Keeps what the ledger may know of a new backup's schemas, for the next backup to see what is gone."""

from __future__ import annotations

from holdfast.jobs.services import Services
from holdfast.ledger import schemas
from holdfast.model.backup import Backup
from holdfast.model.catalog import Catalog, Database
from holdfast.model.schema import columns, fingerprint, lasting_tables

_WITH_ROWS = frozenset("rpf")


def remember(services: Services, backup: Backup, catalog: Catalog) -> None:
    """Record the names of tables and columns, as digests; of a schema that was not kept nothing is known."""
    schemas.record(
        services.ledger,
        backup,
        {each.name: names for each in catalog.databases if (names := _names(each)) is not None},
    )


def _names(database: Database) -> schemas.Names | None:
    if database.schema_objects is None:
        return None
    lasting = lasting_tables(database.schema_objects)
    dumped = {(each.schema, each.name) for each in database.schema_objects if each.kind == "TABLE"}
    partitions = dumped - {(each.schema, each.name) for each in lasting}
    return schemas.Names(
        fingerprint=fingerprint(database.schema_objects),
        tables=frozenset(
            f"{table.schema}.{table.name}"
            for table in database.tables
            if table.kind in _WITH_ROWS
            and table.persistence != "t"
            and table.extension is None
            and (table.schema, table.name) not in partitions
        ),
        columns={f"{each.schema}.{each.name}": frozenset(columns(each)) for each in lasting},
    )
