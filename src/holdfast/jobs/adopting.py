"""Lets the ledger know the manifest of a copy: the backup's own, or that of a copy which was encrypted anew."""

from __future__ import annotations

from holdfast.jobs.reading import Opened
from holdfast.jobs.services import Services
from holdfast.ledger import losses, variants
from holdfast.model.backup import Backup
from holdfast.model.catalog import Coverage
from holdfast.model.kinship import Stored, are_kin
from holdfast.system import lasting

_LOST = {
    "rolled_back": "the ledger does not know a backup that this host took: was it put back to an earlier state?",
    "vanished": "the ledger is new, and this host took backups before: what became of the old one? `holdfast status` says more",
}


def adopt(services: Services, opened: Opened, *, coverage: Coverage | None = None) -> None:
    """Record the manifest that was read from a store, and whose signature holds.

    One that is no kin of the known one takes its place, and what was known of the backup is forgotten. Of kin the first
    one, which was written when the backup was taken, is the backup's own, whatever order they are found in.
    """
    own = recognise(services, opened)
    _notice_loss(services, own.backup)
    services.ledger.record_backup(
        own.backup, manifest=own.manifest, signature=own.signature, coverage=coverage
    )


def _notice_loss(services: Services, backup: Backup) -> None:
    """Tell of a backup that was taken here and is not known: the ledger is an earlier one then, or was gone."""
    ledger, signing = services.ledger, services.keys.signing
    if ledger.backup(backup.id) is not None:
        return
    signer = None if signing is None else signing.public.text
    lost = losses.of_which_it_tells(ledger, backup, host=services.host, signer=signer)
    if lost is None or (lost == "vanished" and lasting.is_meant_to_pass(ledger.path.parent)):
        return
    losses.record(ledger, lost, services.clock.now())
    services.reporter.warn(_LOST[lost], target=backup.target, backup=backup.id)


def recognise(services: Services, opened: Opened) -> Stored:
    """Know the manifest of a copy beside the backup's own, where both are kin; give the one that is the backup's own.

    That is the manifest given where the ledger knows none, or one that is no kin; of those nothing is written here.
    """
    ledger, store = services.ledger, opened.place.store.name
    found = Stored(backup=opened.backup, manifest=opened.manifest, signature=opened.signature)
    row = ledger.backup(opened.backup.id)
    if row is None:
        return found
    own = Stored(backup=row.backup, manifest=row.manifest, signature=row.signature)
    if own.manifest == found.manifest:
        if store in row.variants:
            variants.forget(ledger, found.backup.id, store)
        return own
    if not are_kin(own, found):
        return found
    if found.backup.origin is None:
        variants.promote(ledger, found, store)
        return found
    variants.record(ledger, found.backup.id, store, found)
    return own
