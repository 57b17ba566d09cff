"""Verifies backups: every stored byte re-read and authenticated, and with an identity opened to the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from holdfast.jobs import differing, marks, past, runner, writing
from holdfast.jobs.find import places
from holdfast.jobs.reading import (
    Opened,
    can_open,
    open_backup,
    opens,
    plain_chunks,
    read_catalog,
    read_document,
    stored_chunks,
)
from holdfast.jobs.services import Services
from holdfast.ledger import scrubs
from holdfast.ledger.ledger import GONE, BackupRow, CopyState
from holdfast.methods import foreign_dump
from holdfast.methods.logical import check_complete
from holdfast.model import layout
from holdfast.model.backup import Part
from holdfast.model.catalog import Catalog
from holdfast.model.errors import Error, IntegrityError, KeyFileError, NotFoundError, StoreError
from holdfast.model.proof import Proof
from holdfast.model.run import Run
from holdfast.postgres import archive
from holdfast.postgres.entries import tells_of_tables
from holdfast.system.stop import Stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """The outcome for one copy of a backup: a proof, or the error that tells what is wrong.

    Both where all holds, but somebody deleted it or wrote over it, or marks vanished.
    """

    target: str
    backup_id: str
    store: str
    proof: Proof | None
    error: Error | None


class _GoneError(IntegrityError):
    """A store holds no manifest of a backup that it has held."""


class _OddError(IntegrityError):
    """All that was dumped holds, but somebody laid something over it, or took marks away."""

    def __init__(self, proof: Proof, found: Sequence[IntegrityError]) -> None:
        super().__init__("; ".join(each.message for each in found), hint=found[0].hint)
        self.proof = proof


def verify(services: Services, row: BackupRow, stop: Stop, *, store: str | None = None) -> list[Verified]:
    """Verify each copy of a backup (or the one in `store`) and record the outcome. Trouble is in the result.

    There is none for a backup that retention has hidden or removed since it was listed.
    """
    fresh = services.ledger.backup(row.backup.id)
    if fresh is None or fresh.hidden:
        return []
    row, results = fresh, []
    for place in places(services, row, store, gone=True):
        run = Run(
            job="verify",
            target=place.target,
            started_at=services.clock.now(),
            backup_id=place.backup_id,
            host=services.host,
            pid=services.pid,
        )
        runner.close_lost_runs(services, "verify", place.target)
        result = _verify_copy(services, place, run, stop)
        if result is not None:
            results.append(result)
    return results


def _verify_copy(services: Services, place: writing.Place, run: Run, stop: Stop) -> Verified | None:
    """Verify a copy and record the outcome; None for one that retention hid or removed while it was read.

    And for one that has not come to be yet.
    """
    name, odd = place.store.name, None
    try:
        proof = runner.execute(services, run, lambda meter: _proven(services, place, meter, stop))
    except _OddError as error:
        proof, odd = error.proof, error
    except (IntegrityError, NotFoundError, KeyFileError, StoreError) as error:
        if stop.requested:
            raise
        if _is_leaving(services, place) or (isinstance(error, _GoneError) and _never_came(services, place)):
            return None
        if isinstance(error, IntegrityError | NotFoundError):
            record_damage(services, place, error)
        return Verified(target=place.target, backup_id=place.backup_id, store=name, proof=None, error=error)
    if _is_leaving(services, place):
        return None
    services.ledger.record_copy(place.backup_id, name, "complete", services.clock.now())
    services.ledger.record_proof(proof)
    scrubs.record(services.ledger, place.backup_id, name, proof.at)
    _keep(services, place, proof)
    return Verified(target=place.target, backup_id=place.backup_id, store=name, proof=proof, error=odd)


def _proven(services: Services, place: writing.Place, meter: runner.Meter, stop: Stop) -> Proof:
    proof = _verify(services, place, meter, stop)
    odd = (past.complaint(services, place), differing.complaint(services, place))
    if found := [each for each in odd if each is not None]:
        raise _OddError(proof, found)
    return proof


def _never_came(services: Services, place: writing.Place) -> bool:
    """Whether the copy goes on, or broke off: nothing is gone, and to call it so would keep it from being made."""
    row = services.ledger.backup(place.backup_id)
    wanted = (place.store.name, "copying")
    return row is not None and any((copy.store, copy.state) == wanted for copy in row.copies)


def _is_leaving(services: Services, place: writing.Place) -> bool:
    row = services.ledger.backup(place.backup_id)
    return row is None or any((copy.store, copy.state) == (place.store.name, "hidden") for copy in row.copies)


def record_damage(services: Services, place: writing.Place, error: Error) -> None:
    """Write down that a copy is damaged or gone; without a whole one left, the backup's proof is worth nothing."""
    ledger, now = services.ledger, services.clock.now()
    state: CopyState = "missing" if isinstance(error, _GoneError) else "damaged"
    said = GONE if state == "missing" else error.message
    ledger.record_copy(place.backup_id, place.store.name, state, now, said)
    row = ledger.backup(place.backup_id)
    if row is None or any(copy.state == "complete" for copy in row.copies):
        return
    nothing = Proof(
        backup_id=place.backup_id,
        target=place.target,
        level="stored",
        method="digests",
        at=now,
        store=place.store.name,
    )
    ledger.record_proof(nothing, damaged=True)


def _keep(services: Services, place: writing.Place, proof: Proof) -> None:
    """Put the proof beside the backup, where this host may sign and write; the ledger has it in any case."""
    if services.keys.signing is None:
        return
    try:
        marks.put(services, place, proof, at=proof.at)
    except Error as trouble:
        services.reporter.warn("could not store the proof", store=place.store.name, error=str(trouble))


def _verify(services: Services, place: writing.Place, meter: runner.Meter, stop: Stop) -> Proof:
    try:
        opened = open_backup(place, services.keys)
    except NotFoundError as error:
        raise _GoneError(
            f"{place.store.location}: {place.key(layout.MANIFEST)} is missing: the backup is gone from there",
            hint="`holdfast repair` brings it back from a store that has it whole; `holdfast catalog rebuild` forgets one"
            " that was removed on purpose.",
        ) from error
    differing.check_same(opened, services.ledger.backup(place.backup_id))
    deep = can_open(opened.backup, services.keys)
    if opened.backup.origin is not None:  # for somebody else: that no identity here opens it is no damage
        deep = opens(services.keys, opened.backup)
    catalog = read_catalog(opened, services.keys) if deep else None
    with services.reporter.progress(
        f"verify {place.backup_id}", opened.backup.size if deep else opened.backup.stored_size
    ) as show:
        for part in opened.backup.parts:
            toc = archive.TocReader(keep=tells_of_tables) if deep and part.format == "custom" else None
            chunks: Iterator[bytes] = (
                plain_chunks(place, part, services.keys) if deep else stored_chunks(place, part)
            )
            if deep and part.role == "database" and part.format != "custom":
                chunks = foreign_dump.watched(chunks, part.format)
            for chunk in archive.watch(chunks, toc) if toc is not None else chunks:
                stop.check()
                meter.add(len(chunk))
                show(len(chunk))
            if toc is not None:
                _check_contents(opened, part, toc, catalog)
    for document in opened.backup.documents:
        if read_document(place, document) is None:
            services.reporter.warn(
                f"{document.name} is missing: the backup restores, but lacks the way to do it by hand",
                store=place.store.name,
                backup=place.backup_id,
            )
    return Proof(
        backup_id=opened.backup.id,
        target=opened.backup.target,
        level="verified",
        method="opened" if deep else "digests",
        at=services.clock.now(),
        store=place.store.name,
        archive_bytes=opened.backup.size,
    )


def _check_contents(opened: Opened, part: Part, toc: archive.TocReader, catalog: Catalog | None) -> None:
    if not toc.done:
        raise IntegrityError(f"{opened.place.key(part.name)}: its table of contents is not complete")
    database = catalog.database(part.database) if catalog is not None and part.database is not None else None
    if database is not None and not opened.backup.imported:
        check_complete(database.name, toc, database)
