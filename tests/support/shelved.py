"""Backups put into any store without a server: small, whole and signed."""

from __future__ import annotations

from dataclasses import replace

from holdfast.jobs import writing
from holdfast.jobs.find import open_best
from holdfast.jobs.reading import read_plain
from holdfast.jobs.services import Services
from holdfast.ledger.ledger import BackupRow
from holdfast.methods.base import Source
from holdfast.model.backup import Backup
from holdfast.model.target import Compression
from holdfast.stores.base import Store
from support.model_values import sample_backup


def shelved(
    services: Services,
    store: Store,
    backup_id: str = "20261122T020000Z-7f3a",
    *,
    target: str = "shop",
    data: bytes = b"rows",
    signer: str = "",
    server: str = "7300000000000000001",
) -> Backup:
    """Write and commit a backup whose one part printed `data`; the ledger is told nothing. It says to be of that `signer` and `server`."""
    place = writing.Place(store=store, target=target, backup_id=backup_id)
    part = writing.write_part(
        place,
        Source(role="globals", format="plain", stem="globals", chunks=iter([data])),
        recipients=services.keys.recipients,
        compression=Compression(),
        on_bytes=lambda _: None,
    )
    sample = sample_backup(backup_id, target)
    told = replace(sample.server, system_identifier=server)
    made = replace(sample, parts=(part,), databases=(), signer=signer or sample.signer, server=told)
    writing.commit(services, place, made)
    return made


def gives_back(services: Services, row: BackupRow, data: bytes = b"rows") -> None:
    """Restore such a backup: it is what it was made of."""
    opened = open_best(services, row)
    assert read_plain(opened.place, opened.backup.parts[0], services.keys) == data
