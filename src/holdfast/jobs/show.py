"""Finds out what a backup covers: from the ledger, else from the catalog where it can be opened."""

from __future__ import annotations

from holdfast.jobs import adopting
from holdfast.jobs.find import open_best
from holdfast.jobs.reading import can_open, read_catalog
from holdfast.jobs.services import Services
from holdfast.ledger.ledger import BackupRow
from holdfast.model.catalog import Coverage, coverage


def coverage_of(services: Services, row: BackupRow) -> Coverage | None:
    """What of the server's tables the backup holds; None where that cannot be known here."""
    if row.coverage is not None or row.hidden or not can_open(row.backup, services.keys):
        return row.coverage
    opened = open_best(services, row)
    found = coverage(read_catalog(opened, services.keys))
    adopting.adopt(services, opened, coverage=found)
    return found
